"""What a task sees of the worker that runs it: progress out, cancellation in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ..errors import Cancelled

__all__ = ["TaskContext"]

PROGRESS_SECONDS = 0.1
"""Least distance of two progress messages; of those between only the latest is sent."""


class TaskContext:
    """One running task. Every method may be called from any thread."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        """`send` gets each progress message that is due."""
        self._send = send
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._sent_at = float("-inf")
        self._waiting: dict[str, Any] | None = None
        self.steps = 0
        """Grows with all that the task does; one that is stuck takes none."""

    def progress(self, message: dict[str, Any]) -> None:
        """Report how far the task is, in JSON values; call it as often as you like."""
        with self._lock:
            self._waiting = message
            self.steps += 1
        self.flush()

    def flush(self) -> None:
        """Send the latest message if it waits and its time has come."""
        with self._lock:
            now = time.monotonic()
            if self._waiting is None or now - self._sent_at < PROGRESS_SECONDS:
                return
            message, self._waiting = self._waiting, None
            self._sent_at = now
            self._send(message)

    def cancel(self) -> None:
        """Ask the task to stop."""
        self._cancelled.set()

    def cancelled(self) -> bool:
        """Whether somebody asked the task to stop."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raise `Cancelled` when somebody asked the task to stop; call it at every frame."""
        self.steps += 1  # two threads may count one step less: that it grows is what matters
        if self._cancelled.is_set():
            raise Cancelled("The work was cancelled.")
