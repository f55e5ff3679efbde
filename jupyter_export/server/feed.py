"""The feed's WebSocket: who may listen, and what a client may say. The protocol: feed.md."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from jupyter_server.auth.decorator import allow_unauthenticated, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.utils import ensure_async
from tornado import web
from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketHandler

from ..errors import ExportError
from .base import AUTH_RESOURCE
from .hub import Close, Hub
from .operations import operation
from .outbox import Outbox

if TYPE_CHECKING:
    from ..app import ExportApp

__all__ = ["SUBPROTOCOL", "FeedHandler"]

SUBPROTOCOL = "v1.feed.jupyter-export"
#: A hello has a tenth of this.
MAX_MESSAGE_BYTES = 4096
#: What may wait in the kernel for a client.
UNSENT_BYTES = 65_536
#: A close frame has room for this.
MAX_REASON_BYTES = 120


class FeedHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """One client of the feed."""

    auth_resource = AUTH_RESOURCE
    # Heartbeats are messages of our own: a page cannot see those of WebSocket itself.
    ping_interval = 0
    max_message_size = MAX_MESSAGE_BYTES

    outbox: Outbox
    heard_at: float
    _hub: Hub | None = None
    _forbidden = False
    _writing = False

    async def prepare(self, *args: Any, **kwargs: Any) -> None:
        """Refuse strangers, whatever the method."""
        await super().prepare(*args, **kwargs)
        if self.current_user is None and self.request.method != "OPTIONS":
            raise web.HTTPError(HTTPStatus.FORBIDDEN)

    @operation(None, statuses=(101,), errors=(400,))
    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Follow the events and the progress of all jobs, by WebSocket (see feed.md)."""
        allowed = await ensure_async(
            self.authorizer.is_authorized(self, self.current_user, "read", AUTH_RESOURCE)
        )
        if not allowed:
            # A page cannot see the status of a refused WebSocket, but it sees a close code.
            if self.request.headers.get("Upgrade", "").lower() != "websocket":
                raise web.HTTPError(HTTPStatus.FORBIDDEN)
            self._forbidden = True
        if not self._speaks_ours():
            raise web.HTTPError(HTTPStatus.BAD_REQUEST)
        await super().get(*args, **kwargs)

    @allow_unauthenticated
    def options(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: WebSockets know no preflight requests."""
        self.set_status(HTTPStatus.NO_CONTENT)

    @classmethod
    def allowed_methods(cls) -> list[str]:
        """The HTTP methods that this handler answers."""
        return ["GET"]

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Ours, if the client knows it."""
        return SUBPROTOCOL if SUBPROTOCOL in subprotocols else None

    async def open(self, *args: Any, **kwargs: Any) -> None:
        """Let the client in, or tell it why not."""
        super().open(*args, **kwargs)
        if self._forbidden:
            self.close(Close.FORBIDDEN, "You may not see the exports of this server.")
            return
        app = cast("ExportApp", self.settings["jupyter_export"])
        try:
            hub = await app.feed()
        except ExportError as error:
            self.close(Close.REFUSED, _reason(error.detail))
            return
        if hub.closed:
            self.close(Close.STOPPING, "The server stops.")
        elif hub.clients >= app.max_feed_clients:
            self.close(Close.REFUSED, "More clients than max_feed_clients follow the exports.")
        elif (stream := self._stream()) is not None:
            self.set_nodelay(True)
            _keep_little_in_the_kernel(stream.socket)
            self.heard_at = time.monotonic()
            self.outbox = Outbox(hub.journal)
            self._hub = hub
            hub.join(self)

    def _stream(self) -> IOStream | None:
        """The connection; a client that has left meanwhile has none, or none that is open."""
        stream = None if self.ws_connection is None else self.ws_connection.stream
        return None if stream is None or stream.closed() else stream

    def on_message(self, text: str | bytes) -> None:
        """Hear what the client says."""
        hub = self._hub
        if hub is None:
            return
        self.heard_at = time.monotonic()
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        match message:
            case {"type": "hello"}:
                epoch, since = message.get("epoch"), message.get("since")
                if not (epoch is None or isinstance(epoch, str)) or not (
                    since is None or (type(since) is int and since >= 0)
                ):
                    self.close(Close.BAD_MESSAGE, "A hello has an epoch and a since, or nulls.")
                    return
                self.outbox.hello(epoch, since)
            case {"type": "ping"}:
                self.outbox.pongs = True
            case {"type": "pong"}:
                return
            case _:
                self.close(Close.BAD_MESSAGE, "Say hello, ping or pong, as JSON.")
                return
        hub.wake()

    def _speaks_ours(self) -> bool:
        """Whether the client has asked for our subprotocol: others would not understand us."""
        asked = self.request.headers.get("Sec-WebSocket-Protocol", "")
        return SUBPROTOCOL in (name.strip() for name in asked.split(","))

    @property
    def ready(self) -> bool:
        """Whether all that was sent has left this process."""
        return not self._writing and self.ws_connection is not None

    def send(self, frames: Iterable[bytes]) -> None:
        """Write whole frames.

        Not by `write_message`, which would make a frame, a task and a copy per client and message:
        the frames are the same for all clients, and so are their bytes.
        """
        stream = None if self.ws_connection is None else self.ws_connection.stream
        if stream is None:
            return  # on_close follows
        try:
            for some in frames:
                written = stream.write(some)
        except StreamClosedError:
            return  # on_close follows
        if not written.done():
            self._writing = True
            written.add_done_callback(self._written)

    def on_close(self) -> None:
        """The connection has ended."""
        if self._hub is not None:
            self._hub.leave(self)
        super().on_close()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Only a browser's address bar would show a page."""
        self.finish(f"{status_code} {HTTPStatus(status_code).phrase}\n")

    def _written(self, _: Any) -> None:
        self._writing = False
        if self._hub is not None:
            self._hub.wake()


def _keep_little_in_the_kernel(connection: socket.socket) -> None:
    """Else megabytes of old news wait there for a slow client, and none of them can be dropped."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES)


def _reason(text: str) -> str:
    return text.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
