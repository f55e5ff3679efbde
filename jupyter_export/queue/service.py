"""The exports of one server: the façade that REST, feed and tests use; JSON values in and out."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import DuplicateJob, ExportError, OutputError, OutputInUse, StoreDamaged
from ..hardware.needs import Need
from ..job import Job
from ..points import Point, reached
from ..settings import Settings
from ..spec import ExportSpec
from ..workers.executor import Executor, Lane, Task
from .admission import admit
from .choice import Place
from .condition import Condition
from .damage import set_aside
from .database import Database
from .estimates import Estimates
from .finished import finished_file
from .line import Line
from .lock import SchedulerLock
from .logs import JobLogs
from .order import EncoderChooser
from .pictures import Pictures
from .previews import Previews
from .refusals import too_large_for_disk, too_large_for_gpus
from .reservations import Reservations
from .runner import Means
from .scheduler import Scheduler
from .snapshot import take
from .speeds import Observation
from .store import Store, check_same_request
from .tidy import Sweep, sweep_segments
from .view import View

__all__ = ["Exports", "log_folder", "store_folder"]

log = logging.getLogger(__name__)

#: A submit does not wait longer than this for the first trial of the encoders.
CHOICE_SECONDS = 0.1


class Exports(Condition):
    """All exports below `root`. Lives in one event loop, between `start` and `stop`.

    The executor is closed by whoever made it; `stop` closes it only if attempts do not end.
    """

    def __init__(
        self,
        settings: Settings,
        root: Path,
        executor: Executor,
        encoders: EncoderChooser,
        *,
        sweep: Sweep | None = None,
        reservations: Reservations | None = None,
    ) -> None:
        self.settings = settings
        self.root = Path(os.path.realpath(root))
        self.folder = store_folder(settings.data_path, self.root)
        """Where the store, the scheduler's lock and the logs are."""
        self._logs = JobLogs(log_folder(settings.data_path, self.root))
        self._database = Database(self.folder / "jobs.sqlite", self._logs.write)
        self.reservations = reservations or Reservations(settings, peaks=self._peaks)
        self._line = Line(self._database, settings, self.reservations)
        self._executor = executor
        self._encoders = encoders
        self._pictures = Pictures(self.root, settings, executor)
        self.previews = Previews(self.root, settings, executor)
        self.estimates = Estimates(
            self.root, settings, executor, encoders, self.reservations, self._speeds
        )
        self._view = View(self._line)
        self.listeners = self._view.listeners
        """Who hears of events and progress; add and remove at will."""
        means = Means(
            database=self._database,
            settings=settings,
            root=self.root,
            executor=executor,
            encoders=encoders,
            reservations=self.reservations,
            logs=self._logs,
            on_progress=self._view.progressed,
        )
        self._lock = SchedulerLock(self.folder / "scheduler.lock")
        self._scheduler = Scheduler(means, self._line, self._lock, sweep or sweep_segments)

    async def start(self) -> None:
        """Open the store, recover what a dead server left, and start what waits.

        A damaged store is kept aside, unless another server works with it.

        Raises:
            QueueError, OutputError: the store cannot be used (`QueueBusy`: not now).
        """
        try:
            await asyncio.to_thread(self._make_folders)
        except OSError as error:
            raise OutputError(
                f"The folder {self.folder} cannot be made: {error.strerror}.",
                "Set JUPYTER_EXPORT_DATA_DIR to a folder that can be written.",
            ) from None
        try:
            await self._database.open()
        except StoreDamaged as error:
            if not await asyncio.to_thread(set_aside, self._database.path, self._lock):
                raise
            log.error("action=set-aside reason=%r", error.detail)
            await self._database.open()
        self._database.listeners.append(self._view.happened)
        await self._scheduler.start()

    async def stop(self) -> None:
        """Put what runs back into the queue; after the next start it goes on where it was."""
        await self._scheduler.stop()
        await self._database.close()

    def _make_folders(self) -> None:
        """For this user alone: homes can often be entered by everybody.

        Each by itself, as `mkdir` gives its mode to the last part of a path only.
        """
        for folder in (self.settings.data_path, self.folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._logs.prepare()

    # What users ask for

    async def submit(
        self,
        spec: ExportSpec,
        *,
        priority: int = 0,
        allow_duplicate: bool = False,
        idempotency_key: str | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """Queue an export; False with the job that the same idempotency key has made before.

        Raises:
            SpecError: the spec cannot be exported; `field` says why not.
            OutputError: the output's folder is missing or cannot be written.
            EncoderUnavailable: the encoder asked for by name cannot be used.
            OutOfMemory, DiskFull: it can never fit here; the advice says what would.
            OutputInUse, DuplicateJob: ``extra`` has the other job's id and progress.
            QueueBusy: too many jobs wait.
        """
        asked = spec.model_dump(mode="json")
        if idempotency_key is not None:
            known = await self._database.call(Store.by_key, idempotency_key)
            if known is not None:
                check_same_request(known, asked)
                return await self._view.one(known), False
        output, inspected = await admit(
            spec, self.root, self.settings, self._executor, self._encoders
        )
        await self._refuse(spec, inspected, output)
        need = await self._need(spec, inspected)
        job = Job(
            id=secrets.token_hex(8),
            spec=asked,
            kind=spec.kind.value,
            output=output.relative_to(self.root).as_posix(),
            project=spec.project,
            priority=priority,
            need=None if need is None else need.to_json(),
            idempotency_key=idempotency_key,
        )
        try:
            job, created = await self._database.call(
                Store.submit,
                job,
                allow_duplicate=allow_duplicate,
                max_queued=self.settings.max_queued,
            )
        except (OutputInUse, DuplicateJob) as error:
            await self._add_progress(error)
            raise
        reached(Point.SUBMITTED)
        return await self._view.one(job), created

    def limits_changed(self) -> None:
        """Settings have changed: look again at what may start."""
        self._line.changed()
        self._scheduler.wake()

    # What the feed is made of

    async def snapshot(
        self, finished: int, encode: Callable[[dict[str, Any]], str]
    ) -> tuple[int, list[str], dict[str, Any]]:
        """The live jobs and the `finished` latest others, of one moment.

        Gives the number of the last event before that moment, each job as `encode` makes it of
        its JSON form (in a thread), and the state of the queue.
        """
        limit = self.settings.max_concurrent_exports
        taken = await self._database.call(take, self._line.chooser(), limit, finished)

        def encoded() -> list[str]:
            return [encode(self._view.show(job, taken.places.get(job.id))) for job in taken.jobs]

        return taken.seq, await asyncio.to_thread(encoded), taken.queue

    async def events_since(self, seq: int, limit: int) -> list[dict[str, Any]]:
        """At most `limit` events after `seq` that are still kept, oldest first."""
        events = await self._database.call(Store.events_since, seq, limit)
        return [event.to_json() for event in events]

    async def places(self) -> dict[str, Place]:
        """Where each queued job stands now, and what it waits for."""
        return (await self._line.decide()).places

    async def thumbnail(self, id: str) -> bytes:
        """A picture of what the job exports, as JPEG.

        Raises:
            JobNotFound, SourceError, PathError: there is none.
        """
        return await self._pictures.of_source(await self._database.call(Store.get, id))

    async def poster(self, id: str) -> bytes:
        """A picture of what the job has made, as JPEG.

        Raises:
            JobNotFound, IllegalMove, SourceError, PathError: there is none, or not yet.
        """
        return await self._pictures.of_output(await self._database.call(Store.get, id))

    async def finished_file(self, id: str) -> Path:
        """Where the file is that the job has made.

        Raises:
            JobNotFound, IllegalMove, SourceError, PathError: there is none, or not yet.
        """
        job = await self._database.call(Store.get, id)
        hidden = self.settings.allow_hidden
        return await asyncio.to_thread(finished_file, job, self.root, allow_hidden=hidden)

    async def probe(self, path: str) -> dict[str, Any]:
        """``{width, height, duration}`` of a video below the root, as a worker finds them.

        Raises:
            SourceError, PathError: it cannot be read.
        """
        params = {
            "root": str(self.root),
            "path": path,
            "allow_hidden": self.settings.allow_hidden,
        }
        task = Task(name="probe", params=params, lane=Lane.INTERACTIVE)
        return await self._executor.run(task, lambda message: None)

    async def log(self, id: str) -> str:
        """The end of a job's log, at most 256 KiB.

        Raises:
            JobNotFound: there is no such job.
        """
        await self._database.call(Store.get, id)
        return await asyncio.to_thread(self._logs.tail, id)

    async def _need(self, spec: ExportSpec, inspected: dict[str, Any]) -> Need | None:
        """What the export will need of a GPU; None if that is not known at once.

        Its attempts find that out then. Knowing it now lets it start beside exports that need no
        GPU, and spares it an attempt that only learns that it has to wait.
        """
        try:
            async with asyncio.timeout(CHOICE_SECONDS):
                choice = await self._encoders.choose(spec.encoding, frozenset())
        except (TimeoutError, ExportError):
            return None
        # What is copied needs no encoder, and its joins are encoded in software.
        encoder = "" if inspected.get("may_copy") else choice.name
        return await self.reservations.need(encoder, inspected.get("vram"))

    async def _refuse(self, spec: ExportSpec, inspected: dict[str, Any], output: Path) -> None:
        """Raise what an export would fail with, or wait for in vain, whenever it started."""
        refusal = None
        if (vram := inspected.get("vram")) is not None:
            refusal = too_large_for_gpus(spec, vram, await self.reservations.room())
        if refusal is None:
            folders = output.parent, self.settings.cache_path
            size = inspected.get("bytes", 0.0)
            refusal = await asyncio.to_thread(too_large_for_disk, size, folders)
        if refusal is not None:
            raise refusal

    async def _speeds(self, key: str) -> tuple[Sequence[Observation], Sequence[Observation]]:
        return await self._database.call(Store.speeds, key)

    async def _peaks(self, key: str) -> Sequence[int]:
        return await self._database.call(Store.peaks, key)


def store_folder(data: Path, root: Path, server: str | None = None) -> Path:
    """Where the jobs of one root directory are kept, below the data folder.

    Servers of other names (JupyterHub's named servers) can run on other hosts, so each name has
    a store of its own; `server` is by default the name in the environment.
    """
    name = os.environ.get("JUPYTERHUB_SERVER_NAME", "") if server is None else server
    digest = hashlib.sha256(f"{name}\n{os.path.realpath(root)}".encode(errors="surrogateescape"))
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", root.name)[:40].strip("-") or "root"
    return data / "stores" / f"{readable}-{digest.hexdigest()[:12]}"


def log_folder(data: Path, root: Path) -> Path:
    """Where the logs of the jobs of one root directory are."""
    return store_folder(data, Path(os.path.realpath(root))) / "logs"
