"""What is left of the GPUs, where an export fits best, and whose turn it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jupyter_export.hardware.gpus import Device
from jupyter_export.hardware.leases import Held
from jupyter_export.hardware.needs import Need, calibrated, gpu_need
from jupyter_export.hardware.room import (
    ASLEEP_SECONDS,
    MACHINE,
    PATIENCE_SECONDS,
    SETTLED_SECONDS,
    GpuLimits,
    Room,
    measure,
    turn,
)

NOW = 1_000_000.0
LONG_AGO = NOW - 2 * SETTLED_SECONDS


def device(number: int = 0, total: int = 8192, free: int | None = None, **more: Any) -> Device:
    return Device(
        id=f"G{number}",
        label=f"GPU {number}",
        name="Test",
        total_mib=total,
        free_mib=total if free is None else free,
        nvenc=more.pop("nvenc", True),
        **more,
    )


def held(mib: int = 0, on: str = "G0", since: float = LONG_AGO, **need: Any) -> Held:
    return Held(id="x", uid=1, device=on, need=Need(vram_mib=mib, **need), since=since)


def limits(**changed: int) -> GpuLimits:
    return GpuLimits(
        **{"places": 2, "headroom_mib": 500, "sessions": 8, "sessions_per_gpu": 0, **changed}
    )


def room(*devices: Device, leases: list[Held] | None = None, **changed: int) -> Room:
    return measure(devices, leases or [], limits(**changed), NOW)


def where(room: Room, mib: int, **need: Any) -> str | None:
    space = room.place(Need(vram_mib=mib, **need))
    return None if space is None else space.id


def test_what_does_not_fit_waits_and_tells_how_much_is_missing() -> None:
    full = room(device(free=1217))
    assert where(full, 2150) is None
    assert full.refusal(Need(vram_mib=2150)) == "GPU memory: needs 2.1 GB, 0.7 GB free on GPU 0"


def test_headroom_stays_free() -> None:
    assert where(room(device(total=4096)), 3596) == "G0"
    assert where(room(device(total=4096, free=4000)), 3596) is None


def test_a_lease_counts_before_its_memory_is_taken() -> None:
    """Two exports admitted within a second must not both see the same free memory."""
    young = [held(5000, since=NOW - 1)]
    assert where(room(device(), leases=young), 3000) is None
    assert where(room(device(), leases=young), 2600) == "G0"


def test_memory_that_a_lease_has_taken_is_not_counted_twice() -> None:
    settled = [held(5000)]
    assert where(room(device(free=3192), leases=settled), 2600) == "G0"


def test_strangers_memory_is_not_given_away() -> None:
    assert where(room(device(free=1000), leases=[held(1000)]), 600) is None


def test_the_idle_device_is_taken_before_the_roomier_one_that_works() -> None:
    two = room(device(0, 24000), device(1, 8000), leases=[held(1000, "G0")])
    assert where(two, 1000) == "G1"


def test_of_idle_devices_the_smallest_that_suffices_is_taken() -> None:
    three = room(device(0, 24000), device(1, 8000), device(2, 4000))
    assert [where(three, mib) for mib in (2000, 5000, 20000)] == ["G2", "G1", "G0"]


def test_places_limit_what_memory_would_allow() -> None:
    crowded = room(device(), leases=[held(100), held(100)])
    assert where(crowded, 100) is None
    assert crowded.refusal(Need(vram_mib=100)) == "GPU 0: 2 exports use it already"


def test_who_needs_more_than_there_is_gets_a_whole_device_instead_of_waiting_for_ever() -> None:
    assert where(room(device(total=4096)), 9000) == "G0"
    assert where(room(device(total=4096), leases=[held(100)]), 9000) is None


def test_who_ran_out_of_memory_gets_the_device_alone_and_keeps_it_so() -> None:
    again = Need(vram_mib=1000, alone=True)
    busy = room(device(), leases=[held(100)])
    assert busy.place(again) is None
    assert busy.refusal(again) == "GPU 0 for itself alone"
    assert room(device()).place(again) is not None
    assert where(room(device(), leases=[held(1000, alone=True)]), 100) is None


def test_sessions_are_counted_over_the_whole_machine() -> None:
    one_each = [held(0, "G0", nvenc_sessions=2), held(0, "G1", nvenc_sessions=1)]
    two = room(device(0), device(1), leases=one_each, sessions=3)
    assert where(two, 0, nvenc_sessions=1) is None
    assert two.refusal(Need(nvenc_sessions=1)).startswith("NVENC sessions: needs 1, 0 free")
    assert where(two, 100) is not None, "exports that need none go on"


def test_sessions_of_one_gpu_have_their_own_limit() -> None:
    busy = [held(0, "G0", nvenc_sessions=2)]
    two = room(device(0), device(1), leases=busy, sessions=0, sessions_per_gpu=2)
    assert where(two, 0, nvenc_sessions=2) == "G1"


def test_sessions_of_strangers_count() -> None:
    assert where(room(device(sessions=3), sessions=3), 0, nvenc_sessions=1) is None


def test_encoding_goes_to_the_gpu_that_can_encode() -> None:
    mixed = room(device(0, nvenc=False), device(1, nvenc=True), leases=[held(100, "G1")])
    assert where(mixed, 100, nvenc_sessions=1) == "G1"
    assert where(mixed, 100) == "G0"


def test_a_driver_that_does_not_tell_who_encodes_is_not_taken_for_a_no() -> None:
    assert where(room(device(nvenc=False)), 0, nvenc_sessions=1) == "G0"


def test_without_nvml_only_sessions_and_places_are_counted() -> None:
    blind = room(leases=[held(0, MACHINE, nvenc_sessions=2)], sessions=3)
    assert where(blind, 5000, nvenc_sessions=1) == MACHINE
    assert where(blind, 0, nvenc_sessions=2) is None


def test_measured_peaks_replace_the_estimate() -> None:
    assert calibrated(4000, []) == 4000
    assert calibrated(4000, [1000, 2000, 1500]) == 2200
    assert calibrated(0, [2000]) == 0, "an export without effects on the GPU needs none"


def test_each_encoder_that_works_at_once_needs_a_session() -> None:
    assert gpu_need(nvenc=True, width=2).nvenc_sessions == 2
    assert gpu_need(nvenc=False, width=2).gpu is False
    # Two workers would need the memory of the effects twice.
    assert gpu_need(nvenc=True, width=2, vram_mib=1000).nvenc_sessions == 1


# Whose turn it is


def waiter(id: str, uid: int, since: float, mib: int = 1000, priority: int = 0) -> Held:
    need = Need(vram_mib=mib)
    return Held(id=id, uid=uid, device="", need=need, since=since, priority=priority, looked=NOW)


def first(waiters: list[Held], leases: list[Held], fits: int = 1000) -> list[str]:
    """Who may go, of those who fit."""
    return [
        me.id
        for me in waiters
        if me.need.vram_mib <= fits
        and turn(
            me,
            waiters,
            leases,
            NOW,
            fits=lambda needs: sum(need.vram_mib for need in needs) <= fits,
            reachable=lambda need: need.vram_mib < 20_000,
        )
    ]


def lease_of(uid: int) -> Held:
    return Held(id=f"l{uid}", uid=uid, device="G0", need=Need(vram_mib=1), since=LONG_AGO)


def test_exactly_one_of_those_who_wait_may_go() -> None:
    waiters = [waiter("a", 1, NOW - 3), waiter("b", 2, NOW - 5), waiter("c", 3, NOW - 4)]
    assert first(waiters, []) == ["b"]


def test_the_user_who_holds_less_goes_before_priority_and_age() -> None:
    waiters = [waiter("old", 1, NOW - 50, priority=9), waiter("new", 2, NOW - 1)]
    assert first(waiters, [lease_of(1)]) == ["new"]


def test_people_whose_servers_run_as_one_user_of_the_system_are_told_apart() -> None:
    waiters = [
        replace(waiter("old", 1000, NOW - 50), person="ann"),
        replace(waiter("new", 1000, NOW - 1), person="ben"),
    ]
    assert first(waiters, [replace(lease_of(1000), person="ann")]) == ["new"]
    assert first(waiters, [replace(lease_of(1000), person="ben")]) == ["old"]


def test_of_one_user_the_higher_priority_goes_first() -> None:
    waiters = [waiter("old", 1, NOW - 50), waiter("urgent", 1, NOW - 1, priority=1)]
    assert first(waiters, []) == ["urgent"]


@pytest.mark.parametrize(
    ("waited", "goes"), [(PATIENCE_SECONDS / 2, ["small"]), (PATIENCE_SECONDS * 2, [])]
)
def test_a_small_one_passes_a_big_one_only_for_a_while(waited: float, goes: list[str]) -> None:
    waiters = [waiter("big", 1, NOW - waited, mib=9000), waiter("small", 2, NOW - 1, mib=100)]
    assert first(waiters, [], fits=500) == goes


def test_nobody_waits_for_one_whose_memory_strangers_have_taken() -> None:
    hopeless = waiter("big", 1, NOW - 9 * PATIENCE_SECONDS, mib=30_000)
    assert first([hopeless, waiter("small", 2, NOW - 1, mib=100)], [], fits=500) == ["small"]


def test_who_waits_for_cores_does_not_stand_before_who_waits_for_a_gpu() -> None:
    cores = Held(id="c", uid=1, device="", need=Need(cores=1), since=LONG_AGO, looked=NOW)
    gpu = waiter("gpu", 2, NOW - 1)
    assert turn(
        gpu, [cores, gpu], [], NOW, fits=lambda needs: len(needs) == 1, reachable=lambda n: True
    )


def test_where_there_is_room_for_both_nobody_waits_for_the_other() -> None:
    waiters = [waiter("a", 1, NOW - 3), waiter("b", 2, NOW - 5)]
    assert first(waiters, [], fits=2000) == ["a", "b"]


def test_a_stopped_server_at_the_head_of_the_line_keeps_nobody_waiting() -> None:
    stopped = replace(waiter("stopped", 1, NOW - 50), looked=NOW - 2 * ASLEEP_SECONDS)
    assert first([waiter("b", 2, NOW - 5), stopped], [])[0] == "b"
