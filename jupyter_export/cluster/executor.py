"""The Dask executor: segments of large exports on a cluster, all else on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ..errors import ClusterError, ClusterUnreachable, ExportError, WorkerLost, WorkersUnfit
from ..settings import Settings
from ..workers.executor import Executor, Offer, OnProgress, Task
from .connection import Connection
from .parcel import Packer, Parcel
from .submission import Died, Lost, Submission
from .turns import Turns

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["DaskExecutor"]

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
#: A task of which nothing was heard for so long, after it began, is with a worker that hangs.
SILENCE_SECONDS = 30.0
#: Shorter waits for the scheduler are not worth a word.
QUIET_SECONDS = 1.0
#: A task that stays in the scheduler's line for longer says so.
LINE_SECONDS = 5.0
#: Patience with a task that somebody else has cancelled, or that was lost with its scheduler.
AGAIN_SECONDS = 0.2
#: A segment that was lost so often is rendered on the server's machine: a cluster that answers and
#: yet never gives a result would be asked for ever.
LOSSES = 10
#: The deaths of workers that had begun with a segment after which it is taken to be the cause.
DEATHS = 4
#: How often the scheduler may give a segment up, for whatever deaths, until that is believed.
SURRENDERS = 5
#: So many workers may turn out to be unfit for one task before it is given up.
UNFIT_WORKERS = 4
#: A worker that hangs or has other libraries is not asked again for so long.
UNFIT_SECONDS = 300.0
#: More segments of one export are never asked for at once; how many there are, `Turns` decides.
WIDTH = 4096


class DaskExecutor:
    """Does remote tasks on the cluster that `settings` name, and all others in `local`.

    A task is named after its segment, and outlives the server: whoever asks for the same segment
    finds it running. Lives in one event loop; `local` is closed with it.
    """

    def __init__(
        self,
        settings: Settings,
        local: Executor,
        *,
        tasks: str = "jupyter_export.workers.tasks",
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._settings = settings
        self._local = local
        self._tasks = tasks
        self._silence_seconds = silence_seconds
        self._connection = Connection(settings, self._changed, self._hear)
        self._turns = Turns(self._limit)
        self._live: dict[str, tuple[str, Submission]] = {}
        """What is with the scheduler, by key, each with its job."""
        self._unfit: dict[str, tuple[float, str]] = {}
        """Workers that hang, or have other libraries: since when, and what is wrong."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._packer: Packer | None = None
        self._misset: ClusterError | None = None
        self._leaving = False
        self._closed = False

    def start(self) -> None:
        """Begin to connect."""
        try:
            self._packer = Packer(self._settings, self._tasks, self._connection.topic)
        except ClusterError as error:
            self._misset = error
            log.error("no cluster: %s", error)
            return
        self._connection.start()

    async def offer(self, frames: int) -> Offer:
        """The cluster for large exports, as long as it can be reached."""
        if frames < self._settings.dask_least_frames:
            return Offer()
        if self._misset is None and self._connection.usable:
            return Offer(width=WIDTH)
        trouble = self._misset or self._connection.trouble
        return Offer(notice=_note(trouble))

    async def run(self, task: Task, on_progress: OnProgress) -> dict[str, Any]:
        """Run `task` where it belongs; see `Executor.run`.

        Raises:
            ExportError: as the task raised it.
            WorkerLost: its worker died again and again, or the executor was closed.
            ClusterError: the cluster cannot take it.
        """
        if task.remote is None:
            return await self._local.run(task, on_progress)
        if self._misset is not None:
            raise self._misset
        assert self._packer is not None, "start() comes first"
        async with _beating(on_progress), self._turns.turn(_job(task)):
            parcel = await self._packer.pack(task)
            # Two exports that need the same segment: the second one finds it finished.
            lock = self._locks.setdefault(parcel.key, asyncio.Lock())
            async with lock:
                answer = await self._answer(task, parcel, on_progress)
            return await self._packer.unpack(task, parcel, answer)

    def leave(self) -> None:
        """Let what runs go on without this server."""
        self._leaving = True
        self._local.leave()

    async def retire(self, lease: str) -> None:
        """End the workers of this machine that hold the lease; those elsewhere have their own."""
        await self._local.retire(lease)

    async def close(self) -> None:
        """Leave the cluster; end the workers of this machine."""
        self._closed = True
        if not self._leaving:
            await asyncio.gather(*(submission.cancel() for _, submission in self._live.values()))
        await self._connection.close()
        await self._local.close()

    def to_json(self) -> dict[str, Any]:
        """``{address, workers, threads, segments, problem}``: for the server's health."""
        threads = self._connection.threads if self._connection.connected else {}
        problem = str(self._misset) if self._misset else self._connection.problem
        return {
            "address": self._connection.name,
            "workers": len(threads),
            "threads": sum(threads.values()),
            "segments": self._turns.active,
            "problem": problem or None,
        }

    async def _answer(self, task: Task, parcel: Parcel, on_progress: OnProgress) -> dict[str, Any]:
        """What `host.work` gave, with ``result`` in it."""
        unfit: dict[str, str] = {}
        job, losses, deaths, surrenders = _job(task), 0, 0, 0
        while True:
            if self._closed:
                raise WorkerLost(
                    "The line to the Dask cluster was closed.",
                    "Start the server again; the work goes on from there.",
                )
            client = await self._connected(task, on_progress)
            workers = self._fit_workers(unfit)
            submission = Submission(client, parcel, on_progress, self._silence_seconds)
            self._live[parcel.key] = job, submission

            def waiting(seconds: float) -> None:
                if not self._connection.usable:
                    raise self._connection.trouble
                if seconds > LINE_SECONDS and not self._begun(job):
                    taken = ", ".join(f"{k}={v:g}" for k, v in parcel.resources.items())
                    reason = "a free worker of the Dask cluster" + (taken and f" with {taken}")
                    on_progress({"waiting_for": reason})

            try:
                answer = await submission.answer(workers, lambda: self._leaving, waiting)
            except Lost as lost:
                log.warning("task=%s action=submit-again reason=%s", parcel.key, lost)
                if lost.connection:
                    self._connection.doubt(client)
                if (losses := losses + 1) == LOSSES:
                    raise ClusterUnreachable(
                        f"The Dask cluster {self._connection.name} does not answer.",
                        "The server tries again by itself.",
                    ) from None
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            except Died as died:
                # Dask counts the deaths of workers in whose line it only stood, too.
                deaths, surrenders = deaths + submission.unended, surrenders + 1
                if deaths >= DEATHS or surrenders == SURRENDERS:
                    raise WorkerLost(
                        f"The workers of the Dask cluster that did it died, the last one "
                        f"{died.worker}.",
                        "It is tried again by itself; should it happen again, see the logs of the "
                        "cluster.",
                    ) from None
                log.warning("task=%s action=submit-again reason=%s", parcel.key, died)
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            finally:
                self._live.pop(parcel.key, None)
            if "error" in answer:
                raise ExportError.from_json(answer["error"])
            if "result" in answer:
                return answer
            if worker := answer.get("silent"):
                self._avoid(worker, "stopped answering")
                # What waits in that worker's line would wait for ever.
                for _, other in self._live.values():
                    other.move()
            elif answer.get("always"):
                self._avoid(answer["worker"], answer["unfit"])
            elif "unfit" in answer:
                unfit[answer["worker"]] = answer["unfit"]
                log.info("task=%s worker=%s %s", parcel.key, answer["worker"], answer["unfit"])
            else:  # moved, or another server has cancelled it
                await asyncio.sleep(AGAIN_SECONDS)

    async def _connected(self, task: Task, on_progress: OnProgress) -> Client:
        """The client; what it waits for is told, unless a worker does something of the export."""
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self._connection.client(), QUIET_SECONDS)
        if not self._begun(_job(task)):
            on_progress({"waiting_for": self._connection.trouble.detail})
        client = await self._connection.client()
        on_progress({"waiting_for": None})
        return client

    def _begun(self, job: str) -> bool:
        """Whether a worker does something of the job now."""
        return any(who == job and one.begun for who, one in self._live.values())

    def _hear(self, event: dict[str, Any]) -> None:
        if (found := self._live.get(event.get("key", ""))) is not None:
            found[1].hear(event)

    def _avoid(self, worker: str, why: str) -> None:
        if worker not in self._unfit:
            log.warning("worker=%s action=avoid reason=%r", worker, why)
        self._unfit[worker] = time.monotonic(), why

    def _fit_workers(self, unfit: dict[str, str]) -> list[str] | None:
        """Those that may be asked; None: all.

        Raises:
            WorkersUnfit: there are none.
        """
        limit = time.monotonic() - UNFIT_SECONDS
        self._unfit = {w: entry for w, entry in self._unfit.items() if entry[0] > limit}
        avoided = {**{w: why for w, (_, why) in self._unfit.items()}, **unfit}
        if not avoided:
            return None
        fit = [worker for worker in self._connection.threads if worker not in avoided]
        if fit and len(unfit) < UNFIT_WORKERS:
            return fit
        worker, why = next(iter({**avoided, **unfit}.items()))
        raise WorkersUnfit(
            f"No worker of the Dask cluster fits: {worker} {why}.",
            "Install the same versions of jupyter_export and its libraries on the cluster, and "
            "let its workers see the files.",
        )

    def _limit(self) -> int:
        threads = sum(self._connection.threads.values())
        return self._settings.dask_segments or max(1, 2 * threads)

    def _changed(self) -> None:
        self._turns.look()


@contextlib.asynccontextmanager
async def _beating(on_progress: OnProgress) -> AsyncIterator[None]:
    async def beat() -> None:
        while True:
            on_progress({})
            await asyncio.sleep(BEAT_SECONDS)

    beats = asyncio.create_task(beat())
    try:
        yield
    finally:
        beats.cancel()


def _job(task: Task) -> str:
    return str(task.labels.get("job", ""))


def _note(trouble: ClusterError) -> str:
    return f"{trouble.detail} {trouble.advice} This export was rendered on the server's machine."
