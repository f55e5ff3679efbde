"""The way of a notebook panel to the server where its page has none: through the kernel's comm.

The page names a route of ours and nothing else. The address of the server and its token are
found here, as the client finds them: never taken from the page or from a saved notebook.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from ..errors import ExportError, ServerUnreachable
from .connection import Connection
from .relay_feed import FeedLine

__all__ = ["ALLOWED", "Relay", "allowed"]

log = logging.getLogger(__name__)

Send = Callable[[dict[str, Any], list[bytes]], None]
"""Sends a message with its binary parts to the page; from any thread."""

_ID = r"[A-Za-z0-9_-]{1,64}"

#: What a panel may ask for, by method; the paths are below the server's jupyter-export/.
ALLOWED: dict[str, tuple[str, ...]] = {
    "GET": (
        "health",
        "hardware",
        "probe",
        "projects",
        "queue",
        "jobs",
        "jobs/active",
        "jobs/recent",
        f"jobs/{_ID}",
        f"jobs/{_ID}/(?:log|thumbnail|poster)",
    ),
    "POST": (
        "jobs",
        f"jobs/{_ID}/(?:cancel|retry|pause|resume)",
        "preview",
        "queue/(?:pause|resume|drain)",
    ),
    "PATCH": (f"jobs/{_ID}",),
    "DELETE": (f"jobs/{_ID}",),
}

#: What an answer may say of a picture beside it.
HEADERS = ("x-time", "x-next", "x-duration", "x-size")

#: The finished file of a job comes in pieces, so that neither side holds more than one on its way.
FILE = f"jobs/{_ID}/file"
PIECE_BYTES = 2**20

#: Requests of one panel at a time.
WIDTH = 4
#: Feed connections of one panel: one, and the next one while the first is closing.
MAX_LINES = 4


def allowed(method: str, path: str) -> bool:
    """Whether a panel may ask for this in one answer; `path` is without its query."""
    return any(re.fullmatch(pattern, path) for pattern in ALLOWED.get(method, ()))


class Relay:
    """Answers one panel's messages; nothing here blocks whoever hands them over."""

    def __init__(self, send: Send, connect: Callable[[], Connection]) -> None:
        self._send = send
        self._connect = connect
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(WIDTH, "jupyter-export-relay")
        self._lines: dict[str, FeedLine] = {}

    def handle(self, content: Any) -> None:
        """Take a message of the page; anything that is not ours is left alone."""
        match content:
            case {"type": "request", "tag": str(tag), "path": str(path), "from": int(first)}:
                self._later(self._piece, tag, path, first)
            case {"type": "request", "tag": str(tag), "method": str(method), "path": str(path)}:
                self._later(self._answer, tag, method, path, content)
            case {"type": "feed", "tag": str(tag), "action": "open"}:
                self._later(self._open, tag)
            case {"type": "feed", "tag": str(tag), "action": "send", "message": dict(message)}:
                if (line := self._lines.get(tag)) is not None:
                    line.send(message)
            case {"type": "feed", "tag": str(tag), "action": "close"}:
                if (line := self._lines.pop(tag, None)) is not None:
                    self._later(line.close)

    def close(self) -> None:
        """End the feed connections and the requests that have not begun."""
        for line in list(self._lines.values()):
            line.close()
        self._lines.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _later(self, work: Callable[..., None], *arguments: Any) -> None:
        # In the context of the message, so that ipykernel names it as the parent of the answer.
        with contextlib.suppress(RuntimeError):  # closed
            self._threads.submit(copy_context().run, work, *arguments)

    def _answer(self, tag: str, method: str, path: str, content: dict[str, Any]) -> None:
        route, _, query = path.partition("?")
        if not allowed(method, route):
            self._refuse(tag, method, path)
            return
        request: dict[str, Any] = {"params": dict(parse_qsl(query))} if query else {}
        if content.get("body") is not None:
            request["json"] = content["body"]
        if isinstance(key := content.get("key"), str):
            request["headers"] = {"Idempotency-Key": key}
        self._ask(tag, method, route, **request)

    def _piece(self, tag: str, path: str, first: int) -> None:
        """A part of a finished file, which a page puts together to play it."""
        if not re.fullmatch(FILE, path) or first < 0:
            self._refuse(tag, "GET", path)
            return
        piece = f"bytes={first}-{first + PIECE_BYTES - 1}"
        self._ask(tag, "GET", path, headers={"Range": piece})

    def _refuse(self, tag: str, method: str, path: str) -> None:
        log.warning("refused to relay method=%s path=%r", method, path)
        text = "This is no route that a panel may use."
        self._send({"type": "reply", "tag": tag, "error": text}, [])

    def _ask(self, tag: str, method: str, route: str, **request: Any) -> None:
        """Ask the server, and pass its answer on."""
        reply: dict[str, Any] = {"type": "reply", "tag": tag}
        try:
            response = self._server().exchange(method, route, **request)
        except ExportError as error:
            self._forget()
            self._send({**reply, "error": str(error)}, [])
            return
        except Exception as error:
            log.exception("relaying failed method=%s path=%r", method, route)
            self._send({**reply, "error": f"{type(error).__name__} in the kernel."}, [])
            return
        kind = response.headers.get("content-type", "")
        reply |= {"status": response.status_code, "content_type": kind}
        reply["headers"] = {n: response.headers[n] for n in HEADERS if n in response.headers}
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            total = response.headers["content-range"].rpartition("/")[2]
            reply |= {"total": int(total), "etag": response.headers.get("etag", "")}
        if "json" in kind.partition(";")[0]:
            self._send({**reply, "body": response.json()}, [])
        else:
            self._send(reply, [response.content])

    def _open(self, tag: str) -> None:
        if len(self._lines) >= MAX_LINES or tag in self._lines:
            self._feed(tag, event="closed", code=1013, reason="Too many connections.")
            return
        try:
            line = FeedLine(self._server(), lambda **news: self._feed(tag, **news))
        except ServerUnreachable as error:
            self._forget()
            self._feed(tag, event="closed", code=1006, reason=error.detail)
            return
        except Exception:
            log.exception("the relay could not open the feed")
            self._feed(tag, event="closed", code=1006, reason="")
            return
        self._lines[tag] = line
        line.start()

    def _feed(self, tag: str, **news: Any) -> None:
        if news["event"] == "closed":
            self._lines.pop(tag, None)
            if news["code"] == 1006:
                self._forget()
        self._send({"type": "feed", "tag": tag, **news}, [])

    def _server(self) -> Connection:
        with self._lock:
            if self._connection is None:
                self._connection = self._connect()
            return self._connection

    def _forget(self) -> None:
        """Look for the server anew: it may have come back at another address."""
        with self._lock:
            self._connection = None
