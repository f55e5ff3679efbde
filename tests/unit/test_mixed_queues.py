"""Exports that use a GPU and exports that do not, in one queue: neither holds up the other."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from jupyter_export.hardware.gpus import Device
from jupyter_export.hardware.leases import Held
from jupyter_export.hardware.needs import Need
from jupyter_export.hardware.room import GpuLimits, Room, measure
from jupyter_export.job import State
from jupyter_export.queue.choice import MAX_PASSES, Decision, Entry, QueueState, choose

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
LIMITS = GpuLimits(places=4, headroom_mib=0, sessions=0, sessions_per_gpu=0)


def room(free: int, total: int = 8000) -> Room:
    device = Device(id="G0", label="GPU 0", name="", total_mib=total, free_mib=free, nvenc=True)
    return measure([device], [], LIMITS, 0)


def job(id: str, mib: int = 0, **fields: Any) -> Entry:
    fields.setdefault("number", int(id[1:]))
    return Entry(id=id, need=Need(vram_mib=mib), **fields)


def decide(*entries: Entry, limit: int = 1, **known: Any) -> Decision:
    return choose(entries, NOW, limit=limit, **known)


def started(decision: Decision) -> list[str]:
    return [entry.id for entry in decision.start]


def test_an_export_that_waits_for_a_gpu_lets_those_behind_it_start() -> None:
    decision = decide(job("g1", 5000), job("c2"), room=room(1000))
    assert started(decision) == ["c2"]
    reason = decision.places["g1"].waiting_for
    assert reason == "GPU memory: needs 4.9 GB, 1.0 GB free on GPU 0"


def test_exports_on_the_cpu_that_fill_all_places_do_not_hold_up_the_gpu() -> None:
    busy = [job(f"c{n}", state=State.RUNNING) for n in (1, 2)]
    decision = decide(*busy, job("c3"), job("g4", 1000), limit=2, room=room(8000))
    assert started(decision) == ["g4"]
    assert decision.places["c3"].waiting_for == "a free place: 2 of 2 run"


def test_exports_on_the_gpu_take_no_place_of_the_others() -> None:
    busy = [job(f"g{n}", 100, state=State.RUNNING) for n in (1, 2, 3)]
    assert started(decide(*busy, job("c4"), limit=1, room=room(0))) == ["c4"]


def test_two_that_fit_one_by_one_but_not_together_do_not_both_start() -> None:
    decision = decide(job("g1", 5000), job("g2", 5000), room=room(8000))
    assert started(decision) == ["g1"]


def test_a_small_one_passes_a_big_one_that_waits() -> None:
    decision = decide(job("g1", 5000), job("g2", 1000), room=room(2000))
    assert started(decision) == ["g2"]
    assert decision.passes == {"g2": ("g1",)}
    assert decision.first_waiting is not None
    assert decision.first_waiting.id == "g1"


def test_after_so_many_passes_the_gpu_is_kept_free_for_the_big_one() -> None:
    line = [job("g1", 5000), job("g2", 1000), job("c3")]
    passed = {"g1": MAX_PASSES}
    decision = decide(*line, room=room(2000), passed=passed)
    # 6000 MiB are strangers': keeping the rest free would not help, so nobody waits for it.
    assert started(decision) == ["g2", "c3"]
    device = Device(id="G0", label="GPU 0", name="", total_mib=8000, free_mib=2000)
    ours = Held(id="x", uid=1, device="G0", need=Need(vram_mib=6000), since=-1000)
    decision = decide(*line, room=measure([device], [ours], LIMITS, 0), passed=passed)
    assert started(decision) == ["c3"]
    assert decision.places["g2"].waiting_for == "job g1, which 8 later ones have passed already"


def test_one_that_another_server_goes_before_does_not_stop_the_line() -> None:
    decision = decide(
        job("g1", 5000), job("c2"), room=room(8000), refused={"g1": "its turn on GPU 0"}
    )
    assert started(decision) == ["c2"]
    assert decision.places["g1"].waiting_for == "its turn on GPU 0"


def test_a_paused_queue_starts_nothing_on_the_gpu_either() -> None:
    decision = decide(job("g1", 100), room=room(8000), queue=QueueState.PAUSED)
    assert started(decision) == []


def test_ten_thousand_mixed_jobs_all_run_none_starves_and_nothing_is_overbooked() -> None:
    """Random exports come somewhat faster than they can be done, in bursts.

    Two GPUs of 8000 MiB, three places for the CPU. Time is simulated; the choice is real.
    """
    dice = random.Random(5)
    count, places, total = 10_000, 3, 8000
    devices = [
        Device(id=f"G{n}", label=f"GPU {n}", name="", total_mib=total, free_mib=total)
        for n in range(2)
    ]
    limits = GpuLimits(places=3, headroom_mib=0, sessions=0, sessions_per_gpu=0)
    arrivals: list[tuple[float, Entry]] = []
    clock = 0.0
    for number in range(count):
        clock += dice.expovariate(0.8) if number % 100 else 60.0  # now and then the line empties
        mib = dice.choice([0, 0, 500, 1500, 2500, 7900])
        arrivals.append((clock, job(f"j{number}", mib, project=dice.choice(["a", "b", None]))))
    arrivals.reverse()

    waiting: dict[str, Entry] = {}
    running: list[tuple[float, str]] = []
    held: dict[str, Held] = {}
    on_cpu: set[str] = set()
    passed: Counter[str] = Counter()
    most_passed: Counter[str] = Counter()
    idle_gpu_beside_a_ready_job = 0
    done, now, longest_line = 0, 0.0, 0
    while done < count:
        next_end = running[0][0] if running else float("inf")
        next_arrival = arrivals[-1][0] if arrivals else float("inf")
        now = min(next_end, next_arrival)
        if next_arrival <= next_end:
            entry = arrivals.pop()[1]
            waiting[entry.id] = entry
        else:
            _, id = heapq.heappop(running)
            held.pop(id, None)
            on_cpu.discard(id)
            done += 1
        longest_line = max(longest_line, len(waiting))
        busy = [job(id, state=State.RUNNING) for id in on_cpu]
        room = measure(devices, held.values(), limits, now=1e9)
        decision = choose([*busy, *waiting.values()], NOW, limit=places, room=room, passed=passed)
        for entry in decision.start:
            del waiting[entry.id]
            heapq.heappush(running, (now + dice.uniform(1, 10), entry.id))
            if not entry.need.gpu:
                on_cpu.add(entry.id)
                continue
            space = room.place(entry.need)
            assert space is not None
            room = room.without(entry.need, space)
            held[entry.id] = Held(id=entry.id, uid=0, device=space.id, need=entry.need, since=0.0)
            passed.pop(entry.id, None)
            passed.update(decision.passes.get(entry.id, ()))
            most_passed.update({id: max(0, passed[id] - most_passed[id]) for id in passed})
        # What must hold at every moment:
        assert len(on_cpu) <= places
        for device in devices:
            leases = [lease for lease in held.values() if lease.device == device.id]
            assert sum(lease.need.vram_mib for lease in leases) <= total
            assert len(leases) <= 3
        cpu_waits = any(not entry.need.gpu for entry in waiting.values())
        assert not (cpu_waits and len(on_cpu) < places), "a free place beside a CPU job that waits"
        gpu_waits = [entry for entry in waiting.values() if entry.need.gpu]
        idle_gpu_beside_a_ready_job += bool(gpu_waits and not held)
    assert idle_gpu_beside_a_ready_job == 0, "both GPUs idle while a job waits for one"
    assert not waiting
    assert max(most_passed.values()) == MAX_PASSES, most_passed.most_common(3)
    assert longest_line > 20, "there was never a line: this proves nothing"
