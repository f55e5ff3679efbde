"""Exports in the queue that need NVENC sessions or cores, and where leases are kept."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from gpu_support import Driver, driver, gpu
from queue_support import FewEncoders, FileExecutor, Hold, settings, until

from jupyter_export.hardware.allocation import Allocation
from jupyter_export.hardware.gpus import Gpus
from jupyter_export.hardware.leases import Leases
from jupyter_export.job import FINISHED
from jupyter_export.queue import lease_folder, sharing
from jupyter_export.queue.hold import Hold as AttemptHold
from jupyter_export.queue.lease_folder import LeaseFolder, find_folder
from jupyter_export.queue.reservations import Reservations
from jupyter_export.queue.service import Exports
from jupyter_export.spec import clip

__all__ = ["driver"]


class Server:
    """Exports that write text, with real leases."""

    def __init__(self, folder: Path, executor: FileExecutor, encoder: str, **values: Any) -> None:
        self.root = folder / "root"
        self.root.mkdir(exist_ok=True)
        (self.root / "source.mp4").write_text("content")
        self.leases = folder / "leases"
        self.leases.mkdir(exist_ok=True)
        self.executor = executor
        self.settings = settings(folder / f"data-{id(self)}", lease_dir=str(self.leases), **values)
        reservations = Reservations(
            self.settings, allotted=Allocation(cores=values.get("encoding_cores", 2), pool="cpu")
        )
        self.exports = Exports(
            self.settings, self.root, executor, FewEncoders(encoder), reservations=reservations
        )

    async def submit(self, name: str) -> str:
        job, _ = await self.exports.submit(clip("source.mp4", output=f"{name}.mp4"))
        return str(job["id"])

    async def job(self, id: str) -> dict[str, Any]:
        return await self.exports.get(id)

    async def all_completed(self, *ids: str) -> bool:
        jobs = [await self.job(id) for id in ids]
        assert not [job for job in jobs if job["state"] in {"failed", "cancelled"}]
        return all(job["state"] in FINISHED for job in jobs)

    async def waits_for(self, id: str, reason: str) -> bool:
        return reason in ((await self.job(id))["waiting_for"] or "")


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    servers: list[Server] = []

    async def start(
        executor: FileExecutor | None = None, encoder: str = "libx264", **values: Any
    ) -> Server:
        servers.append(Server(tmp_path, executor or FileExecutor(), encoder, **values))
        await servers[-1].exports.start()
        return servers[-1]

    yield start
    for server in servers:
        await server.exports.stop()
        assert list(server.leases.iterdir()) == [], "leases were left behind"


Serve = Callable[..., Any]


async def test_the_fourth_encode_waits_for_a_session_instead_of_failing(
    serve: Serve, driver: Driver
) -> None:
    hold = Hold()
    executor = FileExecutor()
    executor.before = hold
    server = await serve(
        executor, "h264_nvenc", nvenc_sessions=3, gpu_exports_per_device=9, segment_workers=1
    )
    ids = [await server.submit(f"out{n}") for n in range(4)]
    await until(lambda: executor.names().count("render") == 3)
    reason = "NVENC sessions: needs 1, 0 free on GPU 0"
    await until(lambda: server.waits_for(ids[3], reason))
    hold.go.set()
    await until(lambda: server.all_completed(*ids))
    assert len(executor.retired) == 4, "a worker kept its session"


async def test_another_server_gets_its_turn(serve: Serve, driver: Driver) -> None:
    """Two servers, one session: the one that waits goes before the next of the one that works."""
    order: list[str] = []
    first_hold = Hold()

    def executor(name: str) -> FileExecutor:
        made = FileExecutor(segments=1)

        async def before(task: Any) -> None:
            if task.name == "render":
                order.append(name)
                if len(order) == 1:
                    await first_hold(task)

        made.before = before
        return made

    limits = {"nvenc_sessions": 1, "segment_workers": 1}
    one = await serve(executor("one"), "h264_nvenc", **limits)
    ids = [await one.submit(f"one{n}") for n in range(3)]
    await first_hold.reached.wait()
    await until(lambda: Leases(one.leases).standing().wanted)
    two = await serve(executor("two"), "h264_nvenc", **limits)
    other = await two.submit("two")
    await until(lambda: len(Leases(one.leases).standing().wanted) == 2)
    first_hold.go.set()
    await until(lambda: one.all_completed(*ids))
    await until(lambda: two.all_completed(other))
    assert order.index("two") < 3, order


async def test_encoders_of_all_servers_together_take_no_more_cores_than_there_are(
    serve: Serve,
) -> None:
    hold = Hold()
    executor = FileExecutor()
    executor.before = hold
    one = await serve(executor, encoding_cores=1)
    two = await serve(encoding_cores=1)
    first = await one.submit("first")
    await hold.reached.wait()
    told: list[str | None] = []
    two.exports.listeners.append(
        lambda message: (
            told.append(message.get("waiting_for")) if message["type"] == "progress" else None
        )
    )
    second = await two.submit("second")
    await until(lambda: two.waits_for(second, "a free core: 1 of 1 encode"))
    assert "a free core: 1 of 1 encode" in told, "the feed did not tell"
    assert (await two.job(second))["state"] == "running"
    assert (await one.job(first))["waiting_for"] is None
    hold.go.set()
    await until(lambda: one.all_completed(first))
    await until(lambda: two.all_completed(second))
    assert told[-1] is None


async def test_a_job_that_waits_for_a_core_can_be_cancelled(serve: Serve) -> None:
    hold = Hold()
    executor = FileExecutor()
    executor.before = hold
    server = await serve(executor, encoding_cores=1)
    first, second = await server.submit("first"), await server.submit("second")
    await until(lambda: server.waits_for(second, "a free core"))
    await server.exports.cancel(second)

    async def cancelled() -> bool:
        return bool((await server.job(second))["state"] == "cancelled")

    await until(cancelled)
    hold.go.set()
    await until(lambda: server.all_completed(first))


async def test_one_server_alone_never_waits_for_cores(serve: Serve) -> None:
    """What its own settings allow, it may do, also on a machine with fewer cores."""
    executor = FileExecutor()
    server = await serve(executor, max_concurrent_exports=4)
    hold = Hold()
    executor.before = hold
    ids = [await server.submit(f"out{n}") for n in range(4)]
    await until(lambda: executor.names().count("render") == 4)
    hold.go.set()
    await until(lambda: server.all_completed(*ids))


async def test_a_higher_limit_counts_at_once(serve: Serve) -> None:
    executor = FileExecutor()
    hold = Hold()
    executor.before = hold
    server = await serve(executor, max_concurrent_exports=1)
    ids = [await server.submit(f"out{n}") for n in range(3)]
    await hold.reached.wait()
    await until(lambda: server.waits_for(ids[1], "a free place: 1 of 1 run"))
    server.settings.max_concurrent_exports = 3
    server.exports.limits_changed()
    await until(lambda: executor.names().count("render") == 3)
    hold.go.set()
    await until(lambda: server.all_completed(*ids))


async def test_a_directory_that_is_removed_stops_no_export(serve: Serve, tmp_path: Path) -> None:
    server = await serve()
    server.leases.rmdir()
    id = await server.submit("out")
    await until(lambda: server.all_completed(id))
    server.leases.mkdir()


async def test_an_interrupted_wait_gives_back_what_it_was_granted_meanwhile(
    tmp_path: Path, driver: Driver
) -> None:
    reservations = Reservations(settings(tmp_path), folder=LeaseFolder(path=tmp_path, shared=False))
    need = await reservations.need("libx264", {"mib": 100, "key": ""})
    for pause in (0.0, 0.0005, 0.001, 0.002, 0.004):
        asking = asyncio.create_task(reservations.try_gpu(need, 0))
        await asyncio.sleep(pause)
        if asking.cancel():
            await asyncio.gather(asking, return_exceptions=True)
        else:
            answer = asking.result()
            if answer.lease is not None:
                answer.lease.release()
    await until(lambda: not Leases(tmp_path).standing().held)


async def test_an_export_without_a_queue_waits_by_itself(tmp_path: Path, driver: Driver) -> None:
    driver.free(100)
    nowhere = LeaseFolder(path=tmp_path, shared=False)
    reservations = Reservations(settings(tmp_path), folder=nowhere)
    hold = AttemptHold(reservations, FileExecutor(), patient=True)
    reasons: list[str | None] = []
    waiting = asyncio.create_task(hold.ensure("libx264", {"mib": 1000, "key": ""}, reasons.append))
    await until(lambda: reasons)
    assert reasons[0] == "GPU memory: needs 1.0 GB, 0.0 GB free on GPU 0"
    driver.free(8192)
    await waiting
    assert reasons[-1] is None, "it still says that it waits"
    assert hold.share is not None
    assert hold.share.device == "GPU-000"
    await hold.close()
    assert not Leases(tmp_path).standing().held


def test_the_doctor_tells_how_much_is_free_and_whom_it_is_shared_with(
    tmp_path: Path, driver: Driver
) -> None:
    driver.tell(gpu(total=8192, free=5120, name="Test GPU"), gpu(1, lost=True))
    reservations = Reservations(
        settings(tmp_path, encoding_cores=4),
        folder=LeaseFolder(path=tmp_path, shared=True),
        allotted=Allocation(cores=4, pool="x", by="SLURM job 7"),
    )
    assert sharing.to_lines(reservations.to_json(), Gpus({}).view()) == [
        "",
        "Sharing",
        f"  leases in {tmp_path}, for all users of the machine",
        "  4 segments are encoded in software at once, allotted by SLURM job 7",
        "  GPU 0, Test GPU: 5.0 GB of 8.0 GB are free",
        "  GPU 1: lost: it has fallen off the bus, or was reset",
    ]


# Where leases are kept


def test_the_administrators_directory_is_taken(tmp_path: Path) -> None:
    tmp_path.chmod(0o3770)
    found = find_folder("", shared=tmp_path)
    assert (found.path, found.shared, found.notice) == (tmp_path, True, "")


def test_without_it_one_of_the_user_is_made_and_the_notice_says_what_is_lost(
    tmp_path: Path,
) -> None:
    missing = tmp_path / "run"
    found = find_folder("", shared=missing, environment={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert found.path == tmp_path / "jupyter-export"
    assert found.path.stat().st_mode & 0o777 == 0o700
    assert not found.shared
    assert "this user's servers only" in found.notice
    assert str(missing) in found.notice


def test_a_network_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setattr(lease_folder, "is_network", lambda path: path == shared)
    own = tmp_path / "own"
    own.mkdir()
    found = find_folder(str(shared), environment={"XDG_RUNTIME_DIR": str(own)})
    assert found.path == own / "jupyter-export"
    assert f"lease_dir cannot be used: {shared} is on a network disk" in found.notice


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_that_another_user_has_prepared_in_tmp_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    trap = tmp_path / "jupyter-export-0"
    trap.mkdir()
    os.chown(trap, 12345, 12345)
    found = find_folder("", shared=tmp_path / "none", environment={})
    assert found.path is None
    assert "for itself alone" in found.notice


async def test_without_any_directory_exports_still_run(tmp_path: Path, driver: Driver) -> None:
    driver.tell(gpu(total=8192))
    nowhere = LeaseFolder(path=None, shared=False, notice="nowhere")
    reservations = Reservations(settings(tmp_path), folder=nowhere)
    need = await reservations.need("h264_nvenc", {"mib": 1000, "key": ""})
    lease = await reservations.gpu(need, lambda reason: None)
    assert lease.device == "GPU-000"
    lease.release()
    async with reservations.cores(lambda reason: None):
        pass
