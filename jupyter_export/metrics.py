"""What Jupyter's own ``/metrics`` tells of exports, counted from the queue's events."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from .hardware.encoders import ENCODERS as ENCODER_TABLE
from .hardware.leases import Standing
from .job import ACTIVE, State
from .spec import Kind

__all__ = ["Tally", "show_leases", "show_workers"]

# Defined once, at import: a metric registers itself by its name for the whole process.
JOBS = Counter(
    "jupyter_export_jobs",
    "Exports that were started, completed, failed or cancelled",
    ["kind", "event"],
)
DURATION = Histogram(
    "jupyter_export_duration_seconds",
    "Seconds from the start of the last attempt to the published file",
    ["kind"],
    buckets=(1, 3, 10, 30, 60, 180, 600, 1800, 3600, 10800, 36000),
)
WAIT = Histogram(
    "jupyter_export_queue_wait_seconds",
    "Seconds from entering the queue, for the first time or again, to the start of an attempt",
    ["kind"],
    buckets=(0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800, 3600, 10800, 36000),
)
FRAMES = Counter("jupyter_export_frames", "Frames of completed exports", ["kind"])
BYTES = Counter("jupyter_export_bytes", "Bytes of completed exports", ["kind"])
SEGMENTS = Counter(
    "jupyter_export_segments",
    "Segments of completed exports by how they came to be: copied, rendered, or reused of those "
    "that were finished before",
    ["origin"],
)
RESUMES = Counter(
    "jupyter_export_resumes",
    "Attempts after the first: they go on from finished segments",
    ["kind"],
)
FAILURES = Counter(
    "jupyter_export_failures",
    "Attempts that failed, by the type of the error and whether another attempt follows",
    ["error", "retried"],
)
ENCODERS = Counter(
    "jupyter_export_encoder_used",
    "Completed exports by the encoder that was used, and whether it is one of hardware",
    ["encoder", "hardware"],
)
HARDWARE = Gauge(
    "jupyter_export_hardware_fraction",
    "Share of the exports completed since the server's start that hardware encoded, from 0 to 1",
)
RUNNING = Gauge("jupyter_export_running", "Exports that are running now")
QUEUED = Gauge("jupyter_export_queued", "Exports that wait")
LEADING = Gauge(
    "jupyter_export_leading",
    "1: this server starts the jobs of its store and counts them; 0: another one does",
)
WORKERS = Gauge("jupyter_export_workers", "Worker processes")
WORKERS_MEMORY = Gauge(
    "jupyter_export_workers_memory_bytes", "Memory that all worker processes hold"
)
LEASES = Gauge(
    "jupyter_export_leases_held",
    "What exports hold of the machine where servers agree on it, of all users that share it",
    ["resource"],
)
LEASES_WANTED = Gauge("jupyter_export_leases_wanted", "Places in the line for leases")
FEED_CLIENTS = Gauge("jupyter_export_feed_clients", "Clients that follow the feed now")
FEED_MESSAGES = Counter("jupyter_export_feed_messages", "Messages that feed clients were sent")
FEED_SNAPSHOTS = Counter("jupyter_export_feed_snapshots", "Snapshots among them")

_EVENTS = {
    State.RUNNING: "started",
    State.COMPLETED: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}

# A rate begins with a zero: what appears with its first count has none.
for _kind in Kind:
    for _event in _EVENTS.values():
        JOBS.labels(_kind.value, _event)
    for _metric in (DURATION, WAIT, FRAMES, BYTES, RESUMES):
        _metric.labels(_kind.value)
for _origin in ("copied", "rendered", "reused"):
    SEGMENTS.labels(_origin)


class Tally:
    """Follows the live jobs of a queue and keeps the metrics.

    Of several servers on one store only the one that starts the jobs counts, so that sums over
    servers are true; `leading` tells whether that is this one.
    """

    def __init__(self, leading: Callable[[], bool] = lambda: True) -> None:
        self._leading = leading
        self._states: dict[str, State] = {}
        self._queued: dict[str, str] = {}
        """Since when the live jobs that wait do so."""
        self._encoded = Count[bool]()
        """Completed exports, by whether hardware encoded them."""

    @property
    def running(self) -> int:
        """How many exports run or are being published."""
        return len(self._states) - Count(self._states.values())[State.QUEUED]

    def correct(self, live: Iterable[dict[str, Any]]) -> None:
        """Begin again from the jobs that are live now, in their JSON form."""
        live = list(live)
        self._states = {job["id"]: State(job["state"]) for job in live}
        waiting = [job for job in live if job["state"] == State.QUEUED]
        self._queued = {
            job["id"]: self._queued.get(job["id"], job["created_at"]) for job in waiting
        }
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
        if after is not before and (before is not None or after in ACTIVE) and self._leading():
            self._count(job, after, message)
        if after is not State.QUEUED:
            self._queued.pop(job["id"], None)
        elif before is not State.QUEUED:
            self._queued[job["id"]] = message["at"]
        self._show()

    def _count(self, job: dict[str, Any], state: State, message: dict[str, Any]) -> None:
        kind = job["kind"]
        if state in _EVENTS:
            JOBS.labels(kind, _EVENTS[state]).inc()
        if state is State.RUNNING:
            since = self._queued.get(job["id"], job["created_at"])
            WAIT.labels(kind).observe(_seconds(since, message["at"]))
            if job["attempt"] > 1:
                RESUMES.labels(kind).inc()
        retried = message["event"] == "retrying"
        if job["error"] and (retried or state is State.FAILED):
            FAILURES.labels(job["error"]["type"], "yes" if retried else "no").inc()
        if state is State.COMPLETED:
            self._completed(job)

    def _completed(self, job: dict[str, Any]) -> None:
        kind = job["kind"]
        DURATION.labels(kind).observe(_seconds(job["started_at"], job["finished_at"]))
        if job["result"]:
            FRAMES.labels(kind).inc(job["result"]["frames"])
            BYTES.labels(kind).inc(job["result"]["bytes"])
        for origin in ("copied", "rendered", "reused"):
            SEGMENTS.labels(origin).inc(job["segments"][origin])
        name = job["encoder"]["name"] if job["encoder"] else "unknown"
        hardware = name in ENCODER_TABLE and ENCODER_TABLE[name].hardware
        ENCODERS.labels(name, "yes" if hardware else "no").inc()
        self._encoded[hardware] += 1
        HARDWARE.set(self._encoded[True] / self._encoded.total())

    def _show(self) -> None:
        RUNNING.set(self.running)
        QUEUED.set(len(self._states) - self.running)
        LEADING.set(self._leading())


def show_workers(memory: Iterable[int]) -> None:
    """Show how many worker processes there are, each with so many bytes of memory."""
    sizes = list(memory)
    WORKERS.set(len(sizes))
    WORKERS_MEMORY.set(sum(sizes))


def show_leases(standing: Standing) -> None:
    """Show what is held of the machine, and how many wait for it."""
    needs = [held.need for held in standing.held]
    LEASES.labels("cores").set(sum(need.cores for need in needs))
    LEASES.labels("nvenc_sessions").set(sum(need.nvenc_sessions for need in needs))
    LEASES.labels("vram_mib").set(sum(need.vram_mib for need in needs))
    LEASES_WANTED.set(len(standing.wanted))


def _seconds(start: str | None, end: str | None) -> float:
    if not start or not end:
        return 0.0
    span = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    # A clock that was set back must not count as time that passed.
    return max(0.0, span.total_seconds())
