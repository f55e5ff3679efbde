"""What Jupyter's own ``/metrics`` tells of exports, counted from the queue's events."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from .job import ACTIVE, State

__all__ = ["Tally"]

# Defined once, at import: a metric registers itself by its name for the whole process.
JOBS = Counter(
    "jupyter_export_jobs",
    "Exports that were started, completed, failed or cancelled, as this server saw it",
    ["kind", "event"],
)
DURATION = Histogram(
    "jupyter_export_duration_seconds",
    "Seconds from the start of the last attempt to the published file",
    ["kind"],
    buckets=(1, 3, 10, 30, 60, 180, 600, 1800, 3600, 10800, 36000),
)
ENCODERS = Counter(
    "jupyter_export_encoder_used", "Completed exports by the encoder that was used", ["encoder"]
)
RUNNING = Gauge("jupyter_export_running", "Exports that are running now")
QUEUED = Gauge("jupyter_export_queued", "Exports that wait")
FEED_CLIENTS = Gauge("jupyter_export_feed_clients", "Clients that follow the feed now")
FEED_MESSAGES = Counter("jupyter_export_feed_messages", "Messages that feed clients were sent")
FEED_SNAPSHOTS = Counter("jupyter_export_feed_snapshots", "Snapshots among them")

_EVENTS = {
    State.RUNNING: "started",
    State.COMPLETED: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}


class Tally:
    """Follows the live jobs of a queue and keeps the metrics."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}

    @property
    def running(self) -> int:
        """How many exports run or are being published."""
        return len(self._states) - Count(self._states.values())[State.QUEUED]

    def correct(self, live: Iterable[dict[str, Any]]) -> None:
        """Begin again from the jobs that are live now, in their JSON form."""
        self._states = {job["id"]: State(job["state"]) for job in live}
        self._show()

    def hear(self, message: dict[str, Any]) -> None:
        """Take note of one message of the queue to its listeners."""
        job = message.get("job")
        if message.get("type") != "event" or not isinstance(job, dict):
            return
        before, after = self._states.get(job["id"]), State(job["state"])
        if after in ACTIVE:
            self._states[job["id"]] = after
        else:
            self._states.pop(job["id"], None)
        # What was not live before was finished before: now it is only being forgotten.
        if after is not before and (before is not None or after in ACTIVE):
            self._count(job, after)
        self._show()

    def _count(self, job: dict[str, Any], state: State) -> None:
        if state in _EVENTS:
            JOBS.labels(job["kind"], _EVENTS[state]).inc()
        if state is State.COMPLETED:
            DURATION.labels(job["kind"]).observe(_seconds(job))
            ENCODERS.labels(job["encoder"]["name"] if job["encoder"] else "unknown").inc()

    def _show(self) -> None:
        RUNNING.set(self.running)
        QUEUED.set(len(self._states) - self.running)


def _seconds(job: dict[str, Any]) -> float:
    start, end = job["started_at"], job["finished_at"]
    if not start or not end:
        return 0.0
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
