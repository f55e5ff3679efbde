"""A real Chromium."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_support import Handler, chromium
from lab_support import RunningLab, new_context
from playwright.sync_api import Browser, BrowserContext


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for the whole session: Playwright's event loop would stand in the way of other tests'.
    with chromium() as started:
        yield started


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(Handler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    running = RunningLab(tmp_path_factory.mktemp("lab"))
    running.add_long()
    running.add("subtitles_mov_text.mp4")
    yield running
    running.stop()


@pytest.fixture
def lab(shared_lab: RunningLab) -> Iterator[RunningLab]:
    """A JupyterLab server that all tests share; nothing is under way at the end of a test."""
    yield shared_lab
    shared_lab.post("queue/resume")
    shared_lab.quiet()
    for job in shared_lab.http.get("jobs?limit=500").json()["jobs"]:
        shared_lab.http.delete(f"jobs/{job['id']}")


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[RunningLab]:
    """A JupyterLab server of this test alone, to be killed at will."""
    running = RunningLab(tmp_path / "lab")
    yield running
    running.stop()


@pytest.fixture
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A user's browser. An error that a page does not catch fails the test."""
    context = new_context(browser)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context
    context.close()
    assert [text for text in errors if "jpx" in text or "jupyter-export" in text] == []
