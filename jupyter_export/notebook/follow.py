"""Following the feed from Python: one connection that comes back by itself and misses nothing."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

from ..errors import ServerUnreachable
from .connection import Connection
from .feed_socket import open_feed

__all__ = ["PATIENCE_SECONDS", "Following"]

#: Seconds without the server until following it gives up: a restart takes less.
PATIENCE_SECONDS = 60.0
#: Seconds between two signs of life, and of silence until the server counts as gone.
PING_SECONDS = 10.0
SILENCE_SECONDS = 25.0
#: The wait before coming back is a random part of a limit that doubles from first to last.
FIRST_DELAY, LAST_DELAY = 0.5, 15.0
#: Seconds until a feed that was refused is asked for again.
REFUSED_DELAY = 60.0
#: Close codes after which coming back at once would be of no use.
NOT_ALLOWED, NOT_WORKING = 4403, 1013


class Following:
    """The messages of a server's feed, as feed.md describes them, but for its heartbeats.

    An iterator that never ends by itself; `close` it, or use it as a context manager. It comes
    back after every cut and goes on where it was: events follow each other without a gap. After
    a long absence, or when the loop's body is too slow, a message of type ``snapshot`` says how
    everything is.
    """

    def __init__(self, connection: Connection, since: tuple[str, int] | None = None) -> None:
        self.epoch: str | None = since[0] if since else None
        self.seq: int | None = since[1] if since else None
        self._connection = connection
        self._stack = contextlib.ExitStack()
        self._socket: Any = None
        self._tries = 0
        self._retry_at = 0.0
        self._heard_at = self._lost_at = time.monotonic()
        self._refused: ServerUnreachable | None = None
        self._answered = False

    @property
    def position(self) -> tuple[str, int] | None:
        """Where it is: the `since` of one that is to go on from here."""
        return None if self.epoch is None or self.seq is None else (self.epoch, self.seq)

    @property
    def live(self) -> bool:
        """Whether the server answers now, so that all that happens is heard."""
        return self._socket is not None and self._answered

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        """The next message, whenever it comes.

        Raises:
            ServerUnreachable: there is no feed, or no server for a minute.
        """
        while True:
            message = self.poll(1.0)
            if message is not None:
                return message
            if self._refused is not None:
                raise self._refused
            if self._socket is None and time.monotonic() - self._lost_at > PATIENCE_SECONDS:
                raise ServerUnreachable(
                    f"The feed of {self._connection.server.url} was lost.", "Check that it runs."
                )

    def poll(self, timeout: float) -> dict[str, Any] | None:
        """The next message within `timeout` seconds, if there is one; `live` says why not."""
        until = time.monotonic() + timeout
        while True:
            now = time.monotonic()
            if self._socket is None:
                wait = min(self._retry_at, until) - now
                if wait > 0:
                    time.sleep(wait)
                elif now < self._retry_at or not self._open():
                    return None
                if time.monotonic() >= until:
                    return None
                continue
            message = self._receive(max(0.0, until - now))
            if message is None and self._socket is not None:
                return None
            if message is not None and self._take(message):
                return message

    def close(self) -> None:
        """End the connection."""
        self._socket = None
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self) -> bool:
        from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

        try:
            self._socket = self._stack.enter_context(open_feed(self._connection))
        except InvalidStatus as error:
            status = error.response.status_code
            if status < 500:
                self._refuse(f"has no feed for this client (HTTP {status})")
            self._lost()
            return False
        except InvalidHandshake:
            self._refuse("has no feed")
            self._lost()
            return False
        except (OSError, TimeoutError, WebSocketException):
            self._lost()
            return False
        self._answered = False
        self._heard_at = time.monotonic()
        self._hello()
        # An answer even if nothing was missed; and the server must not take whoever is slow
        # with each message for gone.
        threading.Thread(
            target=_beat, args=(self._socket,), name="jupyter_export-beat", daemon=True
        ).start()
        return True

    def _hello(self) -> None:
        self._say({"type": "hello", "epoch": self.epoch, "since": self.seq})

    def _say(self, message: dict[str, Any]) -> None:
        from websockets.exceptions import WebSocketException

        with contextlib.suppress(WebSocketException, OSError):
            self._socket.send(json.dumps(message))

    def _receive(self, timeout: float) -> dict[str, Any] | None:
        from websockets.exceptions import ConnectionClosed

        try:
            message: dict[str, Any] = json.loads(self._socket.recv(timeout))
        except TimeoutError:
            if time.monotonic() - self._heard_at > SILENCE_SECONDS:
                self._lost()
            return None
        except ConnectionClosed as error:
            if error.rcvd is not None and error.rcvd.code in {NOT_ALLOWED, NOT_WORKING}:
                self._refuse(f"has no feed for this client: {error.rcvd.reason}")
            self._lost()
            return None
        self._heard_at = time.monotonic()
        return message

    def _take(self, message: dict[str, Any]) -> bool:
        """Whether the message is news."""
        kind = message.get("type")
        if kind != "ping" and not self._answered:
            self._answered = True
            self._tries = 0
            self._refused = None
        match kind:
            case "ping":
                self._say({"type": "pong"})
                return False
            case "pong":
                return False
            case "snapshot":
                self.epoch, self.seq = message["epoch"], message["seq"]
            case "event":
                if self.seq is None or message["seq"] <= self.seq:
                    return False
                if message["seq"] > self.seq + 1:
                    self._hello()
                    return False
                self.seq = message["seq"]
        return True

    def _refuse(self, what: str) -> None:
        self._refused = ServerUnreachable(
            f"The server at {self._connection.server.url} {what.rstrip('.')}.",
            "See its log; if jupyter_export was updated, restart it.",
        )

    def _lost(self) -> None:
        now = time.monotonic()
        if self._socket is not None:
            self._lost_at = now
        self.close()
        limit = min(LAST_DELAY, FIRST_DELAY * 2 ** min(self._tries, 10))
        self._tries += 1
        wait = REFUSED_DELAY if self._refused is not None else random.uniform(0, limit)
        self._retry_at = now + wait


def _beat(connection: Any) -> None:
    from websockets.exceptions import WebSocketException

    with contextlib.suppress(WebSocketException, OSError):
        while True:
            connection.send('{"type":"ping"}')
            time.sleep(PING_SECONDS)
