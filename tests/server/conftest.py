"""Running servers for the tests of REST, client and command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from server_support import RunningServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all tests that leave it as they found it."""
    running = RunningServer(tmp_path_factory.mktemp("server"))
    running.add("timecode_720p30.mp4")
    running.add("subtitles_mov_text.mp4")
    yield running
    running.stop()


@pytest.fixture
def paused(server: RunningServer) -> Iterator[RunningServer]:
    """The server with its queue paused: jobs stay queued until the test is over."""
    server.post("queue/pause").raise_for_status()
    yield server
    for job in server.http.get("jobs/active").json()["jobs"]:
        server.post(f"jobs/{job['id']}/cancel")
    server.post("queue/resume").raise_for_status()
