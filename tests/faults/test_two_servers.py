"""Two servers of one user on one store: one schedules, the other shows, submits and takes over."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_support import SETTINGS, Site, open_site
from server_support import RunningServer, eventually

from jupyter_export.points import Point


@pytest.fixture
def pair(tmp_path: Path, right: dict[str, str]) -> Iterator[tuple[Site, RunningServer]]:
    with open_site(tmp_path, right) as site:
        first = site.server
        second = RunningServer(tmp_path / "second", beside=first, **SETTINGS)
        yield site, second
        for server in (first, second):
            server.stop(signal.SIGKILL)


def leading(server: RunningServer) -> bool:
    return bool(server.http.get("health").json()["leading"])


def test_the_second_server_shows_submits_and_takes_over_when_the_first_dies(
    pair: tuple[Site, RunningServer],
) -> None:
    site, second = pair
    first = site.server
    assert (leading(first), leading(second)) == (True, False)
    site.arm(Point.SEGMENT_KEPT, "SIGSTOP")
    running = site.submit("thirds.mp4", old=True)
    eventually(lambda: not site.armed(Point.SEGMENT_KEPT), seconds=60, why=site.story)
    assert second.job(running.id or "")["state"] == "running"
    assert not leading(second)

    site.server = second
    waiting = site.submit("frame.mp4")
    eventually(lambda: first.job(waiting.id or "")["state"] == "completed", seconds=60)

    site.descendants()
    first.stop(signal.SIGKILL)
    site.audit_visible()
    eventually(lambda: leading(second), seconds=15)
    site.until_done()
    job = second.job(running.id or "")
    assert (job["state"], job["attempt"]) == ("completed", 2)
    assert job["segments"]["reused"] >= 1
    site.audit()
