"""One attempt at a job, from its claim to the published file, or back into the queue."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from ..errors import DiskFull, ExportError, InternalError, OutOfMemory, WorkerLost
from ..hardware.leases import Lease
from ..hardware.needs import Need
from ..job import Job, Progress, State
from ..paths import check_paths
from ..points import Point, reached
from ..provenance import part_of, place, prepare, provenance
from ..settings import Settings
from ..spec import parse
from ..workers.executor import Executor
from .crowd import Crowd
from .database import Database
from .hold import Hold
from .logs import JobLogs
from .order import EncoderChooser, Order, Outline, Produced, Took
from .pipeline import produce
from .publish import DISK_FULL, part_path, publish, remove, sweep_parts
from .reservations import MustWait, Reservations
from .retry import after_failure
from .speeds import Observation
from .store import Store

__all__ = ["Means", "Run"]

log = logging.getLogger(__name__)

#: Finished segments are recorded at most this often: each record is a commit.
RECORD_SECONDS = 1.0

P = ParamSpec("P")
T = TypeVar("T")


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
    crowd: Crowd = field(default_factory=Crowd)


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
        spec = parse(job.spec)
        # Again: what was a file of its own when the job was queued may be a source now.
        resolved = spec.model_copy(update={"output": job.output})
        output = await asyncio.to_thread(check_paths, resolved, means.root, settings.allow_hidden)
        if job.attempt > 1:
            await sweep_parts(output, job.id)
        many_lost = 0 < settings.max_lost_workers - 1 <= job.lost_workers
        died = "was in use when workers died" if many_lost else ""
        order = Order(
            spec=spec,
            root=means.root,
            part=part_path(output, job.id, job.attempt),
            cache=settings.cache_path,
            width=settings.segment_width,
            segment_seconds=settings.segment_seconds,
            allow_hidden=settings.allow_hidden,
            avoid_hardware=died,
            avoid_gpu=died,
            notes=job.notes,
            log=str(means.logs.path(job.id)),
            labels={"job": job.id, "attempt": job.attempt},
        )
        leave = means.crowd.enter()
        try:
            produced = await produce(
                order,
                means.executor,
                means.encoders,
                lambda progress: means.on_progress(self.job, progress),
                self._outlined,
                self._hold,
            )
        finally:
            beside = leave()
        await self._hold.close()  # before the file is published: others wait for it
        await self._tell_peak()
        await self._learn(produced.took, beside)
        return output, produced

    async def _tell_peak(self) -> None:
        """Say in the job's log how much GPU memory it took, and learn from it."""
        need, peak = self._hold.need, self._hold.peak_mib
        if need is None or not need.gpu or not peak:
            return
        text = f"GPU memory: at most {peak} MiB were used, {need.vram_mib} MiB were reserved.\n"
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._means.logs.append, self.job.id, text)
        if need.key:
            await self._means.database.call(Store.measured, need.key, peak)

    async def _learn(self, took: Took | None, beside: float) -> None:
        """Remember how long it took: later estimates are better."""
        if took is not None:
            one = Observation(
                work=took.work,
                seconds=took.seconds,
                coded=took.coded,
                beside=beside,
                source=took.source,
            )
            try:
                await self._means.database.call(Store.took, took.key, one)
            except ExportError as error:
                log.warning("job=%s its time is not remembered: %s", self.job.id, error)

    async def _outlined(self, outline: Outline) -> None:
        """Record the plan at once, and finished segments now and then."""
        planned = outline.keep != self.keep or (self.job.encoder or {}) != outline.encoder
        self.keep = outline.keep
        now = time.monotonic()
        if not planned and now - self._recorded_at < RECORD_SECONDS:
            return
        self._recorded_at = now
        job = await self._record(
            Store.record,
            self.job.id,
            self.job.attempt,
            "planned" if planned else "advanced",
            encoder=outline.encoder,
            segments=outline.segments,
            total_frames=outline.total_frames,
            notes=outline.notes,
            need=self._hold.to_json(),
        )
        if job is None:
            raise _Replaced
        self.job = job
        if planned:
            reached(Point.PLANNED)

    async def _publish(self, output: Path, produced: Produced) -> None:
        settings = self._means.settings
        if settings.provenance:
            content = provenance(self.job, produced, settings.segment_seconds)
            await asyncio.to_thread(prepare, output, self.job, content)
        told = part_of(output, self.job)
        job = await self._record(
            Store.begin_publishing,
            self.job.id,
            self.job.attempt,
            part=str(produced.part),
            result=produced.result,
            segments=produced.outline.segments,
            notes=produced.outline.notes,
            need=self._hold.to_json(),
        )
        if job is None:
            await remove(produced.part)
            await remove(told)
            await self._requeue()
            return
        self.job = job
        reached(Point.INTENDED)
        try:
            await publish(produced.part, output)
        except ExportError as error:
            await remove(produced.part)
            await remove(told)
            await self._stopped(error)
            return
        await asyncio.to_thread(place, output, job)
        await self._record(Store.complete, job.id, job.attempt)
        reached(Point.COMPLETED)

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
            await self._record(
                Store.fail,
                job.id,
                job.attempt,
                error=verdict.error.to_json(),
                failures=verdict.failures,
                lost_workers=verdict.lost_workers,
            )
        else:
            await self._record(
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
        await self._record(Store.requeue, self.job.id, self.job.attempt, need=known)
        reached(Point.REQUEUED)

    async def _record(
        self, move: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Make a move in the store; one that is locked is waited for, but not by who is to stop."""
        database = self._means.database
        return await database.insist(lambda: self._interrupted, move, *args, **kwargs)

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
