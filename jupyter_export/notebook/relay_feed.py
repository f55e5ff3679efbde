"""One connection of the relay to the server's feed, on a thread of its own."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection

from ..errors import ServerUnreachable
from .connection import Connection
from .feed_socket import open_feed

__all__ = ["FeedLine"]

log = logging.getLogger(__name__)

#: What a page may say; everything else ends here.
SAID = frozenset({"hello", "ping", "pong"})

News = Callable[..., None]
"""Called with ``event="opened"``, ``event="heard", message=…`` or ``event="closed", code=…,
reason=…``; the last one comes once."""


class FeedLine:
    """Opened by the constructor; passes on what is heard after `start`.

    Raises:
        ServerUnreachable: there is no feed at the server's address.
    """

    def __init__(self, connection: Connection, news: News) -> None:
        self._news = news
        self._socket = _open(connection)

    def start(self) -> None:
        """Say that the line is open, and pass on what is heard until it ends."""
        threading.Thread(
            # In the context of whoever opened the line, as the relay's answers are.
            target=copy_context().run,
            args=(self._listen,),
            name="jupyter-export-feed",
            daemon=True,
        ).start()

    def send(self, message: dict[str, Any]) -> None:
        """Say something to the server; on a line that has ended this does nothing."""
        if message.get("type") in SAID:
            with contextlib.suppress(ConnectionClosed):
                self._socket.send(json.dumps(message))

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _listen(self) -> None:
        self._news(event="opened")
        code, reason = 1006, ""
        try:
            for text in self._socket:
                self._news(event="heard", message=json.loads(text))
            code, reason = self._socket.close_code or 1000, self._socket.close_reason or ""
        except ConnectionClosed as error:
            if error.rcvd is not None:
                code, reason = error.rcvd.code, error.rcvd.reason
        except Exception:
            log.exception("the relay's feed broke")
            self._socket.close()
        self._news(event="closed", code=code, reason=reason)


def _open(connection: Connection) -> ClientConnection:
    server = connection.server
    try:
        return open_feed(connection)
    except InvalidStatus as error:
        raise ServerUnreachable(
            f"The server at {server.url} has no feed for this kernel "
            f"(HTTP {error.response.status_code}).",
            "Restart it if jupyter_export was updated.",
        ) from None
    except (OSError, TimeoutError, WebSocketException) as error:
        raise ServerUnreachable(
            f"The Jupyter server at {server.url} does not answer ({error}).",
            "Check that it runs.",
        ) from None
