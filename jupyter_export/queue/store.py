"""The job database: what users ask of it, above what attempts do; each move one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ..errors import DuplicateJob, IllegalMove, OutputInUse, QueueBusy, SpecError
from ..job import FINISHED, Job, State, check_move
from .attempts import Attempts, cancelled
from .choice import QueueState
from .records import job_or_none, not_found
from .rows import row_of_job, text_of_time
from .schema import scalar

__all__ = ["Store", "check_same_request"]

RELOAD = "Reload the list of jobs to see where it stands."


class Store(Attempts):
    """The job database; belongs to the thread that opened it."""

    def submit(
        self, job: Job, *, allow_duplicate: bool = False, max_queued: int | None = None
    ) -> tuple[Job, bool]:
        """Take in a new job; gives it and True, or the job of the same idempotency key and False.

        Raises:
            SpecError: the key was used for another spec.
            OutputInUse: a live job writes the same output.
            DuplicateJob: the project has a live job of this kind, and `allow_duplicate` is not set.
            QueueBusy: `max_queued` jobs wait already.
        """
        job = job.evolve(allow_duplicate=allow_duplicate)
        with self._writing():
            if job.idempotency_key is not None:
                row = self._sql.job_by_key(self._connection, key=job.idempotency_key)
                known = job_or_none(row)
                if known is not None:
                    check_same_request(known, job.spec)
                    return known, False
            self._check_alone(job)
            if (
                max_queued is not None
                and scalar(self._sql.count_queued(self._connection)) >= max_queued
            ):
                raise QueueBusy(
                    f"{max_queued} exports wait already.", "Submit again when some have finished."
                )
            self._sql.insert_job(self._connection, **row_of_job(job))
            self._log("submitted", job)
        return job, True

    def try_writing(self) -> None:
        """Take the right to write, and give it back.

        Raises:
            QueueError, OutputError: it cannot be had.
        """
        with self._writing():
            pass

    def cancel(self, id: str) -> Job:
        """A queued job is cancelled; a running one is asked to stop.

        Raises:
            JobNotFound, IllegalMove: there is none, or it cannot be cancelled any more.
        """

        def change(job: Job) -> Job | None:
            if job.state is State.RUNNING:
                return None if job.cancel_requested else job.evolve(cancel_requested=True)
            if job.state is State.PUBLISHING:
                raise IllegalMove(
                    f"Job {job.id} is moving its finished file into place.",
                    "It completes in a moment.",
                    job=job.id,
                )
            check_move(job, State.CANCELLED)
            return cancelled(job)

        return self._command(id, "cancelling", change)

    def retry(self, id: str) -> Job:
        """Queue a failed or cancelled job again, or let a waiting retry start now.

        Raises:
            JobNotFound, IllegalMove: there is none, or there is nothing to retry.
            OutputInUse, DuplicateJob: another live job has come in its way.
        """

        def change(job: Job) -> Job | None:
            if job.state is State.QUEUED and job.not_before is not None:
                return job.evolve(not_before=None)
            if job.active:
                raise IllegalMove(f"Job {id} is {job.state} already.", RELOAD, job=id)
            check_move(job, State.QUEUED)
            self._check_alone(job)
            return job.evolve(
                state=State.QUEUED,
                failures=0,
                lost_workers=0,
                paused=False,
                cancel_requested=False,
                not_before=None,
                error=None,
                finished_at=None,
            )

        return self._command(id, "retried", change)

    def set_paused(self, id: str, paused: bool) -> Job:
        """Pause a queued or running job, or let a paused one go on.

        Raises:
            JobNotFound, IllegalMove: there is none, or it is finished or about to be.
        """

        def change(job: Job) -> Job | None:
            if job.state not in {State.QUEUED, State.RUNNING}:
                verb = "paused" if paused else "resumed"
                raise IllegalMove(
                    f"Job {job.id} is {job.state} and cannot be {verb}.", RELOAD, job=job.id
                )
            return None if job.paused is paused else job.evolve(paused=paused)

        return self._command(id, "paused" if paused else "resumed", change)

    def set_priority(self, id: str, priority: int) -> Job:
        """Change the priority of a queued job.

        Raises:
            JobNotFound, IllegalMove: there is none, or it does not wait any more.
        """

        def change(job: Job) -> Job | None:
            if job.state is not State.QUEUED:
                raise IllegalMove(
                    f"Job {job.id} is {job.state}; only a queued job has a priority to change.",
                    RELOAD,
                    job=job.id,
                )
            return None if job.priority == priority else job.evolve(priority=priority)

        return self._command(id, "prioritised", change)

    def delete(self, id: str) -> Job:
        """Forget a finished job; gives it a last time.

        Raises:
            JobNotFound, IllegalMove: there is none, or it is live.
        """
        with self._writing():
            job = job_or_none(self._sql.get_job(self._connection, id=id))
            if job is None:
                raise not_found(id)
            if job.state not in FINISHED:
                raise IllegalMove(
                    f"Job {id} is {job.state} and cannot be deleted.", "Cancel it first.", job=id
                )
            self._sql.delete_job(self._connection, id=id)
            self._log("deleted", job)
        return job

    def forget(self, *, keep: int, before: datetime | None, limit: int) -> int:
        """Delete at most `limit` finished jobs, the oldest first; how many that were.

        All but the `keep` that finished last, and those that finished before `before`.
        """
        oldest = "" if before is None else text_of_time(before)
        with self._writing():
            rows = list(
                self._sql.outdated_jobs(self._connection, keep=keep, before=oldest, limit=limit)
            )
            for row in rows:
                job = job_or_none(self._sql.get_job(self._connection, id=row["id"]))
                assert job is not None
                self._sql.delete_job(self._connection, id=job.id)
                self._log("deleted", job)
        return len(rows)

    def set_queue(self, state: QueueState) -> bool:
        """Let the queue run, pause it, or drain it; whether that was a change."""
        with self._writing():
            if scalar(self._sql.get_meta(self._connection, key="queue")) == state.value:
                return False
            self._sql.set_meta(self._connection, key="queue", value=state.value)
            self._log("queue", None, json.dumps({"queue": state.value}))
        return True

    def _command(self, id: str, event: str, change: Callable[[Job], Job | None]) -> Job:
        """What a user asked for; a job that is as asked already stays as it is."""
        after = self._change(id, event, change)
        return self.get(id) if after is None else after

    def _check_alone(self, job: Job) -> None:
        other = job_or_none(self._sql.live_by_output(self._connection, output=job.output))
        if other is not None:
            raise OutputInUse(
                f"Job {other.id} is {other.state} and writes {job.output!r} too.",
                "Wait for it or cancel it, or choose another output.",
                field="output",
                job=other.id,
            )
        if job.project is None or job.allow_duplicate:
            return
        row = self._sql.live_by_project(
            self._connection, project=job.project, kind=job.kind, except_id=job.id
        )
        other = job_or_none(row)
        if other is not None:
            raise DuplicateJob(
                f"Job {other.id} of project {job.project!r} is {other.state} and of the same "
                f"kind, {job.kind}.",
                "Wait for it or cancel it, or allow the duplicate.",
                job=other.id,
            )


def check_same_request(known: Job, spec: dict[str, Any]) -> None:
    """Raise `SpecError` unless `spec` is what `known` was submitted with."""
    if known.spec != spec:
        raise SpecError(
            f"This key was used for another export already, job {known.id}.",
            "Use a new key for each export.",
            field="Idempotency-Key",
            job=known.id,
        )
