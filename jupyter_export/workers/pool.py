"""The local pool: worker processes on this machine, started when needed and used again."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import ExportError, OutputError, TooMuchWork, WorkerLost
from ..hardware.child import last_line
from ..settings import Settings
from .executor import Lane, Offer, OnProgress, Task
from .jail import Jail, folder, problem
from .limits import has_compute_device, resident_bytes
from .process import Run, WorkerOptions, WorkerProcess

__all__ = ["Grounds", "LocalPool"]

logger = logging.getLogger(__name__)

LATE_SECONDS = 5.0
"""Woken later than this, the server itself was stopped (Ctrl-Z, a suspended laptop)."""

KILL_SECONDS = 5.0

_OUT_OF_TIME = -getattr(signal, "SIGXCPU", 0)


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """Where the exports of a server, or of a shell, take place."""

    sources: Path
    """Folder of the files that they read."""
    outputs: Path
    """Folder of the files that they make."""
    logs: Path | None = None


@dataclass(kw_only=True)
class _Lane:
    slots: asyncio.Semaphore
    options: Callable[[], WorkerOptions]
    """As the settings are when a worker starts."""
    idle: list[WorkerProcess] = field(default_factory=list)
    """The most recently used last, so that workers too many grow old and end."""


class LocalPool:
    """Runs tasks in worker processes; the `Executor` of one machine.

    `size` workers share the lane of exports; what a person waits for has one of its own, in the
    normal scheduling class, so that exports that fill all cores do not hold it up. Use it in one
    event loop, whose thread must live as long as the workers.

    `silence_seconds` without a message (one is due each second) mean that a worker hangs, as do
    ``worker_stuck_seconds`` in which its task takes no step;
    `cancel_seconds` is what a cancelled task gets to stop by itself; an idle worker that holds
    more than `idle_bytes` of memory is replaced. With `grounds`, workers are locked in as the
    setting `worker_jail` says.
    """

    def __init__(
        self,
        settings: Settings,
        size: int,
        *,
        grounds: Grounds | None = None,
        tasks: str = "jupyter_export.workers.tasks",
        silence_seconds: float = 30.0,
        cancel_seconds: float = 0.5,
        idle_bytes: int = 2 * 2**30,
    ) -> None:
        self._settings = settings
        self._grounds = grounds
        self._silence_seconds = silence_seconds
        self._cancel_seconds = cancel_seconds
        self._idle_bytes = idle_bytes
        self._workers: set[WorkerProcess] = set()
        self._expiry: dict[WorkerProcess, asyncio.TimerHandle] = {}
        self._closed = False
        self.trouble = ""
        """Why no worker could be started when that was last tried; empty: one could."""

        def lane(slots: int, scheduling: str = "") -> _Lane:
            return _Lane(
                slots=asyncio.Semaphore(slots),
                options=lambda: WorkerOptions(
                    tasks=tasks,
                    niceness=settings.worker_niceness,
                    scheduling=scheduling or settings.worker_scheduling,
                    memory=settings.worker_memory_limit,
                    cpu_seconds=settings.worker_cpu_seconds,
                    file_bytes=settings.worker_file_limit,
                    settings=settings.environment(),
                ),
            )

        self._lanes = {Lane.EXPORT: lane(size), Lane.INTERACTIVE: lane(1, "normal")}

    @property
    def pids(self) -> frozenset[int]:
        """The process ids of all workers that have not ended."""
        return frozenset(worker.pid for worker in self._workers)

    def memory(self) -> list[int]:
        """Bytes of memory that each worker holds now. Can be called in any thread."""
        return [resident_bytes(worker.pid) for worker in tuple(self._workers)]

    async def start(self) -> None:
        """Start one worker per lane ahead of the first task, and wait until they are ready.

        Raises:
            WorkerLost: one cannot be started.
        """
        jail = await asyncio.to_thread(self._jail, gpu=False, writes=False)
        fresh = [(lane, self._spawn(lane, jail)) for lane in self._lanes.values() if not lane.idle]
        for lane, worker in fresh:
            self._give_back(lane, worker)
        for _, worker in fresh:
            await asyncio.wait({worker.ready})
            if not worker.ready.result():
                raise self._lost("A worker process ended before it was ready.")

    async def run(self, task: Task, on_progress: OnProgress) -> dict[str, Any]:
        """Run `task` in a worker and return its result; see `Executor.run`.

        Raises:
            ExportError: as the task raised it.
            WorkerLost: the worker died or stopped answering, or the pool was closed.
            TooMuchWork: it took more of the processor than it may.
        """
        lane = self._lanes[task.lane]
        async with lane.slots:
            jail = await asyncio.to_thread(
                self._jail, gpu=task.gpu is not None, writes=task.writes_output
            )
            while True:
                worker = _suited(lane.idle, task, jail) or self._spawn(lane, jail)
                if timer := self._expiry.pop(worker, None):
                    timer.cancel()
                fresh = worker.runs == 0
                run = worker.begin(task, on_progress, time.monotonic())
                try:
                    return await self._result(worker, run)
                except WorkerLost:
                    # A worker that died while idle has not touched the task: that is no loss.
                    if fresh or run.started or self._closed:
                        raise
                finally:
                    self._give_back(lane, worker)

    async def offer(self, frames: int) -> Offer:
        """Nothing: all is done here."""
        return Offer()

    def leave(self) -> None:
        """Nothing is anywhere else."""

    async def retire(self, lease: str) -> None:
        """End the workers that hold this lease of a GPU, and wait until they have."""
        holders = [w for w in self._workers if w.gpu is not None and w.gpu.lease == lease]
        for worker in holders:
            self._forget_idle(worker)
            self._retire(worker, "gpu")
        if left := await self._wait_for(holders, KILL_SECONDS):
            logger.error("action=retire workers=%s reason='will not die'", [w.pid for w in left])

    async def close(self) -> None:
        """End all workers, at the latest after the grace time; running tasks lose theirs."""
        self._closed = True
        workers = list(self._workers)
        try:
            for worker in workers:
                worker.close_input()
            await self._wait_for(workers, self._settings.stop_grace_seconds)
        finally:
            for worker in workers:
                worker.kill()
        if left := await self._wait_for(workers, KILL_SECONDS):
            logger.error("action=close workers=%s reason='will not die'", [w.pid for w in left])

    def _jail(self, *, gpu: bool, writes: bool) -> Jail | None:
        """What a worker for such a task is left with of the machine. Looks at the disk.

        Raises:
            ExportError: it is to be locked in, but cannot be.
        """
        grounds, settings = self._grounds, self._settings
        if grounds is None or settings.worker_jail == "off":
            return None
        if why := problem():
            if settings.worker_jail == "auto":
                return None
            raise ExportError(
                f"Workers are to be locked in, but {why}.", "Set worker_jail to auto or off."
            )
        # What drivers of GPUs reach for differs from one to the other.
        compute = gpu or (has_compute_device() and not settings.force_cpu)
        if compute and settings.worker_jail == "auto":
            return None
        write = [settings.cache_path, *([grounds.logs] if grounds.logs else [])]
        read = [grounds.sources, *([settings.models_path] if settings.models_path.exists() else [])]
        if writes:
            write.append(grounds.outputs)
        try:
            return Jail(read=tuple(map(folder, read)), write=tuple(map(folder, write)))
        except OSError as error:
            raise OutputError(
                f"The folder {error.filename!r} cannot be made: {error.strerror}.",
                "Check its permissions, then retry.",
            ) from None

    def _spawn(self, lane: _Lane, jail: Jail | None) -> WorkerProcess:
        if self._closed:
            raise self._lost("The worker pool is closed.")
        try:
            worker = WorkerProcess(replace(lane.options(), jail=jail), self._forget)
        except OSError as error:
            self.trouble = f"A worker process could not be started: {error}."
            raise self._lost(self.trouble) from error
        self._workers.add(worker)
        worker.ready.add_done_callback(self._note_start)
        return worker

    def _note_start(self, ready: asyncio.Future[dict[str, Any]]) -> None:
        well = self._closed or bool(ready.result())
        self.trouble = "" if well else "A worker process ended before it was ready."

    def _forget(self, worker: WorkerProcess) -> None:
        self._workers.discard(worker)
        self._forget_idle(worker)

    def _forget_idle(self, worker: WorkerProcess) -> None:
        if timer := self._expiry.pop(worker, None):
            timer.cancel()
        for lane in self._lanes.values():
            if worker in lane.idle:
                lane.idle.remove(worker)

    def _give_back(self, lane: _Lane, worker: WorkerProcess) -> None:
        if worker.exited.done() or self._closed:
            return
        if worker.suspect or worker.resident > self._idle_bytes:
            self._retire(worker, "suspect" if worker.suspect else "memory")
            return
        lane.idle.append(worker)
        self._expiry[worker] = asyncio.get_running_loop().call_later(
            self._settings.worker_idle_seconds, self._expire, lane, worker
        )

    def _expire(self, lane: _Lane, worker: WorkerProcess) -> None:
        self._expiry.pop(worker, None)
        lane.idle.remove(worker)
        self._retire(worker, "idle")

    def _retire(self, worker: WorkerProcess, reason: str) -> None:
        logger.info("worker=%d action=retire reason=%s", worker.pid, reason)
        worker.close_input()
        self._expiry[worker] = asyncio.get_running_loop().call_later(KILL_SECONDS, worker.kill)

    async def _result(self, worker: WorkerProcess, run: Run) -> dict[str, Any]:
        try:
            await self._until_done(worker, run)
            message = run.outcome.result()
            if "lost" in message:
                await asyncio.wait({worker.exited})
                if message.get("code") == _OUT_OF_TIME != 0:
                    raise _too_much(worker, run)
                raise await self._worker_lost(worker, run, message["lost"])
        except asyncio.CancelledError:
            await _undisturbed(self._stop(worker, run))
            raise
        if "error" in message:
            raise ExportError.from_json(message["error"])
        result: dict[str, Any] = message["result"]
        return result

    async def _until_done(self, worker: WorkerProcess, run: Run) -> None:
        """Wait for the run's outcome; a worker silent or stuck for too long is killed."""
        while not run.outcome.done():
            before = time.monotonic()
            patience = worker.heard + self._silence_seconds - before
            how = f"stopped answering for {self._silence_seconds:g} s and was ended"
            stuck = self._settings.worker_stuck_seconds
            if stuck and run.started and run.moved + stuck - before < patience:
                patience = run.moved + stuck - before
                how = f"got no further for {stuck:g} s and was ended"
            if patience <= 0:
                worker.kill()
                await asyncio.wait({worker.exited})
                raise await self._worker_lost(worker, run, how)
            await asyncio.wait({run.outcome}, timeout=patience)
            now = time.monotonic()
            if now > before + patience + LATE_SECONDS:
                worker.forgive(now)

    async def _stop(self, worker: WorkerProcess, run: Run) -> None:
        worker.cancel(run)
        try:
            await asyncio.wait({run.outcome}, timeout=self._cancel_seconds)
        finally:
            if not run.outcome.done():
                logger.info("worker=%d action=kill reason=cancel", worker.pid)
                worker.kill()
        if not run.outcome.done() or "lost" in run.outcome.result():
            await asyncio.wait({worker.exited})

    async def _worker_lost(self, worker: WorkerProcess, run: Run, how: str) -> WorkerLost:
        said = ""
        if run.started and run.task.log is not None:
            said = await asyncio.to_thread(last_line, Path(run.task.log), run.log_at)
        labels = " ".join(f"{name}={value}" for name, value in run.task.labels.items())
        logger.warning(
            "worker=%d action=lost task=%s how=%r said=%r %s",
            worker.pid,
            run.task.name,
            "pool closed" if self._closed else how,
            said,
            labels,
        )
        if self._closed:
            return self._lost("The worker pool was closed.", task=run.task.name)
        return self._lost(
            f"The worker process of {run.task.name!r} {how}"
            + (f"; the last line of its log: {said}" if said else "")
            + ".",
            task=run.task.name,
        )

    def _lost(self, detail: str, **extra: Any) -> WorkerLost:
        if self._closed:
            return WorkerLost(detail, "Start the server again; the work goes on from there.")
        advice = (
            "It is tried again by itself; should it happen again, see the job's log, and let "
            "fewer exports run at once if memory is short."
        )
        return WorkerLost(detail, advice, **extra)

    async def _wait_for(self, workers: list[WorkerProcess], seconds: float) -> list[WorkerProcess]:
        """Wait for their ends; gives those still there after `seconds`."""
        ends = {worker.exited for worker in workers if not worker.exited.done()}
        if ends:
            await asyncio.wait(ends, timeout=seconds)
        return [worker for worker in workers if not worker.exited.done()]


def _too_much(worker: WorkerProcess, run: Run) -> TooMuchWork:
    logger.warning("worker=%d action=lost task=%s how=cpu-limit", worker.pid, run.task.name)
    return TooMuchWork(
        f"{run.task.name!r} took more processor time than one piece of work may.",
        "The source is probably damaged; else export at a smaller size, or raise "
        "worker_cpu_seconds.",
        task=run.task.name,
    )


def _suited(idle: list[WorkerProcess], task: Task, jail: Jail | None) -> WorkerProcess | None:
    """Take out the idle worker that was used last, of those that `task` may go to.

    A worker that has been on a GPU has memory there until it ends: it serves that lease alone.
    One that never was may take up any, unless it may have been told already which GPUs there are.
    Nor does a worker get out of the jail that it is in.
    """
    alike = [worker for worker in idle if worker.jail == jail]
    same = [worker for worker in alike if worker.gpu == task.gpu]
    clean = [worker for worker in alike if worker.gpu is None and not worker.torch]
    found = (same or clean)[-1] if same or clean else None
    if found is not None:
        idle.remove(found)
    return found


async def _undisturbed(work: Coroutine[Any, Any, None]) -> None:
    """Finish `work` even when the caller is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            # The caller is being cancelled already; one more request changes nothing.
            continue
