"""The moves of a job that its attempts make, each guarded by the attempt's number and the state.

Every method gives None when the attempt was replaced: the caller must then discard what it has.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from ..job import Job, SegmentCounts, State
from .choice import QueueState
from .records import KEPT_PEAKS, KEPT_SPEEDS, Records
from .retry import waits
from .rows import text_of_time
from .schema import scalar
from .speeds import Observation

__all__ = ["Attempts", "cancelled"]


class Attempts(Records):
    """The part of the store that the scheduler and its attempts use."""

    def claim(self, id: str, attempt: int) -> Job | None:
        """``queued → running`` under the next attempt number, if the job may still start."""

        def change(job: Job) -> Job | None:
            now = datetime.now(UTC)
            early = waits(job.not_before, now)
            stopped = (
                scalar(self._sql.get_meta(self._connection, key="queue")) != QueueState.RUNNING
            )
            if job.paused or early or stopped:
                return None
            return job.evolve(
                state=State.RUNNING,
                attempt=job.attempt + 1,
                not_before=None,
                encoder=None,
                error=None,
                segments=SegmentCounts(),
                # A retry leaves the notes that the next attempt should begin with.
                notes=job.notes if job.error is not None else (),
                result=None,
                started_at=now,
            )

        return self._change(id, "started", change, attempt=attempt, state=State.QUEUED)

    def record(
        self,
        id: str,
        attempt: int,
        event: str,
        *,
        encoder: dict[str, str],
        segments: SegmentCounts,
        total_frames: int,
        notes: tuple[str, ...],
        need: dict[str, Any] | None = None,
    ) -> Job | None:
        """What a running attempt found out, logged as `event`: planned or advanced.

        Without `need`, what is known of that stays.
        """

        def change(job: Job) -> Job:
            return job.evolve(
                encoder=encoder,
                segments=segments,
                total_frames=total_frames,
                notes=notes,
                need=job.need if need is None else need,
            )

        return self._change(id, event, change, attempt=attempt, state=State.RUNNING)

    def begin_publishing(
        self,
        id: str,
        attempt: int,
        *,
        part: str,
        result: dict[str, Any],
        segments: SegmentCounts,
        notes: tuple[str, ...],
        need: dict[str, Any] | None = None,
    ) -> Job | None:
        """``running → publishing``: the finished part file and what proves that it is whole.

        Without `need`, what is known of that stays. None also when the job was asked to stop:
        what was cancelled never appears.
        """

        def change(job: Job) -> Job | None:
            if job.cancel_requested:
                return None
            return job.evolve(
                state=State.PUBLISHING,
                part=part,
                result=result,
                segments=segments,
                notes=notes,
                need=job.need if need is None else need,
            )

        return self._change(id, None, change, attempt=attempt, state=State.RUNNING)

    def complete(self, id: str, attempt: int) -> Job | None:
        """``publishing → completed``: the output is there."""

        def change(job: Job) -> Job:
            return job.evolve(
                state=State.COMPLETED, part=None, paused=False, finished_at=datetime.now(UTC)
            )

        return self._change(id, None, change, attempt=attempt, state=State.PUBLISHING)

    def requeue(self, id: str, attempt: int, *, need: dict[str, Any] | None = None) -> Job | None:
        """Back to ``queued`` as it was, no failure counted: a pause, or a server that stopped.

        With `need`, it has turned out to need that of a GPU, and waits for it.
        """
        changes = {} if need is None else {"need": need}
        return self._end_attempt(id, attempt, "requeued", State.QUEUED, **changes)

    def measured(self, key: str, mib: int) -> None:
        """Remember how much GPU memory an export of `key` took."""
        with self._writing():
            at = text_of_time(datetime.now(UTC))
            self._sql.add_peak(self._connection, key=key, mib=mib, at=at)
            self._sql.trim_peaks(self._connection, key=key, keep=KEPT_PEAKS)

    def took(self, key: str, one: Observation) -> None:
        """Remember how long an export of `key` took."""
        with self._writing():
            self._sql.add_speed(
                self._connection,
                key=key,
                work=json.dumps(one.work),
                seconds=one.seconds,
                coded=one.coded,
                beside=one.beside,
                source=one.source,
                at=text_of_time(datetime.now(UTC)),
            )
            self._sql.trim_speeds(self._connection, key=key, keep=KEPT_SPEEDS)

    def retry_later(
        self,
        id: str,
        attempt: int,
        *,
        error: dict[str, Any],
        not_before: datetime,
        failures: int,
        lost_workers: int,
        notes: tuple[str, ...] = (),
    ) -> Job | None:
        """Back to ``queued`` after a failure that can pass by itself; `notes` outlast it."""
        return self._end_attempt(
            id,
            attempt,
            "retrying",
            State.QUEUED,
            error=error,
            not_before=not_before,
            failures=failures,
            lost_workers=lost_workers,
            notes=notes,
        )

    def fail(
        self, id: str, attempt: int, *, error: dict[str, Any], failures: int, lost_workers: int
    ) -> Job | None:
        """To ``failed``, with the error that ended it."""
        return self._end_attempt(
            id,
            attempt,
            "failed",
            State.FAILED,
            error=error,
            paused=False,
            finished_at=datetime.now(UTC),
            failures=failures,
            lost_workers=lost_workers,
        )

    def _end_attempt(
        self, id: str, attempt: int, event: str, state: State, **changes: Any
    ) -> Job | None:
        """Leave ``running`` or ``publishing``; who asked to cancel meanwhile gets that."""

        def change(job: Job) -> Job | None:
            if job.state not in {State.RUNNING, State.PUBLISHING}:
                return None
            if job.cancel_requested:
                return cancelled(job)
            return job.evolve(state=state, part=None, result=None, **changes)

        return self._change(id, event, change, attempt=attempt)


def cancelled(job: Job) -> Job:
    """`job`, cancelled."""
    return job.evolve(
        state=State.CANCELLED,
        paused=False,
        cancel_requested=False,
        not_before=None,
        part=None,
        result=None,
        finished_at=datetime.now(UTC),
    )
