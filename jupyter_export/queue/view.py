"""Jobs as everybody sees them: the stored record, its place in the line, its live progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ..job import Job, Progress, SegmentCounts, State
from .choice import Place
from .line import Line
from .meter import RENDERED_PERCENT
from .rows import Event

__all__ = ["Listener", "View"]

log = logging.getLogger(__name__)

Listener = Callable[[dict[str, Any]], None]
"""Called in the event loop; must not block. Gets ``{"type": "event", "seq", "event", "at",
"job"}`` for what is durable (an event of the queue has "queue" instead of "job"), and
``{"type": "progress", "job": id, "progress": {…}, "segments": {…}}``, at least every second while
a job runs."""

_WORKED_ON = frozenset({State.RUNNING, State.PUBLISHING})


class View:
    """Joins what is stored with what is known in memory, and passes news on to listeners."""

    def __init__(self, line: Line) -> None:
        self.listeners: list[Listener] = []
        self._line = line
        self._live: dict[str, tuple[int, Progress]] = {}
        """Attempt and progress of each job that this server works on."""

    async def one(self, job: Job) -> dict[str, Any]:
        """The job in its JSON form."""
        (value,) = await self.all([job])
        return value

    async def all(self, jobs: Iterable[Job]) -> list[dict[str, Any]]:
        """The jobs in their JSON form."""
        jobs = list(jobs)
        places: dict[str, Place] = {}
        if any(job.state is State.QUEUED for job in jobs):
            places = (await self._line.decide()).places
        return [self.show(job, places.get(job.id)) for job in jobs]

    def show(self, job: Job, place: Place | None) -> dict[str, Any]:
        """The job in its JSON form, at its place in the line. Can be called in any thread."""
        progress = self._progress(job)
        queued = place if job.state is State.QUEUED else None
        waiting_for = queued.waiting_for if queued else None
        return job.to_json(
            progress,
            queue_position=queued.position if queued else None,
            waiting_for=waiting_for if progress is None else progress.waiting_for,
        )

    def progressed(self, job: Job, progress: Progress) -> None:
        """An attempt of this server has got further, or is still alive."""
        self._live[job.id] = job.attempt, progress
        self._tell(
            {
                "type": "progress",
                "job": job.id,
                "progress": progress.to_json(),
                "waiting_for": progress.waiting_for,
                "segments": job.segments.to_json(),
            }
        )

    def happened(self, event: Event) -> None:
        """Something durable has happened."""
        if event.job_id is not None and event.data["state"] not in _WORKED_ON:
            self._live.pop(event.job_id, None)
        message = event.to_json()
        if event.job_id is not None and event.data["state"] in _WORKED_ON:
            attempt, progress = self._live.get(event.job_id, (None, None))
            if progress is None or attempt != event.attempt:
                progress = _by_segments(
                    State(event.data["state"]),
                    SegmentCounts(**event.data["segments"]),
                    event.data["progress"]["total_frames"],
                )
            message["job"]["progress"] = progress.to_json()
        self._tell(message)

    def _progress(self, job: Job) -> Progress | None:
        if job.state not in _WORKED_ON:
            return None
        attempt, progress = self._live.get(job.id, (0, None))
        if progress is not None and attempt == job.attempt:
            return progress
        return _by_segments(job.state, job.segments, job.total_frames)

    def _tell(self, message: dict[str, Any]) -> None:
        for listener in list(self.listeners):
            try:
                listener(message)
            except Exception:
                log.exception("a listener failed")


def _by_segments(state: State, counts: SegmentCounts, total_frames: int | None) -> Progress:
    """The progress of a job that another server works on, as far as the store can tell it."""
    done = counts.copied + counts.rendered + counts.reused
    share = done / counts.total if counts.total else 0.0
    progress = Progress(
        phase="rendering" if counts.total else "planning",
        frames=int((total_frames or 0) * share),
        total_frames=total_frames,
        percent=RENDERED_PERCENT * share,
    )
    return replace(progress, phase="publishing") if state is State.PUBLISHING else progress
