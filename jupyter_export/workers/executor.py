"""What the queue asks of whoever renders: a protocol of a few methods, and its messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

__all__ = ["Executor", "GpuShare", "Lane", "OnProgress", "Task"]

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
    gpu: GpuShare | None = None
    """Goes to a worker that has used no other GPU lease, and will not."""


class Executor(Protocol):
    """Where workers live: a local pool, or a cluster.

    Cancelling the coroutine of `run` stops the task: when `asyncio.CancelledError` comes out,
    the work has ended and nothing of it writes any more.
    """

    async def run(self, task: Task, on_progress: OnProgress) -> dict[str, Any]:
        """Run `task` in a worker and return its result.

        `on_progress` gets at least a heartbeat (an empty dict) every second.

        Raises:
            ExportError: as the task raised it.
            WorkerLost: the worker died or stopped answering.
        """
        ...

    async def retire(self, lease: str) -> None:
        """End the workers that hold this lease of a GPU, so that its memory is free again."""
        ...

    async def close(self) -> None:
        """End all workers; running tasks raise `WorkerLost`."""
        ...
