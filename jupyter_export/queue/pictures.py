"""Small pictures of what exports read and have made: rendered by a worker, remembered."""

from __future__ import annotations

import asyncio
import base64
from collections import OrderedDict
from pathlib import Path

from ..job import Job
from ..paths import resolve_source
from ..settings import Settings
from ..workers.executor import Executor, Lane, Task
from .finished import require_finished

__all__ = ["WIDTH", "Pictures"]

#: Pixels; the height follows.
WIDTH = 320
#: Pictures kept in memory, of about 10 KB each.
_KEPT = 256
#: Rendered at once: who scrolls through a long list must not hold up those who submit.
_AT_ONCE = 1

_Key = tuple[Path, int, int, float]


class Pictures:
    """The pictures of one server's exports."""

    def __init__(self, root: Path, settings: Settings, executor: Executor) -> None:
        self._root = root
        self._settings = settings
        self._executor = executor
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._known: OrderedDict[_Key, bytes] = OrderedDict()

    async def of_source(self, job: Job) -> bytes:
        """The first frame that the export takes from its first source, as JPEG.

        Raises:
            SourceError, PathError: the source cannot be read (any more).
        """
        source = job.spec["sources"][0]
        return await self._picture(source["path"], float(source.get("start") or 0.0))

    async def of_output(self, job: Job) -> bytes:
        """The first frame of the finished file, as JPEG.

        Raises:
            IllegalMove: the export is not completed.
            SourceError, PathError: the file is not there any more, or cannot be read.
        """
        require_finished(job)
        return await self._picture(job.output, 0.0)

    async def _picture(self, path: str, start: float) -> bytes:
        key = await asyncio.to_thread(self._key, path, start)
        async with self._turn:
            data = self._known.get(key)
            if data is None:
                task = Task(
                    name="still",
                    params={
                        "root": str(self._root),
                        "path": path,
                        "allow_hidden": self._settings.allow_hidden,
                        "start": start,
                        "width": WIDTH,
                    },
                    lane=Lane.INTERACTIVE,
                )
                result = await self._executor.run(task, lambda message: None)
                data = self._known[key] = base64.b64decode(result["jpeg"])
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            self._known.move_to_end(key)
            return data

    def _key(self, path: str, start: float) -> _Key:
        real = resolve_source(self._root, path, allow_hidden=self._settings.allow_hidden)
        info = real.stat()
        return real, info.st_size, info.st_mtime_ns, start
