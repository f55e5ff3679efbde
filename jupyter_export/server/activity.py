"""Keeps a server with exports to do from being shut down as idle, for so many hours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from ..job import ACTIVE, State
from ..queue.choice import QueueState
from ..settings import Settings

__all__ = ["Activity"]

#: How often a server with exports to do says that it is in use: below any culler's patience.
NOTE_SECONDS = 2.0


class Activity:
    """Which exports there are to do, as Jupyter and, through it, JupyterHub's culler see it.

    `leading` tells whether this server starts the jobs of its store; `name` is what Jupyter is
    told.
    """

    def __init__(self, name: str, settings: Settings, leading: Callable[[], bool]) -> None:
        self._name = name
        self._settings = settings
        self._leading = leading
        self._to_do: dict[str, bool] = {}
        """The live jobs that are not paused; whether they run."""
        self._queue = QueueState.RUNNING

    @property
    def to_do(self) -> int:
        """How many exports run, or wait for nobody but the queue."""
        if self._queue is QueueState.RUNNING:
            return len(self._to_do)
        return sum(self._to_do.values())

    def correct(self, live: Iterable[dict[str, Any]], queue: str) -> None:
        """Begin again from the live jobs, in their JSON form, and the state of the queue."""
        self._queue = QueueState(queue)
        self._to_do = {}
        for job in live:
            self._note(job)

    def hear(self, message: dict[str, Any]) -> None:
        """Take note of one message of the queue to its listeners."""
        if message["type"] != "event":
            return
        if message.get("job") is None:
            self._queue = QueueState(message["queue"])
        else:
            self._note(message["job"])

    def now(self, application: Any) -> int:
        """How many exports keep Jupyter's web application from being shut down as idle."""
        return self.to_do if self._leading() and self._lately_used(application) else 0

    async def keep_alive(self, application: Any) -> None:
        """Say again and again that the server is in use, while it is."""
        while True:
            if self.now(application):
                application.settings["last_activity_times"][self._name] = datetime.now(UTC)
            await asyncio.sleep(NOTE_SECONDS)

    def _note(self, job: dict[str, Any]) -> None:
        state = State(job["state"])
        self._to_do.pop(job["id"], None)
        if state in ACTIVE and not (job["paused"] and state is State.QUEUED):
            self._to_do[job["id"]] = state is not State.QUEUED

    def _lately_used(self, application: Any) -> bool:
        """Whether somebody has used the server in the last `keep_alive_hours`."""
        times = application.settings["last_activity_times"]
        ours = times.pop(self._name, None)
        try:
            used: datetime = application.last_activity()
        finally:
            if ours is not None:
                times[self._name] = ours
        return datetime.now(UTC) - used < timedelta(hours=self._settings.keep_alive_hours)
