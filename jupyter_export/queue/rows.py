"""Jobs and events as rows of the database, and back."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..job import Job, SegmentCounts, State

__all__ = ["Event", "event_data", "job_from_row", "row_of_job", "text_of_time", "time_of_text"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of the event log: what happened to a job, or to the queue."""

    seq: int
    """Grows by at least one from event to event; never used twice."""
    type: str
    """submitted, started, planned, advanced, publishing, completed, failed, cancelled,
    cancelling, retrying, requeued, retried, paused, resumed, prioritised, deleted or queue."""
    at: datetime
    job_id: str | None = None
    """None for an event of the queue as a whole."""
    attempt: int | None = None
    data: dict[str, Any]
    """The job in its JSON form as it was then (its `spec` is None if it was deleted since),
    or ``{"queue": state}``."""

    def to_json(self) -> dict[str, Any]:
        """The event as listeners and the feed get it."""
        about = self.data if self.job_id is None else {"job": self.data}
        return {
            "type": "event",
            "seq": self.seq,
            "event": self.type,
            "at": self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **about,
        }

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Event:
        """The event of a row of ``events_since``."""
        data = json.loads(row["data"])
        if row["job_id"] is not None:
            data["spec"] = None if row["spec"] is None else json.loads(row["spec"])
        return cls(
            seq=row["seq"],
            type=row["type"],
            at=time_of_text(row["at"]),
            job_id=row["job_id"],
            attempt=row["attempt"],
            data=data,
        )


def event_data(job: Job) -> str:
    """The column `data` of an event: specs can be large, never change, and are left out."""
    value = job.to_json()
    del value["spec"]
    return json.dumps(value)


def text_of_time(time: datetime) -> str:
    """UTC with microseconds always written, so that text sorts as time does."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def time_of_text(text: str) -> datetime:
    """What `text_of_time` wrote."""
    return datetime.fromisoformat(text)


_PLAIN = (
    "id",
    "kind",
    "output",
    "project",
    "priority",
    "attempt",
    "failures",
    "lost_workers",
    "total_frames",
    "part",
    "idempotency_key",
)
_FLAGS = ("paused", "cancel_requested", "allow_duplicate")
_TIMES = ("not_before", "created_at", "started_at", "finished_at")
_JSON = ("spec", "need", "encoder", "error", "result")


def row_of_job(job: Job) -> dict[str, Any]:
    """All columns of a job but `number`."""
    row: dict[str, Any] = {name: getattr(job, name) for name in _PLAIN}
    row.update({name: int(getattr(job, name)) for name in _FLAGS})
    for name in _TIMES:
        time = getattr(job, name)
        row[name] = None if time is None else text_of_time(time)
    for name in _JSON:
        value = getattr(job, name)
        row[name] = None if value is None else json.dumps(value)
    row["state"] = job.state.value
    row["segments"] = json.dumps(job.segments.to_json())
    row["notes"] = json.dumps(job.notes)
    return row


def job_from_row(row: sqlite3.Row) -> Job:
    """The job of a row with all columns."""
    fields: dict[str, Any] = {name: row[name] for name in _PLAIN}
    fields.update({name: bool(row[name]) for name in _FLAGS})
    for name in _TIMES:
        fields[name] = None if row[name] is None else time_of_text(row[name])
    for name in _JSON:
        fields[name] = None if row[name] is None else json.loads(row[name])
    return Job(
        state=State(row["state"]),
        segments=SegmentCounts(**json.loads(row["segments"])),
        notes=tuple(json.loads(row["notes"])),
        **fields,
    )
