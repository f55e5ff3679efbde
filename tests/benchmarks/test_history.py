"""A store with a history of 100,000 exports: how long a start and a list take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from queue_support import FewEncoders, FileExecutor, make_job, settings

from jupyter_export.job import State
from jupyter_export.queue.rows import row_of_job
from jupyter_export.queue.schema import open_database, transaction
from jupyter_export.queue.service import Exports

pytestmark = pytest.mark.benchmark

JOBS = 100_000
RESULT = {"bytes": 10**7, "sha256": "0" * 64, "frames": 500, "duration": 20.0}


def fill(path: Path) -> None:
    connection = open_database(path)
    begin = datetime.now(UTC) - timedelta(days=100)
    states = [State.COMPLETED] * 97 + [State.FAILED, State.CANCELLED, State.CANCELLED]
    with transaction(connection):
        for number in range(JOBS):
            at = begin + timedelta(seconds=80 * number)
            row = row_of_job(
                make_job(
                    f"{number:016x}",
                    project=f"project {number % 50}",
                    state=states[number % 100],
                    attempt=1,
                    result=RESULT,
                    created_at=at,
                    started_at=at,
                    finished_at=at + timedelta(seconds=60),
                )
            )
            names = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            connection.execute(f"insert into job ({names}) values ({values})", row)
    connection.close()


async def test_history_of_100_000_jobs(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()

    def made() -> Exports:
        return Exports(settings(tmp_path), root, FileExecutor(), FewEncoders())

    fill(made().folder / "jobs.sqlite")
    size = (made().folder / "jobs.sqlite").stat().st_size
    starts = []
    for _ in range(5):
        exports = made()
        began = time.perf_counter()
        await exports.start()
        starts.append(time.perf_counter() - began)
        await exports.stop()
    exports = made()
    await exports.start()

    async def median(ask: Callable[[], object]) -> float:
        times = []
        for _ in range(15):
            began = time.perf_counter()
            await ask()  # type: ignore[misc]
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    middle = f"{JOBS // 2:016x}"
    lists = {
        "first page": await median(lambda: exports.list(limit=100)),
        "a page in the middle": await median(lambda: exports.list(before=middle, limit=100)),
        "failed": await median(lambda: exports.list(state=State.FAILED, limit=100)),
        "running": await median(lambda: exports.list(state=State.RUNNING, limit=100)),
        "project": await median(lambda: exports.list(project="project 7", limit=100)),
        "active": await median(lambda: exports.active()),
        "projects": await median(lambda: exports.projects()),
        "snapshot of the feed": await median(lambda: exports.snapshot(200, str)),
    }
    await exports.stop()
    print(f"\n{size / 2**20:.0f} MiB; start {statistics.median(starts) * 1000:.0f} ms")
    for name, seconds in lists.items():
        print(f"{name}: {seconds * 1000:.1f} ms")
    assert statistics.median(starts) < 1
    assert max(lists.values()) < 0.05
