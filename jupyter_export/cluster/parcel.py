"""What travels to a worker of the cluster, and comes back: a task, packed on the server."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from .._version import __version__
from ..errors import CacheLost, WorkersUnfit
from ..media.facts import Fingerprint
from ..settings import Settings
from ..workers.executor import Task
from .mapping import PathMap, resources_of
from .store import Store

__all__ = ["Packer", "Parcel"]

#: How long a file that another machine wrote may take to be seen here: network file systems
#: remember for some seconds that it was not there.
SEEN_SECONDS = 20.0
_LOOK_SECONDS = 0.1
_FOREIGN = ("data_dir", "cache_dir", "lease_dir")
_PACKAGE = "jupyter_export"


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A task for the cluster."""

    key: str
    """What Dask calls it: the same for the same segment in the same place."""
    content: dict[str, Any]
    """JSON values: what `host.work` gets."""
    resources: dict[str, float]
    """What it takes of a Dask worker's resources."""
    segment: str = ""
    """The name of the segment that it renders."""


class Packer:
    """Packs tasks for workers that see this machine's files under other paths, or not at all.

    Raises:
        ClusterUnreachable: a setting has a value that makes no sense.
    """

    def __init__(self, settings: Settings, tasks: str, topic: str) -> None:
        self._settings = settings
        self._tasks = tasks
        self._topic = topic
        self._paths = PathMap(settings.dask_paths)
        self._store = Store(settings.dask_store) if settings.dask_store else None
        self._uploads: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        resources_of(settings.dask_resources, ())

    async def pack(self, task: Task) -> Parcel:
        """The parcel of a task that has `remote`; its sources are in the store then, if any is.

        Raises:
            SourceUnreadable: a source is not as it was planned.
            ClusterUnreachable: the store does not take it.
        """
        assert task.remote is not None
        content: dict[str, Any] = {
            "version": __version__,
            "topic": self._topic,
            "tasks": self._tasks,
            "task": task.name,
            "params": task.params,
            "settings": self._environment(),
            "job": str(task.labels.get("job", "")),
            "log": task.log is not None,
            "encoder": task.remote.encoder,
            "hardware": task.remote.hardware,
            "vram": task.remote.vram,
        }
        what = {"gpu"} if task.remote.vram else set()
        what |= {"nvenc"} if task.remote.encoder.endswith("_nvenc") else set()
        resources = resources_of(self._settings.dask_resources, what or {"cpu"})
        if task.name != "render":
            key = f"{_PACKAGE}_{task.name}-{secrets.token_hex(8)}"
            return Parcel(key=key, content=content, resources=resources)
        params, place = await self._alone(task)
        segment = params["segment"]["id"]
        content |= {"task": "render_alone", "params": params}
        if self._store is not None:
            content["store"] = self._settings.dask_store
        key = f"{_PACKAGE}_render-{segment}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
        return Parcel(key=key, content=content, resources=resources, segment=segment)

    async def unpack(self, task: Task, parcel: Parcel, answer: dict[str, Any]) -> dict[str, Any]:
        """The result of a task that was done; its segment is in the cache of this machine then.

        Raises:
            WorkersUnfit: the segment is not to be seen here.
            ClusterUnreachable: the store does not give it.
        """
        if task.log is not None and answer.get("log"):
            await asyncio.to_thread(_append, Path(task.log), answer["log"])
        result: dict[str, Any] = answer["result"]
        if parcel.segment:
            cache = Path(task.params["cache"])
            if self._store is not None:
                await asyncio.to_thread(self._fetch, self._store, cache, parcel.segment)
            elif not await asyncio.to_thread(_seen, cache, parcel.segment):
                raise WorkersUnfit(
                    f"The workers of the Dask cluster wrote a segment that is not to be seen in "
                    f"{cache}.",
                    "Put cache_dir on storage that they share, and set dask_paths; or set "
                    "dask_store.",
                )
        return result

    async def _alone(self, task: Task) -> tuple[dict[str, Any], str]:
        """The params of ``render_alone``, and where its segment goes."""
        cache = Path(task.params["cache"])
        path = cache / f"{task.params['plan']}.plan"
        try:
            plan = await asyncio.to_thread(_parsed, path)
        except OSError:
            raise CacheLost(
                "The plan of the export has gone from the segment cache.",
                "Retry: it is made again.",
            ) from None
        segment = plan["segments"][task.params["index"]]
        sources = [plan["sources"][i] for i in segment["sources"]]
        if self._store is None:
            place = self._paths.there(str(cache))
            moved = [{**s, "path": self._paths.there(s["path"])} for s in sources]
        else:
            place = self._settings.dask_store
            for source in sources:
                await self._upload(self._store, source)
            moved = [{**s, "path": Path(s["path"]).name} for s in sources]
        params = {
            "segment": {**segment, "sources": list(range(len(sources)))},
            "sources": moved,
            "cache": place,
        }
        return params, place

    async def _upload(self, store: Store, source: dict[str, Any]) -> None:
        """Segments that begin together upload a source once."""
        lock = self._uploads.setdefault(source["path"], asyncio.Lock())
        async with lock:
            mark = Fingerprint.model_validate(source["fingerprint"])
            await asyncio.to_thread(store.put_source, Path(source["path"]), mark)

    def _fetch(self, store: Store, folder: Path, id: str) -> None:
        from ..media.cache import Entry, SegmentCache

        cache = SegmentCache(folder)
        if cache.peek(id) is None:
            found = store.find_segment(id)
            if found is None:
                raise CacheLost(
                    "A finished segment has gone from the object store.", "Retry: it is made again."
                )

            entry = Entry.of({name: value for name, value in found.items() if name != "notes"})

            def fetched(target: Path) -> int:
                store.get_segment(id, target)
                return entry.frames

            if cache.put(id, fetched, lambda: entry.damage) != entry:
                cache.remove(id)
                store.remove_segment(id)
                raise CacheLost(
                    "A segment in the object store is damaged.", "Retry: it is made again."
                )
        store.remove_segment(id)

    def _environment(self) -> dict[str, str]:
        """The settings for a worker there; where its own files are is its host's affair."""
        given = self._settings.environment()
        kept = {
            name: value
            for name, value in given.items()
            if "_DASK_" not in name and name.rpartition("EXPORT_")[2].lower() not in _FOREIGN
        }
        if models := self._settings.models_dir:
            kept["JUPYTER_EXPORT_MODELS_DIR"] = self._paths.there(models)
        return kept


@lru_cache(maxsize=4)
def _parsed(path: Path) -> dict[str, Any]:
    """A plan as JSON; a plan's name is the hash of its text, so it never changes."""
    plan: dict[str, Any] = json.loads(path.read_bytes())
    return plan


def _seen(folder: Path, id: str) -> bool:
    from ..media.cache import SegmentCache

    deadline = time.monotonic() + SEEN_SECONDS
    while SegmentCache(folder).peek(id) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
        with contextlib.suppress(OSError):
            os.listdir(folder)  # noqa: PTH208 - it makes NFS ask again for names it did not find
    return True


def _append(log: Path, text: str) -> None:
    with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
        file.write(text)
