"""What the queue asks of whoever renders: a protocol of a few methods, and its messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

__all__ = ["Executor", "GpuShare", "Lane", "Offer", "OnProgress", "Remote", "Task"]

OnProgress = Callable[[dict[str, Any]], None]
"""Called in the event loop with each progress message of a task; must not block."""


class Lane(StrEnum):
    """Which workers may take a task."""

    EXPORT = "export"
    """The work of exports."""
    INTERACTIVE = "interactive"
    """What a person waits for; has a worker of its own, so that it never waits for exports."""


@dataclass(frozen=True, kw_only=True)
class GpuShare:
    """A worker's share of a GPU. It holds the lease, too, for as long as it lives."""

    lease: str
    """The file of the lease, as an absolute path; where there is none, a name for it."""
    device: str
    """NVIDIA's UUID of the GPU, the only one that the worker sees; or "machine"."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """What another machine must know of a task, to hold leases of its own for it."""

    encoder: str
    hardware: bool
    """Whether that encoder is one."""
    vram: dict[str, Any] | None = None
    """``{"mib", "key"}`` of the memory that the effects take of a GPU, as the plan tells it."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What an executor offers to an export beyond this machine."""

    width: int = 0
    """How many of its segments may be under way elsewhere at once; 0: they render here."""
    notice: str = ""
    """Why they render here although they were meant to go elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One piece of work for a worker process."""

    name: str
    """A key of `jupyter_export.workers.tasks.TASKS`."""
    params: dict[str, Any]
    """JSON values only."""
    lane: Lane = Lane.EXPORT
    log: str | None = None
    """File to which the worker appends what libraries print meanwhile."""
    labels: dict[str, Any] = field(default_factory=dict)
    """For log lines: job, attempt."""
    writes_output: bool = False
    """It writes where the user keeps files; all others write the segment cache alone."""
    gpu: GpuShare | None = None
    """Goes to a worker that has used no other GPU lease, and will not."""
    remote: Remote | None = None
    """It may run on another machine, and holds nothing of this one."""


class Executor(Protocol):
    """Where workers live: a local pool, or a cluster.

    Cancelling the coroutine of `run` stops the task: when `asyncio.CancelledError` comes out,
    the work has ended and nothing of it writes any more.
    """

    async def run(self, task: Task, on_progress: OnProgress) -> dict[str, Any]:
        """Run `task` in a worker and return its result.

        `on_progress` gets at least a heartbeat (an empty dict) every second, and of a remote task
        ``{"waiting_for": why}`` when it cannot go on, with None when it does again.

        Raises:
            ExportError: as the task raised it.
            WorkerLost: the worker died or stopped answering.
            TooMuchWork: the kernel ended it, as it took more of the processor than it may.
            ClusterError: no other machine can take the remote task; it has not been done.
        """
        ...

    async def offer(self, frames: int) -> Offer:
        """Where an export is best rendered that has so many frames to render."""
        ...

    def leave(self) -> None:
        """The server stops: a remote task that is cancelled from now on goes on without it, and
        is found again by the next server that asks for the same."""
        ...

    async def retire(self, lease: str) -> None:
        """End the workers that hold this lease of a GPU, so that its memory is free again."""
        ...

    async def close(self) -> None:
        """End all workers; running tasks raise `WorkerLost`."""
        ...
