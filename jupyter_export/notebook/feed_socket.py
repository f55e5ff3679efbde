"""Opening a WebSocket to a server's feed: the one way for those who follow it and for the relay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .connection import Connection, tls_context

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

__all__ = ["open_feed"]

SUBPROTOCOL = "v1.feed.jupyter-export"
#: Seconds until a connection that does not open counts as failed.
OPEN_SECONDS = 10.0
#: Seconds that a closing connection waits for the other side to agree.
CLOSE_SECONDS = 1.0
#: Ten thousand waiting jobs fit.
MAX_MESSAGE_BYTES = 2**27


def open_feed(connection: Connection) -> ClientConnection:
    """A new WebSocket to the feed of the server that `connection` leads to.

    Raises:
        websockets.exceptions.WebSocketException, OSError, TimeoutError: it did not open;
            `InvalidStatus` has the server's answer.
    """
    # Not at the top: whoever only submits does not wait for it.
    from websockets.sync.client import connect, unix_connect
    from websockets.typing import Subprotocol

    server = connection.server
    options: dict[str, Any] = {
        "subprotocols": [Subprotocol(SUBPROTOCOL)],
        "additional_headers": {"Authorization": f"token {server.token}"} if server.token else {},
        "open_timeout": OPEN_SECONDS,
        "close_timeout": CLOSE_SECONDS,
        "max_size": MAX_MESSAGE_BYTES,
        "proxy": None,
        "user_agent_header": "jupyter_export",
    }
    if server.url.startswith("https:"):
        options["ssl"] = tls_context(connection.trust)
    url = f"ws{server.url.removeprefix('http')}jupyter-export/feed"
    opened: ClientConnection = (
        unix_connect(server.socket, uri=url, **options)
        if server.socket
        else connect(url, **options)
    )
    return opened
