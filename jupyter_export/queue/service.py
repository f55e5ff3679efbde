"""The exports of one server: the façade that REST, feed and tests use; JSON values in and out."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import DuplicateJob, ExportError, OutputError, OutputInUse
from ..hardware.needs import Need
from ..job import Job
from ..settings import Settings
from ..spec import ExportSpec
from ..workers.executor import Executor, Lane, Task
from .admission import admit
from .choice import Place
from .commands import Commands
from .database import Database
from .finished import finished_file
from .line import Line
from .lock import SchedulerLock
from .logs import JobLogs
from .order import EncoderChooser
from .pictures import Pictures
from .previews import Previews
from .reservations import Reservations
from .runner import Means
from .scheduler import Scheduler, Sweep
from .snapshot import take
from .store import Store, check_same_request
from .view import View

__all__ = ["Exports", "store_folder"]

#: A submit does not wait longer than this for the first trial of the encoders.
CHOICE_SECONDS = 0.1


class Exports(Commands):
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
        self._logs = JobLogs(self.folder / "logs")
        self._database = Database(self.folder / "jobs.sqlite", self._logs.write)
        self.reservations = reservations or Reservations(settings, peaks=self._peaks)
        self._line = Line(self._database, settings, self.reservations)
        self._executor = executor
        self._encoders = encoders
        self._pictures = Pictures(self.root, settings, executor)
        self.previews = Previews(self.root, settings, executor)
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
        lock = SchedulerLock(self.folder / "scheduler.lock")
        self._scheduler = Scheduler(means, self._line, lock, sweep or _sweep_segments)

    async def start(self) -> None:
        """Open the store, recover what a dead server left, and start what waits.

        Raises:
            QueueError, OutputError: the store cannot be used.
        """
        try:
            await asyncio.to_thread(self._logs.prepare)
        except OSError as error:
            raise OutputError(
                f"The folder {self.folder} cannot be made: {error.strerror}.",
                "Set JUPYTER_EXPORT_DATA_DIR to a folder that can be written.",
            ) from None
        await self._database.open()
        self._database.listeners.append(self._view.happened)
        await self._scheduler.start()

    async def stop(self) -> None:
        """Put what runs back into the queue; after the next start it goes on where it was."""
        await self._scheduler.stop()
        await self._database.close()

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
        return await self._view.one(job), created

    async def health(self) -> dict[str, Any]:
        """``{leading, epoch, seq, journal_mode, queue, leases}``; leading: it starts jobs."""
        return {
            "leading": self._scheduler.leading,
            "epoch": self._database.epoch,
            "seq": self._database.last_seq,
            "journal_mode": self._database.journal_mode,
            "queue": await self.queue_state(),
            "leases": self.reservations.to_json(),
        }

    def limits_changed(self) -> None:
        """Settings have changed: look again at what may start."""
        self._line.changed()
        self._scheduler.wake()

    # What the feed is made of

    @property
    def epoch(self) -> str:
        """Names the store: event numbers of another one mean nothing."""
        return self._database.epoch

    @property
    def seq(self) -> int:
        """The number of the latest event that was announced."""
        return self._database.last_seq

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
        return await self.reservations.need(choice.name, inspected.get("vram"))

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


def _sweep_segments(folder: Path, limit_bytes: int, keep: set[str]) -> None:
    # Here because it brings in the media libraries, which a server's start does not wait for.
    from ..media.cache import SegmentCache

    SegmentCache(folder).sweep(limit_bytes, keep)
