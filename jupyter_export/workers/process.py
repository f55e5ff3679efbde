"""One worker process as the server sees it: at most one run, its messages, its end."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..hardware.child import Child, describe_exit, python_command, scrubbed_environment
from .executor import GpuShare, OnProgress, Task
from .jail import Jail

__all__ = ["Run", "WorkerOptions", "WorkerProcess"]

logger = logging.getLogger(__name__)

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How a worker process is started."""

    tasks: str
    """The module with the task table."""
    niceness: int
    scheduling: str
    """idle, batch or normal."""
    memory: int
    """Bytes of address space; 0 is what the machine has."""
    cpu_seconds: int
    """Of the processor, for each task; 0 is one hour for each core."""
    file_bytes: int
    """The largest that a file may become; 0 sets no limit."""
    settings: Mapping[str, str]
    """Environment variables that tell the worker the server's settings."""
    jail: Jail | None = None
    """What it is left with of the machine; None: all that the user has."""

    def command(self) -> list[str]:
        """What to execute."""
        return python_command(
            "jupyter_export.workers.main",
            f"--parent={os.getpid()}",
            f"--niceness={self.niceness}",
            f"--scheduling={self.scheduling}",
            f"--memory={self.memory}",
            f"--cpu={self.cpu_seconds}",
            f"--file-size={self.file_bytes}",
            *([f"--jail={self.jail.to_json()}"] if self.jail else []),
            f"--tasks={self.tasks}",
        )


@dataclass(eq=False, kw_only=True)
class Run:
    """One task in one worker."""

    task: Task
    on_progress: OnProgress
    outcome: asyncio.Future[dict[str, Any]]
    """The worker's last message about it, or ``{"lost": how the worker ended, "code": exit}``."""
    id: str = field(default_factory=lambda: str(next(_numbers)))
    started: bool = False
    """The worker has begun with it."""
    log_at: int = 0
    """Length of the task's log when it began, in bytes."""
    steps: int = 0
    """How far the task was at its last word: a number that grows while it gets on."""
    moved: float = 0.0
    """When that number grew last, in seconds of the monotonic clock."""


class WorkerProcess:
    """A worker, from its start until its process has ended.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(self, options: WorkerOptions, on_exit: Callable[[WorkerProcess], None]) -> None:
        self._on_exit = on_exit
        self.jail = options.jail
        """What it is left with of the machine."""
        self._run: Run | None = None
        self._fatal = ""
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[dict[str, Any]] = loop.create_future()
        """The worker's greeting, or an empty dict when it ended without one."""
        self.runs = 0
        self.resident = 0
        """Bytes of memory that it held after its last run."""
        self.gpu: GpuShare | None = None
        """What it has been given of a GPU, for the rest of its life."""
        self.torch = False
        """It has loaded torch, which asks only once which GPUs it may see."""
        self.suspect = False
        """It must not be used again."""
        self._child = Child(
            options.command(),
            # Threads of torch that spin while they wait take the cores from those they wait for.
            environment={
                "OMP_WAIT_POLICY": "PASSIVE",
                **scrubbed_environment(),
                **options.settings,
            },
            on_message=self._receive,
            on_exit=self._ended,
        )
        self.pid = self._child.pid
        logger.info("worker=%d action=start scheduling=%s", self.pid, options.scheduling)

    @property
    def exited(self) -> asyncio.Future[int]:
        """Done once the process has ended; its exit code."""
        return self._child.exited

    @property
    def heard(self) -> float:
        """When the worker last said something, in seconds of the monotonic clock."""
        return self._child.heard

    def forgive(self, now: float) -> None:
        """Count its silence, and the time without progress, from `now` on."""
        self._child.heard = now
        if self._run is not None:
            self._run.moved = now

    def begin(self, task: Task, on_progress: OnProgress, now: float) -> Run:
        """Give it `task`; it must not be busy."""
        assert self._run is None, "a worker runs one task at a time"
        outcome: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._run = run = Run(task=task, on_progress=on_progress, outcome=outcome)
        self.runs += 1
        self.forgive(now)
        if self.exited.done():
            code = self.exited.result()
            self._finish({"lost": describe_exit(code), "code": code})
        self.gpu = self.gpu or task.gpu
        message = {"run": run.id, "task": task.name, "params": task.params, "log": task.log}
        if task.gpu is not None:
            message["gpu"] = asdict(task.gpu)
        self._child.send(message)
        return run

    def cancel(self, run: Run) -> None:
        """Ask it to stop `run`."""
        self._child.send({"cancel": run.id})

    def close_input(self) -> None:
        """Ask it to end; it does so at once, whatever it is doing."""
        self._child.close_input()

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()

    def _receive(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            if not self.ready.done():
                self.ready.set_result(message["ready"])
            return
        if "fatal" in message:
            self._fatal = str(message["fatal"])
            return
        if "noise" in message:
            # Nothing but messages can come this way; whoever wrote this cannot be trusted.
            logger.error("worker=%d action=kill reason='no message: %.100s'", self.pid, message)
            self.kill()
            return
        run = self._run
        if run is None or message.get("id") != run.id:
            return
        if not run.started:
            run.started, run.moved = True, self.heard
        if "result" in message or "error" in message:
            self.resident = message.get("rss", 0)
            self.torch = self.torch or bool(message.get("torch"))
            self.suspect = self.suspect or bool(message.get("suspect"))
            self._finish(message)
            return
        run.log_at = message.get("log_at", run.log_at)
        steps = message.get("steps", run.steps)
        if steps != run.steps or "progress" in message:
            run.steps, run.moved = steps, self.heard
        try:
            run.on_progress(message.get("progress", {}))
        except Exception:
            logger.exception("worker=%d action=report-progress task=%s", self.pid, run.task.name)

    def _finish(self, message: dict[str, Any]) -> None:
        run, self._run = self._run, None
        if run is not None and not run.outcome.done():
            run.outcome.set_result(message)

    def _ended(self, code: int) -> None:
        logger.info("worker=%d action=end how=%r", self.pid, describe_exit(code))
        if not self.ready.done():
            self.ready.set_result({})
        how = f"could not start: {self._fatal}" if self._fatal else f"ended ({describe_exit(code)})"
        self._finish({"lost": how, "code": code})
        self._on_exit(self)
