"""Two minutes of film on a cluster whose workers are killed ten times; run with --long."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from dask_support import Cluster
from queue_support import FewEncoders
from support import clip_spec, complaints, decode, ffmpeg

from jupyter_export.cluster.executor import DaskExecutor
from jupyter_export.job import Progress
from jupyter_export.queue.order import Order
from jupyter_export.queue.pipeline import produce
from jupyter_export.settings import Settings
from jupyter_export.spec import parse
from jupyter_export.workers.executor import Executor
from jupyter_export.workers.pool import LocalPool

KILLS = 10


def children(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if folder.name.isdigit() and int(fields[1]) == pid:
            found.append(int(folder.name))
    return found


def dask_worker(nanny: int) -> int | None:
    """The process that a nanny looks after."""
    for pid in children(nanny):
        command = Path(f"/proc/{pid}/cmdline")
        if command.exists() and b"spawn_main" in command.read_bytes():
            return pid
    return None


async def run(
    root: Path, folder: Path, executor: Executor, progress: list[Progress]
) -> tuple[str, int, Path]:
    spec = clip_spec("film.mp4", "out.mp4", 0.0, 120.0, quality="fast", audio="none")
    folder.mkdir()
    order = Order(
        spec=parse(spec), root=root, part=folder / "out.mp4", cache=folder / "segments", width=2
    )
    order.cache.mkdir()
    done = await produce(order, executor, FewEncoders(), progress.append)
    return done.sha256, done.frames, done.part


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_ten_killed_workers_lose_nothing_of_two_minutes(
    own_cluster: Callable[..., Cluster], media: Path, tmp_path: Path
) -> None:
    root = tmp_path / "films"
    root.mkdir()
    ffmpeg(
        *("-stream_loop", "-1", "-i", media / "bunny_720p25.mp4", "-t", 120, "-an"),
        *("-c:v", "libx264", "-preset", "veryfast", "-g", 50),
        root / "film.mp4",
    )
    cluster = own_cluster(nanny=True)
    settings = Settings(data_dir=str(tmp_path / "data"), **cluster.settings)
    pool = LocalPool(settings, 2)
    executor = DaskExecutor(settings, pool)
    executor.start()
    progress: list[Progress] = []
    chance = random.Random(8)
    try:
        local = await run(root, tmp_path / "local", pool, [])
        whole = asyncio.create_task(run(root, tmp_path / "cluster", executor, progress))
        for kill in range(KILLS):
            # At a random moment of each tenth of the film.
            target = (kill + chance.random()) / KILLS * local[1] * 0.9
            while not whole.done() and not (progress and progress[-1].frames >= target):
                await asyncio.sleep(0.02)
            assert not whole.done(), "it was over before its workers could be killed"
            nanny = chance.choice(cluster.workers)
            # Nothing gets finished while a worker is being replaced, however fast the other one is.
            with cluster.held():
                while (victim := dask_worker(nanny.pid)) is None:
                    await asyncio.sleep(0.1)
                os.kill(victim, signal.SIGKILL)
                while dask_worker(nanny.pid) in {None, victim}:
                    await asyncio.sleep(0.1)
        remote = await whole
    finally:
        await executor.close()
    frames = [p.frames for p in progress]
    assert frames == sorted(frames)
    assert remote[:2] == local[:2]
    assert remote[1] == 3000
    assert complaints(remote[2]) == ""
    assert len(decode(remote[2]).times) == 3000
    assert hashlib.sha256(remote[2].read_bytes()).hexdigest() == local[0]
