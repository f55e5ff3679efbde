"""A long history: forgotten by number and by age, and never looked through from end to end."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from queue_support import FewEncoders, FileExecutor, make_job, settings, until

from jupyter_export.job import State
from jupyter_export.media.cache import SegmentCache
from jupyter_export.queue.database import Database
from jupyter_export.queue.schema import open_database, queries
from jupyter_export.queue.service import Exports
from jupyter_export.queue.store import Store
from jupyter_export.queue.tidy import forget_old
from jupyter_export.settings import Settings
from jupyter_export.spec import clip

NOW = datetime.now(UTC)


def finish(store: Store, id: str, days_ago: float, **fields: Any) -> None:
    store.submit(make_job(id, **fields))
    store.cancel(id)
    at = (NOW - timedelta(days=days_ago)).isoformat(timespec="microseconds")
    store._connection.execute(
        "update job set finished_at = ? where id = ?", (at.replace("+00:00", "Z"), id)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


async def forget(path: Path, **chosen: Any) -> tuple[set[str], list[str]]:
    """The jobs that are left, and those whose end the listeners have heard of."""
    database = Database(path)
    await database.open()
    heard: list[str] = []
    database.listeners.append(lambda event: heard.append(f"{event.type} {event.job_id}"))
    try:
        await forget_old(database, Settings(**chosen))
        left = {job.id for job in await database.call(Store.list, limit=500)}
    finally:
        await database.close()
    return left, heard


async def test_jobs_beyond_the_number_are_forgotten_the_oldest_first(path: Path) -> None:
    store = Store(path)
    for day in range(6):
        finish(store, f"d{day}", day)
    store.submit(make_job("live"))
    store.close()
    left, heard = await forget(path, keep_jobs=2, keep_jobs_days=0)
    assert left == {"d0", "d1", "live"}
    assert heard == ["deleted d5", "deleted d4", "deleted d3", "deleted d2"]


async def test_jobs_beyond_the_age_are_forgotten_however_few(path: Path) -> None:
    store = Store(path)
    finish(store, "old", 31)
    finish(store, "young", 29)
    store.submit(make_job("live", created_at=NOW - timedelta(days=100)))
    store.close()
    assert (await forget(path, keep_jobs_days=30))[0] == {"young", "live"}


async def test_a_job_that_is_tried_again_is_not_old(path: Path) -> None:
    store = Store(path)
    finish(store, "again", 400)
    store.retry("again")
    store.close()
    assert (await forget(path))[0] == {"again"}


async def test_forgotten_jobs_lose_their_logs_and_keep_their_outputs(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "source.mp4").write_text("not empty")
    exports = Exports(settings(tmp_path, keep_jobs=1), root, FileExecutor(), FewEncoders())
    await exports.start()
    for number in range(3):
        await exports.submit(clip("source.mp4", end=number + 1.0, output=f"{number}.mp4"))
    await until(lambda: len(list((exports.folder / "logs").iterdir())) == 1)
    (job,) = await exports.list()
    assert job["state"] == State.COMPLETED
    assert {path.name for path in root.glob("[0-9].mp4")} == {"0.mp4", "1.mp4", "2.mp4"}
    await exports.stop()


def test_segments_that_nobody_used_for_long_go_and_those_of_live_jobs_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = SegmentCache(tmp_path)
    for id in ("old", "live", "used"):
        cache.put(id, lambda path: path.write_text("frames"))
    (tmp_path / ".live.0123abcd.part").write_text("being written")
    (tmp_path / ".dead.0123abcd.part").write_text("left over")
    at = NOW.timestamp() + 40 * 86_400
    monkeypatch.setattr("time.time", lambda: at - 20 * 86_400)
    cache.sweep(10**6, {"live"}, days=30)
    assert {p.name for p in tmp_path.glob("*.seg")} == {"old.seg", "live.seg", "used.seg"}
    assert [p.name for p in tmp_path.glob(".*.part")] == [".live.0123abcd.part"]
    assert cache.find("used") is not None
    os.utime(cache.path("used"), (at, at))
    monkeypatch.setattr("time.time", lambda: at)
    cache.sweep(10**6, {"live"}, days=30)
    assert {p.stem for p in tmp_path.iterdir() if p.suffix in {".seg", ".json"}} == {"live", "used"}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("list_jobs", {"before": 9, "limit": 9}),
        ("list_jobs_of_state", {"state": "failed", "before": 9, "limit": 9}),
        ("list_jobs_of_project", {"project": "p", "state": None, "before": 9, "limit": 9}),
        ("list_jobs_of_project", {"project": "p", "state": "failed", "before": 9, "limit": 9}),
        ("latest_finished", {"limit": 9}),
        ("recent_jobs", {"since": "2026", "project": None}),
        ("outdated_jobs", {"keep": 9, "before": "2026", "limit": 9}),
        ("active_jobs", {"project": None}),
        ("active_jobs", {"project": "p"}),
        ("entries", {}),
        ("count_queued", {}),
        ("live_by_output", {"output": "o"}),
        ("live_by_project", {"project": "p", "kind": "clip", "except_id": "a"}),
        ("job_by_key", {"key": "k"}),
        ("get_job", {"id": "a"}),
        ("projects", {}),
        ("events_since", {"seq": 5, "limit": 9}),
    ],
)
def test_no_question_looks_through_the_whole_history(
    path: Path, name: str, parameters: dict[str, Any]
) -> None:
    connection = open_database(path)
    connection.row_factory = sqlite3.Row
    sql = getattr(queries(), name).sql
    plan = [row["detail"] for row in connection.execute(f"explain query plan {sql}", parameters)]
    connection.close()
    # An index may be read as far as the page goes, or where each of its entries counts.
    whole = [step for step in plan if step.startswith("SCAN") and " INDEX " not in step]
    pages = name.startswith("list") or name in {"latest_finished", "outdated_jobs"}
    unsorted = [step for step in plan if "TEMP B-TREE" in step and pages]
    assert not whole and not unsorted, plan
    if name in {"active_jobs", "entries", "count_queued", "live_by_output", "live_by_project"}:
        steps = [step for step in plan if step.startswith("SEARCH")]
        assert steps and all("job_state" in s or "job_one_writer" in s for s in steps), plan
