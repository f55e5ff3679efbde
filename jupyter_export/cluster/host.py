"""The part inside a Dask worker: each task runs in a worker process of ours, under leases of its
own machine, and never in Dask's threads.

`work` is the function that the server submits. It is a coroutine, so Dask runs it in the worker's
event loop and counts it against the worker's threads and resources. The child does the work: it
is limited and niced, it can be killed at any moment, and it ends with the Dask worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from distributed import Worker, WorkerPlugin, get_worker

from .._version import __version__
from ..errors import ClusterError, ExportError, WorkersUnfit
from ..queue.reservations import Reservations
from ..settings import ENV_PREFIX, Settings
from ..workers.executor import GpuShare, Task
from ..workers.pool import LocalPool
from .leases import Shares
from .scratch import Scratch
from .store import Store

__all__ = ["Host", "work"]

log = logging.getLogger(__name__)

#: Least distance of two events of one task: each goes over the scheduler, which all users share.
EVENT_SECONDS = 0.5
#: Of the child's log so much goes back to the server.
LOG_BYTES = 64 * 2**10


async def work(key: str, parcel: dict[str, Any]) -> dict[str, Any]:
    """Do a parcel; gives ``{"worker": address}`` and one of ``"result"`` (with ``"log"``),
    ``"error"`` (as the task raised it), ``"unfit"`` (why this machine cannot do it; with
    ``"always"``: never) and ``"stopped"``.

    Meanwhile events on the parcel's topic: ``{"key", "run", "worker"}`` with ``"began"``,
    ``"progress"`` (an empty one is a heartbeat) or ``"ended"``.
    """
    host = await Host.of(get_worker())
    return {"worker": host.address, **await host.work(key, parcel)}


class _Listener(WorkerPlugin):
    """Hears from Dask that a task is not wanted any more, and that the worker closes."""

    name = "jupyter_export"

    def __init__(self, host: Host) -> None:
        self._host = host

    def transition(self, key: Any, start: Any, finish: Any, **kwargs: Any) -> None:
        if finish in {"cancelled", "released", "resumed"} and start in {"executing", "cancelled"}:
            self._host.stop(key)

    async def teardown(self, worker: Worker) -> None:
        await self._host.close()


class Host:
    """What one Dask worker has for our tasks, from the first of them until it closes."""

    _known: ClassVar[WeakKeyDictionary[Worker, Host]] = WeakKeyDictionary()

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._folder = Path(os.path.realpath(worker.local_directory)) / "jupyter_export"
        self._sites: dict[str, _Site] = {}
        self._running: dict[str, asyncio.Task[dict[str, Any]]] = {}

    @classmethod
    async def of(cls, worker: Worker) -> Host:
        """The one of this Dask worker."""
        host = cls._known.get(worker)
        if host is None:
            cls._known[worker] = host = cls(worker)
            await worker.plugin_add(plugin=_Listener(host), name=_Listener.name)
        return host

    @property
    def address(self) -> str:
        """Of the Dask worker."""
        return str(self._worker.address)

    async def work(self, key: str, parcel: dict[str, Any]) -> dict[str, Any]:
        """See `work`."""
        if parcel["version"] != __version__:
            differs = f"has jupyter_export {__version__}, but the server {parcel['version']}"
            return {"unfit": differs, "always": True}
        run = secrets.token_hex(4)

        def tell(**event: Any) -> None:
            event |= {"key": key, "run": run, "worker": self.address}
            self._worker.log_event(parcel["topic"], event)

        report = _Seldom(lambda message: tell(progress=message))
        task = asyncio.create_task(self._site(parcel).work(parcel, report))
        self._running[key] = task
        tell(began=True)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            del self._running[key]
            tell(ended=True)
        if task.cancelled():
            return {"stopped": True}
        return _answer(task)

    def stop(self, key: Any) -> None:
        """Nobody wants the task any more."""
        if (task := self._running.get(key)) is not None:
            task.cancel()

    async def close(self) -> None:
        """End all workers of ours."""
        for site in self._sites.values():
            await site.close()

    def _site(self, parcel: dict[str, Any]) -> _Site:
        identity = json.dumps([parcel["tasks"], parcel["settings"]], sort_keys=True)
        if identity not in self._sites:
            threads = self._worker.state.nthreads
            folder = self._folder
            self._sites[identity] = _Site(parcel["tasks"], parcel["settings"], threads, folder)
        return self._sites[identity]


class _Seldom:
    """Passes on the latest message now and then; a heartbeat carries what waits."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._told = float("-inf")
        self._waiting: dict[str, Any] = {}

    def __call__(self, message: dict[str, Any]) -> None:
        now = time.monotonic()
        self._waiting = message or self._waiting
        # Heartbeats are rare by themselves, and must not hold back the first word of a task.
        if not message or "waiting_for" in message or now - self._told >= EVENT_SECONDS:
            self._tell(self._waiting)
            self._told = now if self._waiting else self._told
            self._waiting = {}


class _Site:
    """Workers with the settings of one server, where this machine has none of its own."""

    def __init__(self, tasks: str, given: dict[str, str], size: int, folder: Path) -> None:
        own = {name: value for name, value in os.environ.items() if name.startswith(ENV_PREFIX)}
        # A lease is for one segment here, not for an export: it counts one session.
        settings = Settings(data_dir=str(folder), segment_workers=1)
        settings.apply_environment(
            {**given, **own}, skip=frozenset({"data_dir", "cache_dir", "segment_workers"})
        )
        self._settings = settings
        self._pool = LocalPool(settings, size, tasks=tasks)
        self._reservations = Reservations(settings)
        self._shares = Shares(self._reservations, self._pool)
        self._scratch = Scratch(folder, settings.cache_bytes)

    async def work(
        self, parcel: dict[str, Any], report: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        with _log_file(wanted=parcel["log"]) as log_path:
            if "store" in parcel:
                result = await self._shipped(parcel, report, log_path)
            else:
                params = await asyncio.to_thread(_placed, parcel["params"])
                result = await self._run(parcel, params, report, log_path)
            return {"result": result, "log": _tail(log_path)}

    async def _shipped(
        self, parcel: dict[str, Any], report: Callable[[dict[str, Any]], None], log_path: str | None
    ) -> dict[str, Any]:
        """Fetch the sources, render, and leave the segment in the store."""
        params = parcel["params"]
        store = await asyncio.to_thread(Store, parcel["store"])
        id = params["segment"]["id"]
        found = await asyncio.to_thread(store.find_segment, id)
        if found is not None:
            return {"reused": True, "frames": found["frames"], "notes": found.get("notes", [])}
        async with self._scratch.sources(store, params["sources"], lambda: report({})) as sources:
            with self._scratch.segments() as cache:
                own = {**params, "sources": sources, "cache": str(cache)}
                result = await self._run(parcel, own, report, log_path)
                await asyncio.to_thread(_upload, store, cache, id, result["notes"])
        return result

    async def _run(
        self,
        parcel: dict[str, Any],
        params: dict[str, Any],
        report: Callable[[dict[str, Any]], None],
        log_path: str | None,
    ) -> dict[str, Any]:
        def waiting(reason: str | None) -> None:
            report({"waiting_for": reason})

        async with self._held(parcel, waiting) as gpu:
            task = Task(
                name=parcel["task"],
                params=params,
                log=log_path,
                labels={"job": parcel["job"]},
                gpu=gpu,
            )
            return await self._pool.run(task, report)

    @contextlib.asynccontextmanager
    async def _held(
        self, parcel: dict[str, Any], waiting: Callable[[str | None], None]
    ) -> AsyncIterator[GpuShare | None]:
        """What the task takes of this machine: a share of a GPU, a core."""
        async with contextlib.AsyncExitStack() as stack:
            need = await self._reservations.need(parcel["encoder"], parcel["vram"])
            gpu = None
            if need.gpu:
                held = self._shares.held(parcel["job"], need, waiting)
                gpu = await stack.enter_async_context(held)
            if not parcel["hardware"]:
                await stack.enter_async_context(self._reservations.cores(waiting))
            yield gpu

    async def close(self) -> None:
        await self._shares.close()
        await self._pool.close()


def _answer(task: asyncio.Task[dict[str, Any]]) -> dict[str, Any]:
    try:
        return task.result()
    except ClusterError as error:
        return {"unfit": error.detail, "always": bool(error.extra.get("always"))}
    except ExportError as error:
        return {"error": error.to_json()}


def _placed(params: dict[str, Any]) -> dict[str, Any]:
    """`params` with the real paths of what is read and written, as this machine has them.

    Raises:
        WorkersUnfit: it does not see them.
    """
    if "segment" not in params:
        return params
    for source in params["sources"]:
        if not Path(source["path"]).is_file():
            raise WorkersUnfit(f"does not see {source['path']} (set dask_paths or dask_store)")
    if not Path(params["cache"]).is_dir():
        raise WorkersUnfit(f"does not see {params['cache']} (set dask_paths or dask_store)")
    sources = [{**s, "path": os.path.realpath(s["path"])} for s in params["sources"]]
    return {**params, "sources": sources, "cache": os.path.realpath(params["cache"])}


def _upload(store: Store, folder: Path, id: str, notes: list[str]) -> None:
    from dataclasses import asdict

    from ..media.cache import SegmentCache

    cache = SegmentCache(folder)
    entry = cache.peek(id)
    assert entry is not None
    store.put_segment(cache.path(id), id, {**asdict(entry), "notes": notes})


@contextlib.contextmanager
def _log_file(*, wanted: bool) -> Iterator[str | None]:
    """A file for what libraries print meanwhile."""
    if not wanted:
        yield None
        return
    with tempfile.NamedTemporaryFile(prefix="jupyter_export-", suffix=".log") as file:
        yield file.name


def _tail(path: str | None) -> str:
    if path is None:
        return ""
    with Path(path).open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_BYTES))
        return file.read().decode(errors="replace")
