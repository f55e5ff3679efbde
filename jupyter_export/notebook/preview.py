"""Frames of exports for Python: by the server of this kernel, else by a worker of our own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import ServerUnreachable
from ..spec import ExportSpec
from . import default, discovery
from .client import Client
from .frame import Frame
from .own_worker import OwnWorker

__all__ = ["facts_of", "frame_of", "server_here"]

AnswerT = TypeVar("AnswerT")

#: A process with one of these belongs to a server, or was told of one.
_OF_A_SERVER = ("JUPYTER_EXPORT_URL", "JUPYTERHUB_SERVICE_URL", "JPY_PARENT_PID")

_lock = threading.Lock()
_worker: OwnWorker | None = None


def frame_of(spec: ExportSpec, time: float, width: int, show: str = "result") -> Frame:
    """One frame, as `Client.preview` gives it.

    In a kernel the server renders it, and paths may be relative to its root, too; where there is
    no server, a worker process of this Python process does, and paths are as in a shell.

    Raises:
        ExportError: what the export would be refused with.
    """
    return _asked(
        lambda client: client.preview(spec, time, width=width, show=show),
        lambda worker: worker.preview(spec.model_dump(mode="json"), time, width, show),
    )


def facts_of(path: str) -> dict[str, Any]:
    """The size and the length of a video: ``{width, height, duration}``.

    Raises:
        ExportError: it cannot be read.
    """
    return _asked(lambda client: client.probe(path), lambda worker: worker.probe(path))


def _asked(server: Callable[[Client], AnswerT], here: Callable[[OwnWorker], AnswerT]) -> AnswerT:
    global _worker
    client = server_here()
    if client is not None:
        try:
            return server(client)
        except ServerUnreachable:
            pass  # it ends just now
    with _lock:
        _worker = _worker or OwnWorker()
    return here(_worker)


def server_here() -> Client | None:
    """A client of the server that this process belongs to; None where it belongs to none."""
    if not (discovery.preferred() or any(os.environ.get(name) for name in _OF_A_SERVER)):
        return None
    try:
        return default.client()
    except ServerUnreachable:
        return None
