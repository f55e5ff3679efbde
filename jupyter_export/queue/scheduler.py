"""The scheduler: of all servers on a store, the one that holds the lock starts the jobs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from datetime import UTC, datetime

from ..errors import ExportError
from ..hardware.leases import Lease, Want
from ..job import State
from ..points import Point, reached
from .choice import Decision, Entry
from .line import Line
from .lock import SchedulerLock
from .recovery import recover
from .rows import Event
from .runner import Means, Run
from .store import Store
from .tidy import Sweep, forget_old

__all__ = ["Scheduler"]

log = logging.getLogger(__name__)

#: How often a server that follows tries to take over, and one that met an error tries again.
RETRY_SECONDS = 2.0
#: How long a killed worker's attempt may take to see it, when the server stops.
LAST_SECONDS = 2.0
#: How often GPUs are looked at while jobs wait for them: strangers tell nobody when they leave.
GPU_SECONDS = 0.25
#: A look at a long line takes time, and each submission asks for one: between two of them pass so
#: many times as many seconds as the last one took, but not more than these.
REST, REST_SECONDS = 3.0, 0.25


class Scheduler:
    """Starts jobs as places become free, stops them when asked, recovers what others left."""

    def __init__(self, means: Means, line: Line, lock: SchedulerLock, sweep: Sweep) -> None:
        self.leading = False
        """Whether this server starts the jobs of its store."""
        self.trouble = ""
        """Why it could not work when it last tried to; empty: it could."""
        self._means = means
        self._line = line
        self._lock = lock
        self._sweep = sweep
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted_stops: set[str] = set()
        self._kept: dict[str, frozenset[str]] = {}
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._main: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._recovered = False
        self._want: tuple[str, Want | None] | None = None
        """The job that waits for a GPU in the line of all servers, and its place there."""

    async def start(self) -> None:
        """Lead if nobody else does (jobs of a dead server are recovered then), else follow."""
        self._means.database.listeners.append(self._heard)
        first = asyncio.Event()
        self._main = asyncio.create_task(self._serve(first))
        await first.wait()

    async def stop(self) -> None:
        """Start nothing more, stop what runs and put it back into the queue; no failure counts.

        Attempts that do not stop within the grace time lose their workers.
        """
        grace = self._means.settings.stop_grace_seconds
        self._stopping.set()
        self._wake.set()
        self._interrupt_all()
        if self._main is not None:
            _, pending = await asyncio.wait({self._main}, timeout=grace)
            for task in pending:
                task.cancel()  # it recovers a large file; the next start does that again
            self._main = None
        with contextlib.suppress(ValueError):
            self._means.database.listeners.remove(self._heard)
        self._interrupt_all()  # also what was being claimed
        if not await self._ended(grace):
            log.warning("%d exports did not stop in %g s", len(self._runs), grace)
            await self._means.executor.close()
            await self._ended(LAST_SECONDS)
        if self._sweeping is not None:
            await asyncio.wait({self._sweeping})
        await self._wait_in_line(None)
        self._lock.release()
        self.leading = False

    def wake(self) -> None:
        """Look again: a limit has changed."""
        self._wake.set()

    def _heard(self, event: Event) -> None:
        job = event.data if event.job_id is not None else {}
        if job.get("state") == State.RUNNING:
            if job["paused"] or job["cancel_requested"]:
                self._interrupt(job["id"])
            return  # running jobs' other news change nothing for those who wait
        self._wake.set()

    def _interrupt(self, id: str) -> None:
        if id in self._runs:
            self._runs[id].interrupt()
        else:
            self._wanted_stops.add(id)  # its claim is just being answered

    def _interrupt_all(self) -> None:
        for run in self._runs.values():
            run.interrupt()

    async def _ended(self, seconds: float) -> bool:
        if not self._tasks:
            return True
        _, pending = await asyncio.wait(self._tasks, timeout=seconds)
        return not pending

    async def _serve(self, first: asyncio.Event) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            begun = time.perf_counter()
            wait: float | None = RETRY_SECONDS
            try:
                if await self._lead():
                    wait = await self._start_due()
                self.trouble = ""
            except (ExportError, OSError) as error:
                self.trouble = str(error)
                log.error("the scheduler tries again in %g s: %s", RETRY_SECONDS, error)
            except Exception as error:
                self.trouble = f"{type(error).__name__}."
                log.exception("the scheduler tries again in %g s", RETRY_SECONDS)
            first.set()
            with contextlib.suppress(TimeoutError):
                rest = min(REST * (time.perf_counter() - begun), REST_SECONDS)
                async with asyncio.timeout(rest):
                    await self._stopping.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await (self._wake if self.leading else self._stopping).wait()

    async def _lead(self) -> bool:
        """Take the lead if it is free, and recover what is left to recover."""
        if not self.leading:
            if not await asyncio.to_thread(self._lock.acquire):
                return False
            self.leading = True
            log.info("action=lead store=%s", self._means.database.path)
        if not self._recovered:
            means = self._means
            self._recovered = await recover(means.database, means.settings, means.root, self._runs)
        return True

    async def _start_due(self) -> float | None:
        """Start what can start; seconds until it is time to look again."""
        decision = await self._line.decide(afresh=True)
        refused: dict[str, str] = {}
        for entry in decision.start:
            if self._stopping.is_set():
                break
            if entry.need.gpu:
                if why := await self._start_on_gpu(entry, decision):
                    refused[entry.id] = why
            else:
                await self._start(entry)
        self._line.refuse(refused)
        waits = [] if self._recovered else [RETRY_SECONDS]
        first = next((e for e in decision.start if e.id in refused), decision.first_waiting)
        await self._wait_in_line(first)
        if first is not None:
            waits.append(GPU_SECONDS)
        if decision.wake_at is not None:
            waits.append(max(0.0, (decision.wake_at - datetime.now(UTC)).total_seconds()))
        return min(waits, default=None)

    async def _start_on_gpu(self, entry: Entry, decision: Decision) -> str:
        """Start it if a lease can be had; why not, otherwise."""
        want = self._want[1] if self._want is not None and self._want[0] == entry.id else None
        reservations = self._means.reservations
        answer = await reservations.try_gpu(entry.need, entry.priority, want)
        if answer.lease is None:
            return answer.reason
        if await self._start(entry, answer.lease):
            self._line.started(entry, decision.passes.get(entry.id, ()))
        return ""

    async def _wait_in_line(self, entry: Entry | None) -> None:
        """Keep a place in the line of all servers for this job only: its others come after it."""
        if self._want is not None and (entry is None or self._want[0] != entry.id):
            want = self._want[1]
            self._want = None
            if want is not None:
                want.release()
        if self._want is not None and self._want[1] is not None:
            self._want[1].look()
        if entry is not None and self._want is None:
            want = await self._means.reservations.want(entry.need, entry.priority)
            self._want = entry.id, want

    async def _start(self, entry: Entry, lease: Lease | None = None) -> bool:
        """Claim it and let it run; `lease` is its own from now on. Whether it could be claimed."""
        self._wanted_stops.discard(entry.id)
        try:
            job = await self._means.database.call(Store.claim, entry.id, entry.attempt)
        except BaseException:
            if lease is not None:
                lease.release()
            raise
        if job is None:
            if lease is not None:
                lease.release()
            return False
        reached(Point.CLAIMED)
        run = Run(job, self._means, lease)
        if job.id in self._wanted_stops:
            run.interrupt()
        self._runs[job.id] = run
        task = asyncio.create_task(self._run(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _run(self, run: Run) -> None:
        id = run.job.id
        try:
            await run.run()
        except Exception:
            run.unrecorded = True
            log.exception("job=%s attempt=%d its run broke", id, run.job.attempt)
        finally:
            if self._runs.get(id) is run:
                del self._runs[id]
            if run.unrecorded:
                self._recovered = False
            self._kept[id] = run.keep
            self._wake.set()
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.create_task(self._tidy())

    async def _tidy(self) -> None:
        """Bring cache and history down to their limits; live jobs keep their segments."""
        settings = self._means.settings
        try:
            entries = await self._means.database.call(Store.entries)
            live = {entry.id for entry in entries}
            self._line.forget(live)
            self._kept = {id: keep for id, keep in self._kept.items() if id in live}
            keep = set[str]().union(
                *self._kept.values(), *(run.keep for run in self._runs.values())
            )
            limits = settings.cache_bytes, settings.cache_days
            await asyncio.to_thread(self._sweep, settings.cache_path, *limits, keep)
            await forget_old(self._means.database, settings)
        except ExportError as error:
            log.warning("nothing is tidied now: %s", error)
        except Exception:
            log.exception("what is old cannot be tidied")
