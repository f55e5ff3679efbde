"""The server that this kernel or script belongs to, found once: `jx.export` and its like."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from ..spec import ExportSpec
from .batch import Batch
from .client import Client, connect
from .estimate import Estimate
from .handle import JobHandle

__all__ = ["client", "estimate", "export", "export_all", "forget"]

_lock = threading.Lock()
_client: Client | None = None


def client() -> Client:
    """A client of the server that this kernel or shell belongs to, the same one each time.

    Raises:
        ServerUnreachable: no server was found.
    """
    global _client
    with _lock:
        if _client is not None and not _client.answers():
            _client = None  # it may have started again at another address
        if _client is None:
            _client = connect()
        return _client


def forget() -> None:
    """Look for the server again at the next call."""
    global _client
    with _lock:
        _client = None


def export(
    spec: ExportSpec | dict[str, Any], *, priority: int = 0, allow_duplicate: bool = False
) -> JobHandle:
    """Queue an export on the server of this kernel, and return at once; see `Client.submit`.

    job = jx.export(jx.clip("match.mp4", 12, 20))
    job.wait()  # or, in an asynchronous cell, await job
    """
    return client().submit(spec, priority=priority, allow_duplicate=allow_duplicate)


def export_all(
    specs: Iterable[ExportSpec | dict[str, Any]],
    *,
    priority: int = 0,
    allow_duplicate: bool = True,
) -> Batch:
    """Queue many exports; what is refused does not hold up the others.

    batch = jx.export_all(jx.clip("match.mp4", t, t + 5) for t in starts)
    batch.wait()
    """
    server = client()
    return Batch.of(
        lambda spec: server.submit(spec, priority=priority, allow_duplicate=allow_duplicate), specs
    )


def estimate(spec: ExportSpec | dict[str, Any]) -> Estimate:
    """How long an export would take, how large it would be, and whether it would fit."""
    return client().estimate(spec)
