"""What the job database holds, read; and the one way in which a row of it changes."""

from __future__ import annotations

import builtins
import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import JobNotFound, SpecError
from ..hardware.needs import Need
from ..job import Job, State
from .choice import Entry, QueueState
from .rows import Event, event_data, job_from_row, row_of_job, text_of_time, time_of_text
from .schema import meaning, open_database, queries, scalar, transaction
from .speeds import Observation

__all__ = ["KEPT_EVENTS", "Records", "job_or_none", "not_found"]

#: How many events stay readable; who missed more needs a new snapshot.
KEPT_EVENTS = 10_000
_TRIM_EVERY = 500
_ENDLESS = 2**62
#: How many measured peaks of GPU memory count.
KEPT_PEAKS = 8
#: How many finished exports of a kind, and of all others together, an estimate rests on.
KEPT_SPEEDS = 24


class Records:
    """The database at `path`, opened (and made or migrated) by the thread that will use it.

    Raises:
        QueueError: it is damaged, or was written by a newer version.
        QueueBusy, OutputError: it cannot be opened now, or at all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sql = queries()
        self._connection = open_database(path)
        self.epoch: str = scalar(self._sql.get_meta(self._connection, key="epoch"))
        """Names this database: event numbers of another one mean nothing."""
        self._written: list[Event] = []
        self._uncommitted: list[Event] = []

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def journal_mode(self) -> str:
        """``wal``, or ``delete`` on network filesystems."""
        (mode,) = self._connection.execute("pragma journal_mode").fetchone()
        return str(mode)

    def data_version(self) -> int:
        """A number that changes when another connection has changed the database."""
        with meaning(self.path):
            (version,) = self._connection.execute("pragma data_version").fetchone()
        return int(version)

    def take_written(self) -> builtins.list[Event]:
        """The events that this store has committed since the last call."""
        written, self._written = self._written, []
        return written

    # Jobs

    def find(self, id: str) -> Job | None:
        """The job, if there is one."""
        with meaning(self.path):
            row = self._sql.get_job(self._connection, id=id)
        return job_or_none(row)

    def get(self, id: str) -> Job:
        """The job.

        Raises:
            JobNotFound: there is none.
        """
        job = self.find(id)
        if job is None:
            raise not_found(id)
        return job

    def by_key(self, key: str) -> Job | None:
        """The job that was submitted with this idempotency key."""
        with meaning(self.path):
            row = self._sql.job_by_key(self._connection, key=key)
        return job_or_none(row)

    def list(
        self,
        state: State | None = None,
        project: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> builtins.list[Job]:
        """A page of jobs, newest first; `before` is the id of the last job of the page before.

        Raises:
            SpecError: `before` is no job.
        """
        with meaning(self.path):
            number = None
            if before is not None:
                number = scalar(self._sql.number_of(self._connection, id=before))
                if number is None:
                    raise SpecError(
                        f"There is no job {before!r} to list from.",
                        "Begin again with the first page.",
                        field="before",
                    )
            page = {"before": _ENDLESS if number is None else number, "limit": limit}
            wanted = None if state is None else State(state).value
            if project is not None:
                rows = self._sql.list_jobs_of_project(
                    self._connection, project=project, state=wanted, **page
                )
            elif wanted is not None:
                rows = self._sql.list_jobs_of_state(self._connection, state=wanted, **page)
            else:
                rows = self._sql.list_jobs(self._connection, **page)
            return [job_from_row(row) for row in rows]

    def active(self, project: str | None = None) -> builtins.list[Job]:
        """The live jobs, oldest first."""
        with meaning(self.path):
            rows = self._sql.active_jobs(self._connection, project=project)
            return [job_from_row(row) for row in rows]

    def recent(self, since: datetime, project: str | None = None) -> builtins.list[Job]:
        """What finished at `since` or later, the latest first."""
        with meaning(self.path):
            rows = self._sql.recent_jobs(
                self._connection, since=text_of_time(since), project=project
            )
            return [job_from_row(row) for row in rows]

    def latest_finished(self, limit: int) -> builtins.list[Job]:
        """The `limit` jobs that finished last, the latest first."""
        with meaning(self.path):
            rows = self._sql.latest_finished(self._connection, limit=limit)
            return [job_from_row(row) for row in rows]

    def projects(self) -> builtins.list[dict[str, Any]]:
        """Every project: ``{name, jobs, state, complete}``, by the state of its latest job."""
        with meaning(self.path):
            return [
                {**dict(row), "complete": row["state"] == State.COMPLETED}
                for row in self._sql.projects(self._connection)
            ]

    def entries(self) -> builtins.list[Entry]:
        """The live jobs as the scheduler's choice needs them."""
        with meaning(self.path):
            return [
                Entry(
                    id=row["id"],
                    number=row["number"],
                    state=State(row["state"]),
                    project=row["project"],
                    priority=row["priority"],
                    attempt=row["attempt"],
                    paused=bool(row["paused"]),
                    cancel_requested=bool(row["cancel_requested"]),
                    not_before=row["not_before"] and time_of_text(row["not_before"]),
                    need=Need.from_json(json.loads(row["need"])) if row["need"] else Need(),
                )
                for row in self._sql.entries(self._connection)
            ]

    def peaks(self, key: str) -> builtins.list[int]:
        """How much GPU memory the latest exports of `key` took, in MiB, the last one first."""
        with meaning(self.path):
            rows = self._sql.latest_peaks(self._connection, key=key, limit=KEPT_PEAKS)
            return [row["mib"] for row in rows]

    def speeds(self, key: str) -> tuple[builtins.list[Observation], builtins.list[Observation]]:
        """How long the latest exports of `key` took, and those of all others; latest first."""
        with meaning(self.path):
            alike = self._sql.latest_speeds(self._connection, key=key, limit=KEPT_SPEEDS)
            others = self._sql.other_speeds(self._connection, key=key, limit=KEPT_SPEEDS)
            return [_observation(row) for row in alike], [_observation(row) for row in others]

    # The queue and the event log

    def queue_state(self) -> QueueState:
        """Whether the queue runs, is paused, or drains."""
        with meaning(self.path):
            return QueueState(scalar(self._sql.get_meta(self._connection, key="queue")))

    def last_seq(self) -> int:
        """The number of the latest event."""
        with meaning(self.path):
            return int(scalar(self._sql.last_seq(self._connection)))

    def first_seq(self) -> int | None:
        """The number of the oldest event that is still kept; None when there is none."""
        with meaning(self.path):
            seq: int | None = scalar(self._sql.first_seq(self._connection))
        return seq

    def events_since(self, seq: int, limit: int = 1000) -> builtins.list[Event]:
        """At most `limit` events after `seq`, oldest first, without a gap."""
        with meaning(self.path):
            rows = self._sql.events_since(self._connection, seq=seq, limit=limit)
            return [Event.from_row(row) for row in rows]

    @contextlib.contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """All that is read inside is of one moment, whatever other servers write meanwhile."""
        with meaning(self.path):
            self._connection.execute("begin")
            try:
                yield
            finally:
                self._connection.execute("commit")

    # Changes

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction; its events count as written once it is committed."""
        self._uncommitted = []
        with meaning(self.path), transaction(self._connection):
            yield
        self._written += self._uncommitted

    def _change(
        self,
        id: str,
        event: str | None,
        change: Callable[[Job], Job | None],
        *,
        attempt: int | None = None,
        state: State | None = None,
    ) -> Job | None:
        """Make `change` of a job and log it as `event`, if its attempt and state are as given.

        Without `event`, and when the change cancels the job, the log names the new state. None
        when attempt or state are others, or when `change` gives None.
        """
        with self._writing():
            before = job_or_none(self._sql.get_job(self._connection, id=id))
            if (
                before is None
                or (attempt is not None and before.attempt != attempt)
                or (state is not None and before.state is not state)
            ):
                return None
            after = change(before)
            return None if after is None else self._update(before, after, event)

    def _update(self, before: Job, after: Job, event: str | None) -> Job | None:
        row = row_of_job(after)
        # What a job is submitted with never changes.
        for name in ("spec", "kind", "output", "project", "allow_duplicate"):
            del row[name]
        del row["idempotency_key"], row["created_at"]
        changed = self._sql.update_job(
            self._connection, was_attempt=before.attempt, was_state=before.state.value, **row
        )
        if changed != 1:
            return None
        ended = after.state is State.CANCELLED
        self._log(after.state.value if event is None or ended else event, after)
        return after

    def _log(self, type: str, job: Job | None, data: str | None = None) -> None:
        now = datetime.now(UTC)
        text = data if data is not None else event_data(job) if job is not None else "{}"
        seq = self._sql.append_event(
            self._connection,
            job_id=None if job is None else job.id,
            type=type,
            attempt=None if job is None else job.attempt,
            at=text_of_time(now),
            data=text,
        )
        self._uncommitted.append(
            Event(
                seq=seq,
                type=type,
                at=now,
                job_id=None if job is None else job.id,
                attempt=None if job is None else job.attempt,
                data=json.loads(text),
            )
        )
        if seq % _TRIM_EVERY == 0:
            self._sql.trim_events(self._connection, upto=seq - KEPT_EVENTS)


def _observation(row: sqlite3.Row) -> Observation:
    return Observation(
        work=tuple(json.loads(row["work"])),
        seconds=row["seconds"],
        coded=row["coded"],
        beside=row["beside"],
        source=row["source"],
    )


def not_found(id: str) -> JobNotFound:
    """The error for an id that no job has."""
    return JobNotFound(f"There is no job {id!r}.", "See the list of jobs.", job=id)


def job_or_none(row: sqlite3.Row | None) -> Job | None:
    """The job of a row that may be missing."""
    return None if row is None else job_from_row(row)
