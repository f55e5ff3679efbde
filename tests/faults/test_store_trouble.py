"""A job database that somebody keeps locked, or that is damaged, under a real server."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from fault_support import OLD, open_site
from feed_support import Listener
from server_support import eventually

from jupyter_export.points import Point
from jupyter_export.queue.schema import BUSY_SECONDS


@contextlib.contextmanager
def locked(store: Path, seconds: float) -> Iterator[None]:
    """Another process keeps the database for itself, at least for that long."""
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("begin exclusive")
        until = time.monotonic() + seconds
        yield
        time.sleep(max(0.0, until - time.monotonic()))
        other.execute("rollback")


def test_a_store_that_is_locked_for_long_costs_no_export_and_no_attempt(
    tmp_path: Path, right: dict[str, str], long: bool
) -> None:
    seconds = 30.0 if long else BUSY_SECONDS + 2
    with open_site(tmp_path, right) as site:
        site.arm(Point.SEGMENT_WRITTEN, "SIGSTOP")
        first = site.submit("thirds.mp4", old=True)
        eventually(lambda: not site.armed(Point.SEGMENT_WRITTEN), seconds=60, why=site.story)
        with locked(site.store, seconds):
            site.resume_stopped()  # it finishes while nothing can be recorded
            refused = site.server.post("jobs", {"spec": {**_any(), "output": "refused.mp4"}})
            assert refused.status_code == 503, refused.text
            assert (refused.json()["type"], "moment" in refused.json()["advice"]) == (
                "queue-busy",
                True,
            )
            assert (site.server.root / first.output).read_bytes() == OLD
        site.until_done(60)
        assert site.server.job(first.id or "")["attempt"] == 1
        with locked(site.store, 30.0 if long else BUSY_SECONDS + 1):
            site.kill()
            site.restart()
            health = site.server.http.get("health").json()
            assert health["status"] == "refused", health
            assert health["problem"]["type"] == "queue-busy"
        eventually(lambda: site.server.http.get("health").json()["status"] == "ok")
        site.submit("copy.mp4")
        site.until_done(60)
        site.audit()


def test_a_damaged_store_is_kept_aside_and_told_and_finished_films_stay(
    tmp_path: Path, right: dict[str, str]
) -> None:
    with open_site(tmp_path, right) as site:
        done = site.submit("copy.mp4")
        site.until_done()
        site.server.stop()
        film = (site.server.root / done.output).read_bytes()
        damaged = bytearray(site.store.read_bytes())
        for page in range(1, len(damaged) // 4096):
            damaged[page * 4096 : page * 4096 + 200] = b"\xff" * 200
        site.store.write_bytes(damaged)

        site.server.start()
        health = site.server.http.get("health").json()
        assert health["status"] == "ok"
        (aside,) = site.store.parent.glob("jobs.sqlite.damaged-*")
        assert aside.read_bytes() == damaged
        assert aside.name in health["queue"]["notice"]
        (check,) = (check for check in health["checks"] if check["name"] == "database")
        assert check["level"] == "notice"
        assert check["detail"].endswith(health["queue"]["notice"])
        listener = Listener(site.server).connect()
        snapshot = listener.hear()
        assert snapshot["queue"]["notice"] == health["queue"]["notice"]
        assert snapshot["jobs"] == []
        assert (site.server.root / done.output).read_bytes() == film
        site.asked.clear()
        site.submit("clip.mp4")
        site.until_done()
        site.audit()


def _any() -> dict[str, object]:
    return {"kind": "clip", "sources": [{"path": "subtitles_mov_text.mp4"}]}
