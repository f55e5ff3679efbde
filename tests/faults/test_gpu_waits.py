"""Exports that wait for GPU memory, with real workers: all complete, none fails, each says why.

The stand-ins: NVML (`fakes/nvml`), and effects that would take GPU memory (`gpu_tasks`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gpu_support import Driver, driver, gpu
from queue_support import FewEncoders, settings, until
from support import decode
from upscale_support import SMALL, save

from jupyter_export.errors import OutOfMemory
from jupyter_export.hardware.leases import Leases
from jupyter_export.job import FINISHED, State
from jupyter_export.queue.lease_folder import LeaseFolder
from jupyter_export.queue.reservations import Reservations
from jupyter_export.queue.service import Exports
from jupyter_export.queue.store import Store
from jupyter_export.spec import clip
from jupyter_export.workers.pool import LocalPool

__all__ = ["driver"]

#: As in `gpu_tasks`.
PEAK_MIB, SEEN = 1500, "GPU_TASKS_SEEN"


class Site:
    def __init__(
        self, root: Path, exports: Exports, pool: LocalPool, leases: Leases, seen: Path
    ) -> None:
        self.root = root
        self.exports = exports
        self.pool = pool
        self.leases = leases
        self.seen = seen

    async def submit(self, name: str, need: str = "", *, upscaled: str = "") -> str:
        """`upscaled`: really, by the model of that name, on the CPU."""
        spec = clip(
            "timecode_720p30.mp4",
            0,
            1,
            output=f"{name}.mp4",
            project=need or None,
            quality="fast",
            smart=False,
        )
        if upscaled:
            spec = spec.crop((0, 0, 64, 36)).upscale(2, model=upscaled)
        job, _ = await self.exports.submit(spec, allow_duplicate=True)
        return job["id"]

    async def finished(self, *ids: str) -> list[dict[str, Any]]:
        async def all_done() -> list[dict[str, Any]] | None:
            jobs = [await self.exports.get(id) for id in ids]
            return jobs if all(job["state"] in FINISHED for job in jobs) else None

        return await until(all_done)

    async def waits(self, id: str, reason: str) -> None:
        async def told() -> bool:
            job = await self.exports.get(id)
            return job["state"] == "queued" and reason in (job["waiting_for"] or "")

        await until(told)

    def told(self, task: str) -> list[list[str]]:
        lines = [line.split() for line in self.seen.read_text().splitlines()]
        return [line[1:] for line in lines if line[0] == task]


@pytest.fixture
async def site(
    tmp_path: Path, root: Path, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    seen = tmp_path / "seen"
    seen.touch()
    monkeypatch.setenv(SEEN, str(seen))
    folder = tmp_path / "leases"
    folder.mkdir()
    models = tmp_path / "models"
    models.mkdir()
    save(models / "own.pth", SMALL["srvgg x2"])
    chosen = settings(tmp_path, lease_dir=str(folder), models_dir=str(models))
    pool = LocalPool(chosen, 8, tasks="gpu_tasks")
    exports = Exports(chosen, root, pool, FewEncoders())
    await exports.start()
    await pool.start()
    yield Site(root, exports, pool, Leases(folder), seen)
    await exports.stop()
    await pool.close()
    assert list(folder.iterdir()) == [], "leases were left behind"


async def test_a_job_waits_while_a_stranger_has_the_memory_and_completes_when_it_is_freed(
    site: Site, driver: Driver
) -> None:
    driver.free(1229)
    waiting = await site.submit("on_gpu", "2000")
    await site.waits(waiting, "GPU memory: needs 2.0 GB, 0.7 GB free on GPU 0")
    beside = await site.submit("on_cpu")
    (done,) = await site.finished(beside)
    assert done["state"] == "completed", "a job that waits for a GPU held up one that needs none"
    assert (await site.exports.get(waiting))["state"] == "queued"
    driver.free(8192)
    (job,) = await site.finished(waiting)
    assert job["state"] == "completed"
    assert job["attempt"] == 1, "waiting costs no attempt"


@pytest.mark.parametrize("upscaled", ["", "own"], ids=["stand-in", "real upscales"])
async def test_two_at_once_with_room_for_one_and_a_half_both_complete(
    site: Site, driver: Driver, upscaled: str
) -> None:
    driver.tell(gpu(total=3500))
    most = 0

    def heard(message: dict[str, Any]) -> None:
        nonlocal most
        held = [lease for lease in site.leases.standing().held if lease.need.gpu]
        most = max(most, len(held))

    site.exports.listeners.append(heard)
    ids = [await site.submit(name, "2000", upscaled=upscaled) for name in ("one", "two")]
    jobs = await site.finished(*ids)
    assert [job["state"] for job in jobs] == ["completed", "completed"], jobs
    assert [job["attempt"] for job in jobs] == [1, 1]
    assert most == 1
    if upscaled:
        for name in ("one", "two"):
            assert decode(site.root / f"{name}.mp4").luma.shape[1:] == (72, 128)


async def test_the_worker_sees_its_gpu_alone_and_is_gone_before_the_memory_is_given_on(
    site: Site, driver: Driver
) -> None:
    driver.tell(gpu(0, free=100), gpu(1))
    (job,) = await site.finished(await site.submit("on_gpu", "2000"))
    assert job["state"] == "completed"
    ((pid, device),) = site.told("render")
    assert device == "GPU-111"
    assert int(pid) not in site.pool.pids
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    await site.finished(await site.submit("on_cpu"))
    assert site.told("render")[-1][1:] == [], "a worker for the CPU was told of a GPU"


async def test_what_was_measured_is_what_later_exports_of_the_kind_ask_for(site: Site) -> None:
    first = await site.submit("first", "3000")
    await site.finished(first)
    second = await site.submit("second", "3000")
    await site.finished(second)
    store = Store(site.exports.folder / "jobs.sqlite")
    needs = [(store.get(id).need or {})["vram_mib"] for id in (first, second)]
    store.close()
    reserved = round(PEAK_MIB * 1.1)
    assert needs == [3000, reserved]
    # Each job tells what it held, and what it took.
    shown = [(await site.exports.get(id))["gpu_memory"] for id in (first, second)]
    assert shown == [
        {"reserved_mib": 3000, "peak_mib": PEAK_MIB},
        {"reserved_mib": reserved, "peak_mib": PEAK_MIB},
    ]
    on_cpu = await site.submit("on_cpu")
    (job,) = await site.finished(on_cpu)
    assert job["gpu_memory"] is None


async def test_a_need_that_only_the_plan_tells_sends_the_job_back_into_the_queue(
    site: Site, driver: Driver
) -> None:
    driver.free(1229)
    late = await site.submit("late", "2000-late")
    await site.waits(late, "GPU memory: needs 2.0 GB, 0.7 GB free")
    (beside,) = await site.finished(await site.submit("on_cpu"))
    assert beside["state"] == "completed"
    driver.free(8192)
    (job,) = await site.finished(late)
    assert (job["state"], job["error"]) == ("completed", None)


async def test_who_ran_out_of_memory_beside_others_completes_alone(site: Site) -> None:
    (job,) = await site.finished(await site.submit("oom", "2000-oom"))
    assert (job["state"], job["attempt"]) == ("completed", 2)


async def test_who_runs_out_of_memory_even_alone_fails_with_what_to_do(site: Site) -> None:
    (job,) = await site.finished(await site.submit("never", "2000-never"))
    assert job["state"] == "failed"
    assert job["error"]["type"] == "out-of-memory"
    assert job["error"]["detail"] == "It took 9 GB."
    assert job["error"]["advice"] == (
        "Use scale 2: needs 1.1 GB; end what else uses the GPU's memory; "
        "or use the CPU (set force_cpu)."
    )
    assert job["attempt"] == 2


async def test_a_gpu_that_fails_under_an_export_costs_no_export_and_poisons_none(
    site: Site,
) -> None:
    (job,) = await site.finished(await site.submit("lost", "2000-lost"))
    assert (job["state"], job["attempt"], job["error"]) == ("completed", 1, None)
    assert job["notes"] == [
        "The GPU failed: CUDA error: unspecified launch failure; upscaled on the processor instead"
    ]
    on_gpu, *after = site.told("render")
    assert on_gpu[1:] and after
    assert all(not device for _, *device in after)
    assert int(on_gpu[0]) not in {int(pid) for pid, *_ in after}, "its process cannot go on"
    assert job["gpu_memory"] is None

    (later,) = await site.finished(await site.submit("later", "2000"))
    assert (later["state"], later["notes"]) == ("completed", [])
    assert site.told("render")[-1][1:], "it was kept from a GPU that works"


async def test_a_driver_that_crashes_workers_again_and_again_is_left_alone_by_the_last_try(
    site: Site,
) -> None:
    (job,) = await site.finished(await site.submit("crash", "2000-crash"))
    assert (job["state"], job["attempt"]) == ("completed", 3)
    assert job["notes"] == [
        "The GPU was in use when workers died; upscaled on the processor instead"
    ]


async def test_a_gpu_that_vanishes_while_a_job_waits_for_it_does_not_keep_it_for_ever(
    site: Site, driver: Driver
) -> None:
    driver.free(100)
    waiting = await site.submit("on_gpu", "2000")
    await site.waits(waiting, "GPU memory")
    driver.tell(gpu(lost=True))
    # Nothing is left to wait for: its attempt shall tell what can be done without.
    (job,) = await site.finished(waiting)
    assert job["state"] == "completed"


async def test_a_cancelled_job_that_waits_gives_up_its_place_in_the_line(
    site: Site, driver: Driver
) -> None:
    driver.free(100)
    waiting = await site.submit("on_gpu", "2000")
    await until(lambda: site.leases.standing().wanted)
    await site.exports.cancel(waiting)
    await until(lambda: not site.leases.standing().wanted)
    assert (await site.exports.get(waiting))["state"] == "cancelled"


async def test_another_users_lease_is_waited_for(
    site: Site, tmp_path: Path, driver: Driver
) -> None:
    other = Reservations(
        settings(tmp_path / "other"),
        folder=LeaseFolder(path=site.leases.folder, shared=True),
    )
    lease = await other.gpu(await other.need("libx264", {"mib": 7000, "key": ""}), lambda r: None)
    waiting = await site.submit("on_gpu", "2000")
    await site.waits(waiting, "GPU memory: needs 2.0 GB, 0.7 GB free on GPU 0")
    lease.release()
    (job,) = await site.finished(waiting)
    assert job["state"] == State.COMPLETED
    await asyncio.sleep(0)


async def test_what_no_gpu_can_ever_hold_is_refused_with_what_it_could(site: Site) -> None:
    with pytest.raises(OutOfMemory) as refused:
        await site.submit("a", "9000-huge")
    assert str(refused.value) == (
        "Upscaling needs 8.8 GB of GPU memory, the largest GPU has 7.5 GB. "
        "Use scale 2: needs 1.1 GB; or the CPU (set force_cpu)."
    )
    assert await site.exports.active() == []
    # Whoever is taken in unseen hears it as soon as there is a plan, and does not wait for it.
    (late,) = await site.finished(await site.submit("late", "9000-huge-late"))
    assert (late["state"], late["attempt"]) == ("failed", 1)
    assert late["error"]["detail"] == refused.value.detail
    assert late["error"]["advice"] == refused.value.advice
    # The estimate says the same, before anybody submits; and what it takes is known.
    spec = clip("timecode_720p30.mp4", 0, 1, output="a.mp4", project="9000-huge", smart=False)
    estimate = await site.exports.estimates.of(spec)
    assert estimate["refusal"]["detail"] == refused.value.detail
    assert estimate["vram_mib"] == 9000
    # What others hold now is no reason.
    fits = spec.in_project("7000-huge")
    assert (await site.exports.estimates.of(fits))["refusal"] is None
