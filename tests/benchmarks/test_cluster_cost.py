"""What a Dask cluster costs over the local pool, of what that consists, and the cost model.

python3 tests/run.py tests/benchmarks/test_cluster_cost.py --benchmarks -s

On a machine that does nothing else: pool and cluster get the same two workers, in pairs A B A B.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from dask_support import HURRIED, Cluster
from queue_support import FewEncoders
from support import clip_spec, ffmpeg

from jupyter_export.cluster.executor import DaskExecutor
from jupyter_export.cluster.model import Costs, Work, simulate, throughput
from jupyter_export.job import Progress
from jupyter_export.queue.hold import Hold
from jupyter_export.queue.order import Order, Produced
from jupyter_export.queue.pipeline import produce
from jupyter_export.queue.reservations import Reservations
from jupyter_export.settings import Settings
from jupyter_export.spec import parse
from jupyter_export.workers.executor import Executor, Offer, OnProgress, Remote, Task
from jupyter_export.workers.pool import LocalPool

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3000)]

WORKERS = 2
SECONDS = int(os.environ.get("CLUSTER_FILM_SECONDS", "120"))
PAIRS = int(os.environ.get("CLUSTER_PAIRS", "5"))
TASKS = int(os.environ.get("CLUSTER_TASKS", "1000"))
EVENTS = 2000
TICK = os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, media: Path) -> Path:
    """Two minutes of 720p25 with film-like content, a keyframe every 2 s, and no sound."""
    folder = tmp_path_factory.mktemp("film")
    ffmpeg(
        *("-stream_loop", "-1", "-i", media / "bunny_720p25.mp4", "-t", SECONDS, "-an"),
        *("-c:v", "libx264", "-preset", "fast", "-g", 50),
        folder / "film.mp4",
    )
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"), workers=WORKERS, threads=1)
    yield made
    made.close()


class Timed:
    """An executor that notes when each task began and ended."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.spans: list[tuple[str, float, float]] = []

    async def run(self, task: Task, on_progress: OnProgress) -> dict[str, Any]:
        begin = time.perf_counter()
        try:
            return await self._executor.run(task, on_progress)
        finally:
            self.spans.append((task.name, begin, time.perf_counter()))

    async def offer(self, frames: int) -> Offer:
        return await self._executor.offer(frames)

    def leave(self) -> None:
        self._executor.leave()

    async def retire(self, lease: str) -> None:
        await self._executor.retire(lease)

    async def close(self) -> None:
        await self._executor.close()

    def seconds(self, name: str) -> float:
        return sum(end - begin for task, begin, end in self.spans if task == name)


@asynccontextmanager
async def executor(folder: Path, cluster: Cluster | None) -> AsyncIterator[tuple[Settings, Any]]:
    given = cluster.settings if cluster else HURRIED
    settings = Settings(data_dir=str(folder), segment_workers=WORKERS, **given)
    pool = LocalPool(settings, WORKERS)
    made: Any = pool
    if cluster is not None:
        made = DaskExecutor(settings, pool)
        made.start()
    else:
        await pool.start()
    try:
        yield settings, made
    finally:
        await made.close()


async def export(
    root: Path, folder: Path, settings: Settings, chosen: Any, spec: dict[str, Any]
) -> tuple[Produced, float, list[Progress]]:
    order = Order(
        spec=parse(spec),
        root=root,
        part=folder / f"{time.monotonic_ns()}.mp4",
        cache=folder / f"segments-{time.monotonic_ns()}",
        width=WORKERS,
    )
    order.cache.mkdir(parents=True)
    progress: list[Progress] = []
    hold = Hold(Reservations(settings), chosen, patient=True)
    begin = time.perf_counter()
    produced = await produce(order, chosen, FewEncoders(), progress.append, None, hold)
    seconds = time.perf_counter() - begin
    await hold.close()
    order.part.unlink()
    return produced, seconds, progress


def cpu(pid: int) -> float:
    """Seconds that a process, without its children, has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def dask_cpu(cluster: Cluster) -> dict[str, float]:
    return {
        "server": time.process_time(),
        "scheduler": cpu(cluster.scheduler_pid),
        "workers": sum(cpu(worker.pid) for worker in cluster.workers),
    }


async def test_overhead_over_the_local_pool_in_pairs(
    film: Path, cluster: Cluster, tmp_path: Path
) -> None:
    spec = clip_spec("film.mp4", "out.mp4", 0.0, float(SECONDS), quality="balanced")
    ratios, kept = [], {}
    async with (
        executor(tmp_path / "here", None) as (settings, pool),
        executor(tmp_path / "there", cluster) as (remote_settings, dask),
    ):
        short = clip_spec("film.mp4", "out.mp4", 0.0, 20.0, quality="fast")
        for where, given, chosen in (("here", settings, pool), ("there", remote_settings, dask)):
            await export(film, tmp_path / where, given, chosen, short)  # warms all workers
        for _ in range(PAIRS):
            here, there = Timed(pool), Timed(dask)
            local, local_seconds, _ = await export(film, tmp_path / "here", settings, here, spec)
            before = dask_cpu(cluster)
            remote, seconds, progress = await export(
                film, tmp_path / "there", remote_settings, there, spec
            )
            spent = {name: value - before[name] for name, value in dask_cpu(cluster).items()}
            assert remote.sha256 == local.sha256
            frames = [p.frames for p in progress]
            assert frames == sorted(frames)
            ratios.append(seconds / local_seconds)
            kept = {"local": local_seconds, "cluster": seconds, "ratio": ratios[-1], "cpu": spent}
            print(f"\n{json.dumps(kept)}")
    count = remote.outline.segments.total
    print(
        f"{SECONDS} s of 720p in {count} segments: cluster / pool, median of {PAIRS} pairs "
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}); "
        f"of each segment's way, in CPU: "
        + ", ".join(f"{name} {1e3 * value / count:.1f} ms" for name, value in kept["cpu"].items())
    )
    assert statistics.median(ratios) < 1.25


class Meter:
    """CPU of server, scheduler and workers above what they take while nothing happens."""

    wall = 0.0

    def __init__(self, cluster: Cluster, dask: DaskExecutor) -> None:
        self._cluster = cluster
        self._dask = dask
        self._idle = {"server": 0.0, "scheduler": 0.0, "workers": 0.0}

    async def rest(self, seconds: float) -> None:
        """Measure what is taken while nothing happens."""
        before = dask_cpu(self._cluster)
        begin = time.perf_counter()
        await asyncio.sleep(seconds)
        after, wall = dask_cpu(self._cluster), time.perf_counter() - begin
        self._idle = {name: (after[name] - before[name]) / wall for name in after}

    async def run(self, name: str, count: int, **params: Any) -> dict[str, float]:
        """Seconds of CPU for so many tasks; sets `wall`."""
        remote = Remote(encoder="", hardware=True)  # leases nothing

        async def one(number: int) -> None:
            task = Task(name=name, params={**params, "n": number}, remote=remote)
            await self._dask.run(task, lambda _: None)

        return await self._above_rest(asyncio.gather(*(one(number) for number in range(count))))

    async def tell(self, topic: str, count: int) -> dict[str, float]:
        """Seconds of CPU for so many events of each worker, none of them together with others."""

        def events(topic: str, count: int) -> None:
            from distributed import get_worker

            worker = get_worker()
            for number in range(count):
                progress = {"frames": number, "total_frames": count}
                event = {"key": "nobody's", "run": "01234567", "progress": progress}
                worker.log_event(topic, {**event, "worker": worker.address})
                time.sleep(0.005)

        async with self._cluster.client() as client:
            workers = [*(await client.nthreads())]
            return await self._above_rest(
                client.gather(
                    [
                        client.submit(events, topic, count, workers=[worker], pure=False)
                        for worker in workers
                    ]
                )
            )

    async def _above_rest(self, work: Awaitable[Any]) -> dict[str, float]:
        before = dask_cpu(self._cluster)
        begin = time.perf_counter()
        await work
        after, self.wall = dask_cpu(self._cluster), time.perf_counter() - begin
        return {name: after[name] - before[name] - self._idle[name] * self.wall for name in after}


async def measured_costs(cluster: Cluster, folder: Path) -> Costs:
    """By tasks that do nothing, and by events that are about nothing."""
    settings = Settings(data_dir=str(folder), **cluster.settings)
    pool = LocalPool(settings, 1, tasks="cost_tasks")
    dask = DaskExecutor(settings, pool, tasks="cost_tasks")
    dask.start()
    meter = Meter(cluster, dask)
    payload = {"recipe": "x" * 30_000}  # as large as a segment's recipe
    try:
        await meter.run("nothing", 20, **payload)
        await meter.rest(10)
        spent = await meter.run("nothing", TASKS, **payload)
        wall = meter.wall
        told = await meter.tell(dask._connection.topic, EVENTS)
        events = WORKERS * EVENTS
    finally:
        await dask.close()
    costs = Costs(
        server=spent["server"] / TASKS,
        server_event=max(0.0, told["server"] / events),
        scheduler=spent["scheduler"] / TASKS,
        scheduler_event=max(0.0, told["scheduler"] / events),
        worker=wall * WORKERS / TASKS,
        bandwidth=_bandwidth(folder),
    )
    print(f"\n{json.dumps(asdict(costs), indent=1)}")
    print(
        f"1,000 segments cost the server {1e3 * costs.server:.1f} s of CPU, the scheduler "
        f"{1e3 * costs.scheduler:.1f} s, the workers {1e3 * spent['workers'] / TASKS:.1f} s; "
        f"{wall / TASKS * 1e3:.1f} ms each through two workers; 1,000 events cost the server "
        f"{1e6 * costs.server_event:.0f} ms, the scheduler {1e6 * costs.scheduler_event:.0f} ms"
    )
    return costs


async def test_costs_of_a_segments_way(cluster: Cluster, tmp_path: Path) -> None:
    costs = await measured_costs(cluster, tmp_path)
    assert costs.server < 0.1


async def test_a_burst_of_submissions_leaves_the_servers_loop_to_its_users(
    cluster: Cluster, tmp_path: Path
) -> None:
    given = {**cluster.settings, "dask_segments": TASKS}
    settings = Settings(data_dir=str(tmp_path), **given)
    dask = DaskExecutor(settings, LocalPool(settings, 1, tasks="cost_tasks"), tasks="cost_tasks")
    dask.start()
    late: list[float] = []

    async def look() -> None:
        while True:
            begin = time.perf_counter()
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - begin - 0.005)

    meter = Meter(cluster, dask)
    try:
        await meter.run("nothing", 20)
        looking = asyncio.create_task(look())
        await meter.run("nothing", TASKS, recipe="x" * 30_000)
        looking.cancel()
    finally:
        await dask.close()
    late.sort()
    print(
        f"\n{TASKS} segments submitted at once: the loop was late by {1e3 * late[-1]:.0f} ms at "
        f"most, {1e3 * late[int(0.99 * len(late))]:.0f} ms in 99 % of all looks"
    )
    assert late[-1] < 0.5


async def test_a_cancelled_export_ends_on_the_cluster_within_two_seconds(
    film: Path, cluster: Cluster, tmp_path: Path
) -> None:
    spec = clip_spec("film.mp4", "out.mp4", 0.0, float(SECONDS), quality="balanced")
    took = []
    async with executor(tmp_path, cluster) as (_, dask):
        for number in range(10):
            order = Order(
                spec=parse(spec),
                root=film,
                part=tmp_path / "out.mp4",
                cache=tmp_path / f"segments-{number}",
                width=WORKERS,
            )
            order.cache.mkdir()
            work = asyncio.create_task(produce(order, dask, FewEncoders(), lambda _: None))
            while len(parts(order.cache)) < WORKERS:
                await asyncio.sleep(0.01)
            await asyncio.sleep(number / 10)
            begin = time.perf_counter()
            work.cancel()
            await asyncio.wait({work})
            took.append(time.perf_counter() - begin)
            sizes = parts(order.cache)
            await asyncio.sleep(0.3)
            assert parts(order.cache) == sizes, "something still writes"
    print(
        f"\ncancelled, until nothing writes any more: median {1e3 * statistics.median(took):.0f} "
        f"ms, worst of {len(took)} {1e3 * max(took):.0f} ms"
    )
    assert max(took) < 2


def parts(cache: Path) -> dict[str, int]:
    """The segments that are being written, with their sizes."""
    return {path.name: path.stat().st_size for path in cache.glob(".*.part")}


def _bandwidth(folder: Path) -> float:
    data = os.urandom(64 * 2**20)
    begin = time.perf_counter()
    with (folder / "bandwidth").open("wb") as file:
        file.write(data)
        os.fsync(file.fileno())
    return len(data) / (time.perf_counter() - begin)


async def test_cost_model_against_two_workers_and_up_to_a_thousand(
    film: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Each worker has a core of its own, as if it were a machine of its own.
    cluster = Cluster(tmp_path_factory.mktemp("pinned"), workers=0)
    try:
        cluster.add(core=0)
        await asyncio.to_thread(cluster.until_workers, 1)
        spec = clip_spec("film.mp4", "out.mp4", 0.0, float(SECONDS), quality="balanced")
        short = clip_spec("film.mp4", "out.mp4", 0.0, 20.0, quality="fast")
        async with executor(tmp_path / "there", cluster) as (settings, dask):
            await export(film, tmp_path / "there", settings, dask, short)  # warms the worker
            one = Timed(dask)
            produced, alone, _ = await export(film, tmp_path / "there", settings, one, spec)
            cluster.add(core=1)
            await asyncio.to_thread(cluster.until_workers, 2)
            await export(film, tmp_path / "there", settings, dask, short)
            real = []
            for _ in range(PAIRS):
                _, seconds, _ = await export(film, tmp_path / "there", settings, dask, spec)
                real.append(seconds)
        costs = await measured_costs(cluster, tmp_path)
    finally:
        cluster.close()
    renders = [span for span in one.spans if span[0] == "render"]
    ends = [min(begin for _, begin, _ in renders), *sorted(end for _, _, end in renders)]
    each = [after - before for before, after in pairwise(ends)]
    size = produced.bytes / len(each)
    work = Work(
        segments=[max(0.0, seconds - costs.worker) for seconds in each],
        frames=produced.frames,
        read=size,
        written=size,
        before=one.seconds("plan"),
        after=one.seconds("assemble") + one.seconds("audio"),
    )
    predicted = simulate(work, costs, 2)
    found = statistics.median(real)
    print(
        f"\none worker {alone:.2f} s; two workers: predicted {predicted.seconds:.2f} s, real "
        f"{found:.2f} s ({min(real):.2f} to {max(real):.2f}): {predicted.seconds / found:.3f}"
    )
    for workers in (1, 2, 4, 8, 16, 32, 64, 125, 250, 500, 1000):
        export_ = simulate(work, costs, workers)
        many = throughput(work, costs, workers)
        ten = throughput(work, replace(costs, servers=10), workers)
        print(
            f"{workers:5d} workers: one export {export_.seconds:7.1f} s ({export_.bound}); many "
            f"{many.frames_per_second:8.0f} frames/s ({many.bound}); of ten servers "
            f"{ten.frames_per_second:8.0f} ({ten.bound})"
        )
    assert 0.75 < predicted.seconds / found < 1.25
