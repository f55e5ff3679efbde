"""Whole exports on a real Dask cluster: the same bytes, whatever is lost on the way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from dask_support import HURRIED, Cluster
from nvidia_support import Nvidia
from queue_support import FewEncoders, until
from support import complaints, export_here, framing_spec

from jupyter_export.cluster.executor import DEATHS, DaskExecutor
from jupyter_export.cluster.submission import Lost, _outcome
from jupyter_export.errors import WorkerLost
from jupyter_export.hardware.leases import Leases
from jupyter_export.job import Progress
from jupyter_export.points import Point
from jupyter_export.queue.hold import Hold
from jupyter_export.queue.order import Order, Produced
from jupyter_export.queue.pipeline import produce
from jupyter_export.queue.reservations import Reservations
from jupyter_export.settings import Settings
from jupyter_export.spec import parse
from jupyter_export.workers.pool import LocalPool

OwnCluster = Callable[..., Cluster]


def film(start: float = 0.0, **encoding: Any) -> dict[str, Any]:
    """Some segments of a few dozen frames."""
    keyframes = [(0.0, 0.0, 0.0, 480.0, 480.0), (10.0, 700.0, 200.0, 500.0, 500.0)]
    spec = framing_spec("timecode_720p30.mp4", "out.mkv", keyframes, (480, 480), start, 6.0)
    spec["encoding"] = {"quality": "fast", "audio": "none", **encoding}
    return spec


class Site:
    """A server without its queue: an executor on a cluster, and exports through the pipeline."""

    def __init__(self, root: Path, folder: Path, **settings: Any) -> None:
        self.root = root
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.settings = Settings(data_dir=str(folder / "data"), **settings)
        self.pool = LocalPool(self.settings, 2)
        self.executor = DaskExecutor(self.settings, self.pool)
        self.progress: list[Progress] = []
        self.works: list[asyncio.Task[Produced]] = []
        self.encoders = FewEncoders()
        self.executor.start()

    async def export(self, spec: dict[str, Any]) -> Produced:
        order = Order(
            spec=parse(spec),
            root=self.root,
            part=self.folder / "out.part.mkv",
            cache=self.settings.cache_path,
            segment_seconds=1.0,
            labels={"job": "a-job", "attempt": 1},
        )
        hold = Hold(Reservations(self.settings), self.executor, patient=True)
        try:
            return await produce(
                order, self.executor, self.encoders, self.progress.append, None, hold
            )
        finally:
            await hold.close()

    def begin(self, spec: dict[str, Any]) -> asyncio.Task[Produced]:
        self.works.append(asyncio.create_task(self.export(spec)))
        return self.works[-1]

    async def close(self) -> None:
        for work in self.works:
            work.cancel()
        if self.works:
            await asyncio.wait(self.works)
        await self.executor.close()
        assert self.pool.pids == frozenset()

    async def rendering(self) -> None:
        """Until some frames of a segment are there, while none is finished."""

        def there() -> bool:
            for work in self.works:
                assert not work.done(), f"it is over: {work.result().outline.notes}"
            return bool(self.progress) and self.progress[-1].frames > 5

        await until(there)
        assert not list(self.settings.cache_path.glob("*.seg"))

    @property
    def begun(self) -> int:
        """How many segments workers of the cluster do now, as far as the executor has heard."""
        return sum(submission.begun for _, submission in self.executor._live.values())

    def waits_for(self, cluster: Cluster) -> bool:
        """Whether it says that it waits for the cluster."""
        told = str(self.progress[-1].waiting_for)
        return f"The Dask cluster {cluster.address} " in told

    @property
    def parts(self) -> set[str]:
        """The files of segments that are being written."""
        return {p.name for p in self.settings.cache_path.glob(".*.part")}

    def check_progress(self) -> None:
        """One smooth progress: it never goes back, and ends with all."""
        for before, after in zip(self.progress, self.progress[1:], strict=False):
            assert (after.frames, after.percent) >= (before.frames, before.percent)
        assert self.progress[-1].frames == self.progress[-1].total_frames


@pytest.fixture
async def site(
    root: Path, tmp_path: Path, own_cluster: OwnCluster
) -> AsyncIterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**settings: Any) -> Site:
        made.append(Site(root, tmp_path / f"site-{len(made)}", **settings))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture(scope="module")
def expected(media: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of the film as this process alone renders it."""
    done = export_here(film(), media, tmp_path_factory.mktemp("here"), segment_seconds=1.0)
    assert len(done.rendered) >= 3
    assert complaints(done.path) == ""
    return hashlib.sha256(done.path.read_bytes()).hexdigest()


async def test_an_export_on_the_cluster_has_the_bytes_of_a_local_one(
    site: Callable[..., Site], cluster: Cluster, expected: str
) -> None:
    server = site(**cluster.settings)
    with cluster.held():
        work = server.begin(film())
        await server.rendering()
    done = await work
    assert done.sha256 == expected
    assert done.outline.notes == ()
    assert server.pool.pids, "planning and assembling stay on the server's machine"
    server.check_progress()


async def test_a_small_export_stays_on_the_servers_machine(
    site: Callable[..., Site], cluster: Cluster, expected: str
) -> None:
    server = site(**{**cluster.settings, "dask_least_frames": 10_000, "dask_paths": ["/=/no"]})
    done = await server.export(film())
    assert (done.sha256, done.outline.notes) == (expected, ())


async def test_cores_are_leased_on_the_machine_that_encodes(
    site: Callable[..., Site], cluster: Cluster
) -> None:
    server = site(**cluster.settings)
    with cluster.held():
        work = server.begin(film(0.1))
        await server.rendering()
        held = Leases(Path(os.environ["XDG_RUNTIME_DIR"], "jupyter-export")).standing().held
        assert {lease.pid for lease in held} <= {worker.pid for worker in cluster.workers}
        assert held
    await work


async def test_a_hardware_encoder_is_leased_where_it_encodes_and_not_on_the_server(
    site: Callable[..., Site], own_cluster: OwnCluster, nvidia: Nvidia
) -> None:
    cluster = own_cluster(resources="NVENC=1")
    server = site(**cluster.settings)
    server.encoders = FewEncoders("h264_nvenc", "libx264")
    leases = Leases(Path(os.environ["XDG_RUNTIME_DIR"], "jupyter-export"))
    with cluster.held():
        work = server.begin(film())
        held = await until(lambda: [h for h in leases.standing().held if h.need.nvenc_sessions])
        assert {lease.pid for lease in held} <= {worker.pid for worker in cluster.workers}
    done = await work
    assert (done.outline.encoder["name"], done.outline.notes) == ("h264_nvenc", ())
    assert nvidia.pictures >= done.frames
    await until(lambda: not leases.standing().held)


async def test_killed_dask_workers_lose_nothing(
    site: Callable[..., Site], own_cluster: OwnCluster, expected: str
) -> None:
    cluster = own_cluster()
    server = site(**cluster.settings)
    with cluster.held():
        work = server.begin(film())
        await server.rendering()
        cluster.add()
        cluster.kill(0)
        await asyncio.to_thread(cluster.until_workers, 2)
        cluster.kill(1)
    done = await work
    assert (done.sha256, done.outline.notes) == (expected, ())
    server.check_progress()


@pytest.mark.skipif(sys.platform != "linux", reason="signals as Linux has them")
async def test_a_dask_worker_that_hangs_gives_way_to_another_one(
    site: Callable[..., Site], own_cluster: OwnCluster, expected: str
) -> None:
    cluster = own_cluster()
    server = site(**cluster.settings)
    server.executor._silence_seconds = 3.0
    with cluster.held():
        work = server.begin(film())
        await server.rendering()
        await until(lambda: len(server.parts) == 2)
        cluster.workers[0].send_signal(signal.SIGSTOP)
    try:
        assert (await work).sha256 == expected
    finally:
        cluster.workers[0].send_signal(signal.SIGCONT)


async def test_a_scheduler_that_comes_back_gets_the_work_again(
    site: Callable[..., Site], own_cluster: OwnCluster, expected: str
) -> None:
    cluster = own_cluster()
    server = site(**cluster.settings, dask_patience=240.0)
    with cluster.held():
        work = server.begin(film())
        await server.rendering()
        cluster.kill_scheduler()

        def told() -> bool:
            assert not work.done(), "it went on without its scheduler"
            return server.waits_for(cluster)

        await until(told)
        for worker in cluster.workers:
            worker.kill()  # without a scheduler they end by themselves, some time
    await asyncio.to_thread(cluster.start_scheduler)
    cluster.add()
    cluster.add()
    done = await work
    assert (done.sha256, done.outline.notes) == (expected, ())
    server.check_progress()


async def test_without_its_scheduler_the_export_goes_on_here_and_says_so(
    site: Callable[..., Site], own_cluster: OwnCluster, expected: str
) -> None:
    cluster = own_cluster(workers=1)
    server = site(**cluster.settings)
    with cluster.held():
        work = server.begin(film())
        await server.rendering()
        server.settings.dask_patience = 1.0
        cluster.kill_scheduler()
        done = await work
    assert done.sha256 == expected
    assert any(
        f"The Dask cluster {cluster.address} " in note and "server's machine" in note
        for note in done.outline.notes
    )
    server.check_progress()


async def test_a_cluster_without_workers_is_not_waited_for_for_ever(
    site: Callable[..., Site], own_cluster: OwnCluster, expected: str
) -> None:
    cluster = own_cluster(workers=0)
    server = site(**cluster.settings, dask_patience=1.5)
    done = await server.export(film())
    assert done.sha256 == expected
    assert any("has no workers" in note for note in done.outline.notes)


async def test_a_restarted_server_finds_its_segments_running(
    site: Callable[..., Site], own_cluster: OwnCluster, expected: str
) -> None:
    cluster = own_cluster()
    server = site(**cluster.settings)
    with cluster.held():
        work = server.begin(film())
        await until(lambda: len(server.parts) == 2)
        parts = server.parts
        server.executor.leave()
        work.cancel()
        await asyncio.wait({work})
        await server.executor.close()
        assert server.parts == parts, "the work on the cluster ended with the server"
        again = Site(server.root, server.folder, **cluster.settings)
        try:
            work = again.begin(film())
            # By what its workers tell, the new server knows that they have begun.
            await until(lambda: again.begun == 2)
            assert again.parts == parts, "they were begun again"
        except BaseException:
            await again.close()
            raise
    try:
        done = await work
        assert (done.sha256, done.outline.notes) == (expected, ())
        again.check_progress()
        assert not again.parts
    finally:
        await again.close()


async def test_a_result_that_is_lost_with_the_scheduler_is_asked_for_again(
    own_cluster: OwnCluster, tmp_path: Path
) -> None:
    def sticky(asked: str) -> Any:
        """A result that no worker gives away: to pickle it never ends."""

        class Sticky:
            def __reduce__(self) -> Any:
                Path(asked).touch()
                while True:
                    time.sleep(1)

        return Sticky()

    cluster = own_cluster(workers=1)
    async with cluster.client() as client:
        asked = tmp_path / "asked"
        outcome = asyncio.create_task(_outcome(client.submit(sticky, str(asked))))
        await until(asked.exists)
        cluster.kill_scheduler()
        with pytest.raises(Lost) as lost:
            await outcome
        assert lost.value.connection


async def test_a_cluster_that_loses_everything_is_given_up(
    site: Callable[..., Site], cluster: Cluster, expected: str
) -> None:
    from distributed import Future

    # No worker has that, so that whatever the scheduler has can be cancelled.
    server = site(**cluster.settings, dask_resources=["cpu:NOTHING=1"])
    async with cluster.client() as other:
        work = server.begin(film())
        while not work.done():
            keys = [Future(key, other) for key in server.executor._live]
            await other.cancel(keys, force=True)
            await asyncio.sleep(0.05)
    done = await work
    assert done.sha256 == expected
    assert any("does not answer" in note for note in done.outline.notes)


UNENCRYPTED = r"""
import asyncio, sys
from distributed import Scheduler, Worker
async def main():
    async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
        async with Worker(scheduler.address, host="127.0.0.1", nthreads=1):
            print(scheduler.address, flush=True)
            await scheduler.finished()
asyncio.run(main())
"""


async def test_an_unencrypted_cluster_is_refused_unless_the_administrator_says_so(
    site: Callable[..., Site], expected: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", UNENCRYPTED], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("tcp://")
            options = {"dask_scheduler": address, "dask_least_frames": 0, **HURRIED}
            refused = site(**options, dask_patience=1.0)
            done = await refused.export(film())
            assert done.sha256 == expected
            assert any("would not be encrypted" in note for note in done.outline.notes)
            taken = site(**options, dask_allow_unencrypted=True)
            done = await taken.export(film())
            assert (done.sha256, done.outline.notes) == (expected, ())
            await taken.executor.close()
        finally:
            process.kill()


async def test_a_cluster_of_somebody_else_is_not_trusted(
    site: Callable[..., Site], cluster: Cluster, tmp_path: Path, expected: str
) -> None:
    from dask_support import Certificates

    strangers = Certificates(tmp_path / "strangers")
    server = site(**{**cluster.settings, **strangers.settings, "dask_patience": 2.0})
    done = await server.export(film())
    assert done.sha256 == expected
    assert any("does not answer" in note for note in done.outline.notes)


def other_libraries(folder: Path) -> dict[str, str]:
    """The environment of a worker that renders otherwise than the server."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "if sys.argv[0] != '-c':\n"
        "    import jupyter_export.media.recipe\n"
        "    jupyter_export.media.recipe.RENDERER = 99\n"
    )
    repository = str(Path(__file__).parents[2])
    return {"PYTHONPATH": os.pathsep.join([str(folder), repository])}


async def test_workers_with_other_libraries_get_nothing_and_the_job_says_why(
    site: Callable[..., Site], own_cluster: OwnCluster, tmp_path: Path, expected: str
) -> None:
    other = other_libraries(tmp_path / "other")
    cluster = own_cluster(workers=1, environment=other)
    server = site(**cluster.settings)
    done = await server.export(film())
    assert done.sha256 == expected
    (note,) = done.outline.notes
    assert "has renderer 99, but the server plans with" in note
    repository = str(Path(__file__).parents[2])
    cluster.add({"PYTHONPATH": repository})
    await asyncio.to_thread(cluster.until_workers, 2)
    mixed = site(**cluster.settings)
    await until(lambda: len(mixed.executor._connection.threads) == 2)
    done = await mixed.export(film())
    assert (done.sha256, done.outline.notes) == (expected, ())


async def test_workers_see_the_files_under_the_paths_that_the_administrator_gave(
    site: Callable[..., Site], cluster: Cluster, root: Path, tmp_path: Path, expected: str
) -> None:
    blind = site(**cluster.settings, dask_paths=[f"{tmp_path}=/mnt/nowhere"])
    done = await blind.export(film())
    assert done.sha256 == expected
    assert any("does not see /mnt/nowhere/root" in note for note in done.outline.notes)
    (tmp_path / "there").mkdir()
    server = site(**cluster.settings, dask_paths=[f"{tmp_path}={tmp_path}/there"])
    for name in ("root", server.folder.name):
        (tmp_path / "there" / name).symlink_to(tmp_path / name)
    done = await server.export(film())
    assert (done.sha256, done.outline.notes) == (expected, ())


async def test_without_shared_files_sources_and_segments_go_through_a_store(
    site: Callable[..., Site], cluster: Cluster, tmp_path: Path, expected: str
) -> None:
    store = tmp_path / "bucket"
    server = site(
        **cluster.settings,
        dask_store=f"file://{store}",
        dask_paths=[f"{tmp_path}=/mnt/nowhere"],
    )
    done = await server.export(film())
    assert (done.sha256, done.outline.notes) == (expected, ())
    (source,) = (store / "sources").iterdir()
    assert source.read_bytes() == (server.root / "timecode_720p30.mp4").read_bytes()
    assert list((store / "segments").iterdir()) == []
    assert server.progress


async def test_what_a_dead_server_left_in_the_store_is_used_and_its_notes_are_told(
    site: Callable[..., Site], cluster: Cluster, root: Path, tmp_path: Path, expected: str
) -> None:
    url = f"file://{tmp_path / 'bucket'}"
    first = site(**cluster.settings, dask_store=url, dask_segments=2)
    with cluster.held():
        work = first.begin(film())
        await until(lambda: first.begun == 2)
        first.executor.leave()
        work.cancel()
        await asyncio.wait({work})
        await first.executor.close()
    segments = tmp_path / "bucket" / "segments"
    async with cluster.client() as other:
        # Nobody asks for them any more: the scheduler forgets them when they are finished.
        await until(lambda: len(list(segments.glob("*.json"))) == 2)
        while await other.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
            await asyncio.sleep(0.05)
    for proof in segments.glob("*.json"):
        found = json.loads(proof.read_text())
        proof.write_text(json.dumps({**found, "notes": ["A frame is bad."]}))
    second = site(**cluster.settings, dask_store=url)
    done = await second.export(film())
    assert done.sha256 == expected
    assert done.outline.notes == ("A frame is bad.",)
    assert done.outline.segments.reused == 2
    assert not list(segments.iterdir())


async def test_a_function_of_the_administrator_can_give_the_cluster(
    site: Callable[..., Site],
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected: str,
) -> None:
    (tmp_path / "our_dask.py").write_text(
        "from types import SimpleNamespace\n"
        "from distributed import Security\n"
        "async def cluster():\n"
        f"    files = dict(tls_ca_file={str(cluster.certificates.ca)!r},"
        f" tls_client_cert={str(cluster.certificates.cert)!r},"
        f" tls_client_key={str(cluster.certificates.key)!r})\n"
        f"    return SimpleNamespace(scheduler_address={cluster.address!r},\n"
        "        security=Security(require_encryption=True, **files))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    server = site(dask_cluster="our_dask:cluster", dask_least_frames=0)
    done = await server.export(film())
    assert (done.sha256, done.outline.notes) == (expected, ())
    broken = site(dask_cluster="our_dask:nothing", dask_least_frames=0, dask_patience=0.5)
    done = await broken.export(film())
    assert done.sha256 == expected
    assert any("gives no Dask cluster" in note for note in done.outline.notes)


async def test_no_more_segments_are_with_the_scheduler_than_the_setting_says(
    site: Callable[..., Site], cluster: Cluster, expected: str
) -> None:
    server = site(**cluster.settings, dask_segments=2)
    async with cluster.client() as other:
        with cluster.held():
            work = server.begin(film())
            await server.rendering()
            await until(lambda: len(server.parts) == 2)
            known = await other.run_on_scheduler(lambda dask_scheduler: [*dask_scheduler.tasks])
            assert len([key for key in known if "_render-" in key]) == 2
    done = await work
    assert (done.sha256, done.outline.notes) == (expected, ())
    assert done.outline.segments.total > 2


#: The scheduler gives up whatever is with a worker that dies, begun or not.
NO_FAILURES = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}


async def test_a_worker_that_dies_costs_no_export_a_failure(
    site: Callable[..., Site], own_cluster: OwnCluster, expected: str
) -> None:
    cluster = own_cluster(workers=1, nanny=True, environment=NO_FAILURES)
    server = site(**cluster.settings)
    (cluster.points / Point.SEGMENT_WRITTEN).write_text("SIGKILL parent")
    done = await server.export(film())
    assert (done.sha256, done.outline.notes) == (expected, ())
    assert not (cluster.points / Point.SEGMENT_WRITTEN).exists(), "no worker died"
    server.check_progress()


async def test_a_segment_with_which_worker_after_worker_dies_is_a_lost_worker_of_the_job(
    site: Callable[..., Site], own_cluster: OwnCluster, expected: str
) -> None:
    cluster = own_cluster(workers=1, nanny=True, environment=NO_FAILURES)
    server = site(**cluster.settings)
    struck = 0

    async def strike() -> None:
        nonlocal struck
        point = cluster.points / Point.SEGMENT_WRITTEN
        while True:
            if not point.exists():
                point.write_text("SIGKILL parent")
                struck += 1
            await asyncio.sleep(0.02)

    striking = asyncio.create_task(strike())
    try:
        with pytest.raises(WorkerLost, match="of the Dask cluster that did it died"):
            await server.export(film())
    finally:
        striking.cancel()
        (cluster.points / Point.SEGMENT_WRITTEN).unlink(missing_ok=True)
    assert struck >= DEATHS
    done = await server.export(film())
    assert (done.sha256, done.outline.notes) == (expected, ())


async def test_segments_wait_for_the_resources_they_take(
    site: Callable[..., Site], own_cluster: OwnCluster, expected: str
) -> None:
    cluster = own_cluster(workers=1, threads=4, resources="SLOT=1")
    server = site(**cluster.settings, dask_resources=["cpu:SLOT=1"])
    most = 0
    work = server.begin(film())
    while not work.done():
        most = max(most, len(server.parts))
        await asyncio.sleep(0.005)
    assert (await work).sha256 == expected
    assert most == 1, "a worker with one slot rendered several segments at once"
