"""The durable record of one export, its states, and the moves between them: pure values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from .errors import IllegalMove

__all__ = ["ACTIVE", "FINISHED", "MOVES", "Job", "Progress", "SegmentCounts", "State", "check_move"]


class State(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    """Waits for a place, or (with `not_before`) for its retry."""
    RUNNING = "running"
    """A worker renders it."""
    PUBLISHING = "publishing"
    """The finished file is being renamed into its place."""
    COMPLETED = "completed"
    """The output is there."""
    FAILED = "failed"
    """It ended with an error; it can be retried."""
    CANCELLED = "cancelled"
    """Somebody cancelled it; it can be retried."""


ACTIVE = frozenset({State.QUEUED, State.RUNNING, State.PUBLISHING})
"""States of a live job: it owns its output path."""

FINISHED = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})
"""States that only a retry leaves."""

MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED, State.FAILED}),
    State.RUNNING: frozenset({State.PUBLISHING, State.QUEUED, State.FAILED, State.CANCELLED}),
    State.PUBLISHING: frozenset({State.COMPLETED, State.QUEUED, State.FAILED}),
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset({State.QUEUED}),
}
"""The legal moves. ``running → queued`` is a pause, a retry, or a server that stopped."""


def check_move(job: Job, to: State) -> None:
    """Raise `IllegalMove`, naming the job and both states, unless the move is legal."""
    if to not in MOVES[job.state]:
        raise IllegalMove(
            f"Job {job.id} is {job.state} and cannot become {to}.",
            "Reload the list of jobs to see where it stands.",
            job=job.id,
        )


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the present attempt is; it never goes back within an attempt. Never stored."""

    phase: str = "queued"
    """queued, planning, rendering, assembling, publishing, completed, failed or cancelled."""
    frames: int = 0
    total_frames: int | None = None
    percent: float = 0.0
    fps: float | None = None
    """Frames rendered per second of wall time, lately."""
    eta_s: float | None = None
    waiting_for: str | None = None
    """What keeps the work from going on; not part of the JSON form, but the job's own."""

    def to_json(self) -> dict[str, Any]:
        """The job's `progress` in REST, feed and CLI."""
        return {
            "phase": self.phase,
            "frames": self.frames,
            "total_frames": self.total_frames,
            "percent": round(self.percent, 2),
            "fps": None if self.fps is None else round(self.fps, 1),
            "eta_s": None if self.eta_s is None else round(self.eta_s, 1),
        }


@dataclass(frozen=True, kw_only=True)
class SegmentCounts:
    """How the segments of the plan came to be."""

    copied: int = 0
    rendered: int = 0
    reused: int = 0
    total: int = 0

    def to_json(self) -> dict[str, int]:
        """The job's `segments` in REST, feed and CLI."""
        return {
            "copied": self.copied,
            "rendered": self.rendered,
            "reused": self.reused,
            "total": self.total,
        }


@dataclass(frozen=True, kw_only=True)
class Job:
    """One export, as it is stored. Times are aware datetimes in UTC."""

    id: str
    spec: dict[str, Any]
    kind: str
    output: str
    """Relative to the server's root, with forward slashes."""
    project: str | None = None
    state: State = State.QUEUED
    priority: int = 0
    """Higher goes first."""
    attempt: int = 0
    """Counts the runs; it is the fencing token."""
    failures: int = 0
    """Attempts that failed; limits the automatic retries."""
    lost_workers: int = 0
    """Worker processes that died under this job; a limit of its own."""
    paused: bool = False
    cancel_requested: bool = False
    not_before: datetime | None = None
    """A retry waits until then."""
    need: dict[str, Any] | None = None
    """What it needs of a GPU, as `hardware.needs.Need` has it, and ``peak_mib`` once it was
    measured; None: not known yet."""
    encoder: dict[str, str] | None = None
    """``{"name", "reason"}``: what encodes it, and why."""
    error: dict[str, Any] | None = None
    """`ExportError.to_json` of what ended it, or of what the next retry is for."""
    segments: SegmentCounts = field(default_factory=SegmentCounts)
    total_frames: int | None = None
    notes: tuple[str, ...] = ()
    """What the user should know about the result, such as a fallback to software."""
    part: str | None = None
    """Absolute path of the finished part file while it is being published."""
    result: dict[str, Any] | None = None
    """``{"bytes", "sha256", "frames", "duration"}`` of the finished file."""
    idempotency_key: str | None = None
    allow_duplicate: bool = False
    """May be live beside another job of its project and kind."""
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def active(self) -> bool:
        """Whether the job is live: queued, running or publishing."""
        return self.state in ACTIVE

    def evolve(self, **changes: Any) -> Job:
        """A copy with `changes`."""
        return replace(self, **changes)

    def to_json(
        self,
        progress: Progress | None = None,
        *,
        queue_position: int | None = None,
        waiting_for: str | None = None,
    ) -> dict[str, Any]:
        """The one JSON form of a job: REST, feed, CLI and client all show this."""
        return {
            "id": self.id,
            "kind": self.kind,
            "project": self.project,
            "state": self.state.value,
            "paused": self.paused,
            "cancel_requested": self.cancel_requested,
            "output": self.output,
            "priority": self.priority,
            "queue_position": queue_position,
            "waiting_for": waiting_for,
            "progress": (progress or self.resting_progress()).to_json(),
            "segments": self.segments.to_json(),
            "encoder": self.encoder,
            "gpu_memory": self.gpu_memory,
            "error": self.error,
            "notes": list(self.notes),
            "result": self.result,
            "attempt": self.attempt,
            "not_before": _iso(self.not_before),
            "created_at": _iso(self.created_at),
            "started_at": _iso(self.started_at),
            "finished_at": _iso(self.finished_at),
            "spec": self.spec,
        }

    @property
    def gpu_memory(self) -> dict[str, int | None] | None:
        """``{"reserved_mib", "peak_mib"}``, the latter None until it was measured; None for a job
        that needs no memory of a GPU, or of which that is not known yet."""
        if self.need is None or not self.need.get("vram_mib"):
            return None
        return {"reserved_mib": self.need["vram_mib"], "peak_mib": self.need.get("peak_mib")}

    def resting_progress(self) -> Progress:
        """Progress as the stored record alone can tell it."""
        done = self.state is State.COMPLETED
        total = self.result["frames"] if done and self.result else self.total_frames
        return Progress(
            phase=self.state.value,
            frames=(total or 0) if done else 0,
            total_frames=total,
            percent=100.0 if done else 0.0,
        )


def _iso(time: datetime | None) -> str | None:
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
