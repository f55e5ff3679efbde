"""A client of the feed that keeps every rule of feed.md, and notices when the server does not."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any, Self

from server_support import RunningServer
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

SUBPROTOCOL = "v1.feed.jupyter-export"


class Listener:
    """What one client knows; it survives its connections."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.epoch: str | None = None
        self.seq: int | None = None
        self.jobs: dict[str, dict[str, Any]] = {}
        self.queue = ""
        self.heard: list[dict[str, Any]] = []
        """All messages since the last connect."""
        self.socket: ClientConnection | None = None

    def connect(self, *, hello: bool = True, **options: Any) -> Self:
        """Open a connection and say where we are."""
        self.heard = []
        url = self.server.url.replace("http", "ws", 1) + "jupyter-export/feed"
        options = {
            "subprotocols": [Subprotocol(SUBPROTOCOL)],
            "additional_headers": {"Authorization": f"token {self.server.token}"},
            "proxy": None,
            "max_size": None,
            **options,
        }
        self._open = contextlib.ExitStack()
        self.socket = self._open.enter_context(connect(url, **options))
        if hello:
            # Who is turned away may be so before the first word.
            with contextlib.suppress(ConnectionClosed):
                self.say({"type": "hello", "epoch": self.epoch, "since": self.seq})
        return self

    def say(self, message: Any) -> None:
        assert self.socket is not None
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def hear(self, timeout: float = 30) -> dict[str, Any]:
        """The next message, after taking it in."""
        assert self.socket is not None
        message: dict[str, Any] = json.loads(self.socket.recv(timeout))
        self.heard.append(message)
        self.take(message)
        return message

    def take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "snapshot":
                self.epoch, self.seq = message["epoch"], message["seq"]
                self.jobs = {job["id"]: job for job in message["jobs"]}
                self.queue = message["queue"]["state"]
            case "event":
                assert self.seq is not None, "an event before anything was known"
                assert message["seq"] == self.seq + 1, f"a gap: {self.seq} → {message['seq']}"
                self.seq = message["seq"]
                if message["event"] == "queue":
                    self.queue = message["queue"]["state"]
                elif message["event"] == "deleted":
                    self.jobs.pop(message["job"]["id"], None)
                else:
                    self.jobs[message["job"]["id"]] = message["job"]
            case "progress":
                job = self.jobs[message["job"]]
                assert job["state"] in {"running", "publishing"}, "progress after the end"
                job |= {"progress": message["progress"], "segments": message["segments"]}
            case "positions":
                for id, (position, reason) in message["positions"].items():
                    if id in self.jobs and self.jobs[id]["state"] == "queued":
                        self.jobs[id] |= {"queue_position": position, "waiting_for": reason}
            case "ping":
                self.say({"type": "pong"})

    def until(self, check: Callable[[], Any], seconds: float = 60) -> None:
        """Hear until `check` holds; the limit only ends a test that hangs."""
        deadline = time.monotonic() + seconds
        while not check():
            left = deadline - time.monotonic()
            assert left > 0, f"still not so; heard {[m['type'] for m in self.heard][-40:]}"
            self.hear(left)

    def caught_up(self) -> Self:
        """Hear until all that had happened before this call is known."""
        seq = self.server.http.get("health").json()["seq"]
        self.until(lambda: self.seq is not None and self.seq >= seq)
        return self

    def state(self, id: str) -> str:
        """A job's state, as far as this client knows."""
        return str(self.jobs[id]["state"]) if id in self.jobs else ""

    def place(self, id: str) -> int | None:
        """A job's place in the line, as far as this client knows."""
        return self.jobs[id]["queue_position"] if id in self.jobs else None

    def events(self) -> list[str]:
        """The names of the events since the last connect."""
        return [m["event"] for m in self.heard if m["type"] == "event"]

    def types(self) -> set[str]:
        """The types of the messages since the last connect."""
        return {m["type"] for m in self.heard}

    def close(self) -> None:
        if self.socket is not None:
            self._open.close()
            self.socket = None
