"""Heartbeats of the feed, on a server in this process whose clock ticks faster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.websocket import WebSocketClientConnection, websocket_connect
from traitlets.config import Config

from jupyter_export.server import hub


@pytest.fixture
async def client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[WebSocketClientConnection]:
    """A connection to a feed that pings every 0.2 s and waits 1 s for an answer."""
    monkeypatch.setattr(hub, "PING_SECONDS", 0.2)
    monkeypatch.setattr(hub, "SILENCE_SECONDS", 1.0)
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name))
    monkeypatch.setenv("JUPYTER_NO_CONFIG", "1")  # no other extension that is installed
    app = ServerApp(
        config=Config(
            ServerApp={
                "jpserver_extensions": {"jupyter_export": True},
                "root_dir": str(tmp_path),
                "allow_root": True,
                "open_browser": False,
            },
            IdentityProvider={"token": "secret"},
        )
    )
    app.init_signal = lambda: None  # type: ignore[method-assign]
    app.initialize(argv=[], new_httpserver=False)
    await app._post_start()
    (socket,) = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(app.web_app)
    server.add_socket(socket)
    url = f"ws://127.0.0.1:{socket.getsockname()[1]}/jupyter-export/feed"
    request = HTTPRequest(url, headers={"Authorization": "token secret"})
    connection = await websocket_connect(request, subprotocols=["v1.feed.jupyter-export"])
    await connection.write_message('{"type": "hello"}')
    yield connection
    connection.close()
    server.stop()
    await server.close_all_connections()
    await app._cleanup()
    ServerApp.clear_instance()


async def test_who_answers_pings_stays_and_who_does_not_is_dropped(
    client: WebSocketClientConnection,
) -> None:
    pings = 0
    while pings < 10:  # twice as long as silence may be
        message = json.loads(str(await client.read_message()))
        if message["type"] == "ping":
            pings += 1
            await client.write_message('{"type": "pong"}')
    while await client.read_message() is not None:
        pass
    assert client.close_code == 4408


async def test_a_client_may_beat_by_itself_and_never_answer(
    client: WebSocketClientConnection,
) -> None:
    pongs = 0
    for _ in range(10):
        await client.write_message('{"type": "ping"}')
        await asyncio.sleep(0.2)
    while pongs < 10:
        message = await client.read_message()
        assert message is not None, client.close_code
        pongs += json.loads(str(message))["type"] == "pong"
