"""One attempt at a job, from its claim to the published file, or back into the queue."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ..errors import DiskFull, ExportError, InternalError, OutOfMemory, WorkerLost
from ..hardware.leases import Lease
from ..hardware.needs import Need
from ..job import Job, Progress, State
from ..paths import resolve_output
from ..settings import Settings
from ..spec import parse
from ..workers.executor import Executor
from .database import Database
from .hold import Hold
from .logs import JobLogs
from .order import EncoderChooser, Order, Outline, Produced
from .pipeline import produce
from .publish import DISK_FULL, part_path, publish, remove, sweep_parts
from .reservations import MustWait, Reservations
from .retry import after_failure
from .store import Store

__all__ = ["Means", "Run"]

log = logging.getLogger(__name__)

#: Finished segments are recorded at most this often: each record is a commit.
RECORD_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Means:
    """What attempts work with."""

    database: Database
    settings: Settings
    root: Path
    executor: Executor
    encoders: EncoderChooser
    reservations: Reservations
    logs: JobLogs
    on_progress: Callable[[Job, Progress], None]


class _Replaced(Exception):
    """Another attempt owns the job now."""


class Run:
    """One attempt. `interrupt` makes it stop soon; `run` returns when nothing of it goes on."""

    def __init__(self, job: Job, means: Means, lease: Lease | None = None) -> None:
        """`lease` is what was taken of a GPU for it; the attempt gives it back."""
        self.job = job
        self.keep: frozenset[str] = frozenset()
        """Files of the cache that it needs."""
        self.unrecorded = False
        """The store refused the outcome: recovery has to find out where the job stands."""
        self._means = means
        self._hold = Hold(means.reservations, means.executor, lease, priority=job.priority)
        self._interrupted = False
        self._work: asyncio.Task[tuple[Path, Produced]] | None = None
        self._recorded_at = 0.0

    def interrupt(self) -> None:
        """Stop the work: the job was cancelled or paused, or the server stops.

        What has become of it is told by the store. A file that is being published is finished.
        """
        if self._interrupted:
            return  # a second cancel would break off the cleaning up after the first
        self._interrupted = True
        if self._work is not None:
            self._work.cancel()

    async def run(self) -> None:
        """Work on the job until it leaves ``running`` and ``publishing``."""
        # The work is a task of its own: it can be cancelled at any time, what follows cannot.
        self._work = asyncio.create_task(self._produce())
        if self._interrupted:
            self._work.cancel()
        await asyncio.wait({self._work})
        await self._hold.close()
        try:
            if self._work.cancelled():
                await self._stopped(WorkerLost("The work was cancelled by nobody."))
            elif (error := self._work.exception()) is None:
                await self._publish(*self._work.result())
            elif isinstance(error, _Replaced):
                log.warning("job=%s attempt=%d was replaced", self.job.id, self.job.attempt)
            elif isinstance(error, MustWait):
                log.info("job=%s attempt=%d waits: %s", self.job.id, self.job.attempt, error)
                await self._requeue(error.need)
            elif isinstance(error, Exception):
                await self._stopped(error)
            else:
                raise error
        except ExportError as error:
            self.unrecorded = True
            log.error(
                "job=%s attempt=%d cannot be recorded: %s", self.job.id, self.job.attempt, error
            )

    async def _produce(self) -> tuple[Path, Produced]:
        means, job, settings = self._means, self.job, self._means.settings
        means.on_progress(job, Progress(phase="planning"))
        output = await asyncio.to_thread(
            resolve_output, means.root, job.output, allow_hidden=settings.allow_hidden
        )
        if job.attempt > 1:
            await sweep_parts(output, job.id)
        order = Order(
            spec=parse(job.spec),
            root=means.root,
            part=part_path(output, job.id, job.attempt),
            cache=settings.cache_path,
            width=settings.segment_width,
            segment_seconds=settings.segment_seconds,
            allow_hidden=settings.allow_hidden,
            avoid_hardware=(
                "was in use when workers died"
                if 0 < settings.max_lost_workers - 1 <= job.lost_workers
                else ""
            ),
            notes=job.notes,
            log=str(means.logs.path(job.id)),
            labels={"job": job.id, "attempt": job.attempt},
        )
        produced = await produce(
            order,
            means.executor,
            means.encoders,
            lambda progress: means.on_progress(self.job, progress),
            self._outlined,
            self._hold,
        )
        await self._hold.close()  # before the file is published: others wait for it
        await self._tell_peak()
        return output, produced

    async def _tell_peak(self) -> None:
        """Say in the job's log how much GPU memory it took, and learn from it."""
        need, peak = self._hold.need, self._hold.peak_mib
        if need is None or not peak:
            return
        text = f"GPU memory: at most {peak} MiB were used, {need.vram_mib} MiB were reserved.\n"
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._means.logs.append, self.job.id, text)
        if need.key:
            await self._means.database.call(Store.measured, need.key, peak)

    async def _outlined(self, outline: Outline) -> None:
        """Record the plan at once, and finished segments now and then."""
        planned = outline.keep != self.keep or (self.job.encoder or {}) != outline.encoder
        self.keep = outline.keep
        now = time.monotonic()
        if not planned and now - self._recorded_at < RECORD_SECONDS:
            return
        self._recorded_at = now
        job = await self._means.database.call(
            Store.record,
            self.job.id,
            self.job.attempt,
            "planned" if planned else "advanced",
            encoder=outline.encoder,
            segments=outline.segments,
            total_frames=outline.total_frames,
            notes=outline.notes,
            need=None if self._hold.need is None else self._hold.need.to_json(),
        )
        if job is None:
            raise _Replaced
        self.job = job

    async def _publish(self, output: Path, produced: Produced) -> None:
        job = await self._means.database.call(
            Store.begin_publishing,
            self.job.id,
            self.job.attempt,
            part=str(produced.part),
            result=produced.result,
            segments=produced.outline.segments,
            notes=produced.outline.notes,
        )
        if job is None:
            await remove(produced.part)
            await self._requeue()
            return
        self.job = job
        try:
            await publish(produced.part, output)
        except ExportError as error:
            await remove(produced.part)
            await self._stopped(error)
            return
        await self._means.database.call(Store.complete, job.id, job.attempt)

    async def _stopped(self, error: Exception) -> None:
        """The attempt has come to nothing."""
        if self._interrupted and self.job.state is not State.PUBLISHING:
            await self._requeue()
            return
        if isinstance(error, OutOfMemory):
            need = self._hold.need
            if need is not None and need.gpu and not need.alone:
                log.info("job=%s attempt=%d again alone: %s", self.job.id, self.job.attempt, error)
                await self._requeue(replace(need, alone=True))
                return
        job = await self._means.database.call(Store.find, self.job.id)
        if job is None or job.attempt != self.job.attempt:
            return
        settings = self._means.settings
        verdict = after_failure(
            job,
            await self._told(error),
            datetime.now(UTC),
            max_attempts=settings.max_attempts,
            max_lost_workers=settings.max_lost_workers,
            base_seconds=settings.retry_base_seconds,
        )
        if verdict.retry_at is None:
            await self._means.database.call(
                Store.fail,
                job.id,
                job.attempt,
                error=verdict.error.to_json(),
                failures=verdict.failures,
                lost_workers=verdict.lost_workers,
            )
        else:
            await self._means.database.call(
                Store.retry_later,
                job.id,
                job.attempt,
                error=verdict.error.to_json(),
                not_before=verdict.retry_at,
                failures=verdict.failures,
                lost_workers=verdict.lost_workers,
                notes=verdict.notes,
            )

    async def _requeue(self, need: Need | None = None) -> None:
        """Back as it was; the store makes it cancelled if that is what was asked for.

        With `need` it waits until that is free of a GPU.
        """
        known = None if need is None else need.to_json()
        await self._means.database.call(Store.requeue, self.job.id, self.job.attempt, need=known)

    async def _told(self, error: Exception) -> ExportError:
        """The error as the user sees it; of what nobody expected, the log has the traceback."""
        if isinstance(error, ExportError):
            return error
        told: ExportError
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            told = DiskFull(
                "There is no space left for the export.", "Free some space, then retry."
            )
        else:
            told = InternalError(
                f"Something unexpected happened: {type(error).__name__}: {error}.",
                "The job's log has the details; please report them.",
            )
        text = "".join(traceback.format_exception(error))
        log.error(
            "job=%s attempt=%d failed unexpectedly", self.job.id, self.job.attempt, exc_info=error
        )
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._means.logs.append, self.job.id, text)
        return told
