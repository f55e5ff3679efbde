"""Running servers for the tests of REST, client and command line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from jupyter_server.serverapp import ServerApp
from server_support import RunningServer
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from traitlets.config import Config


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


@pytest.fixture
async def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ServerApp]:
    """A server in this process, so that its table of handlers can be walked."""
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name))
    monkeypatch.setenv("JUPYTER_NO_CONFIG", "1")  # no other extension that is installed
    app = ServerApp(
        config=Config(
            ServerApp={
                "jpserver_extensions": {"jupyter_export": True},
                "reraise_server_extension_failures": True,
                "root_dir": str(tmp_path),
                "allow_root": True,
                "open_browser": False,
                "base_url": "/base/",
            },
            IdentityProvider={"token": "secret"},
            ExportApp={"force_cpu": True},
        )
    )
    app.init_signal = lambda: None  # type: ignore[method-assign]
    app.initialize(argv=[], new_httpserver=False)
    yield app
    await app._cleanup()
    ServerApp.clear_instance()


@pytest.fixture
async def address(app: ServerApp) -> AsyncIterator[str]:
    (socket,) = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(app.web_app)
    server.add_socket(socket)
    yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    server.stop()
    await server.close_all_connections()
