"""Files of a cluster machine that shares none with the server: sources, kept for a while."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..media.facts import Fingerprint
from .store import Store, source_name

__all__ = ["Scratch"]

_BEAT_SECONDS = 1.0


class Scratch:
    """A folder of fetched sources, kept below `limit` bytes but for those in use."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._locks: dict[str, asyncio.Lock] = {}
        self._used: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def sources(
        self, store: Store, sources: Sequence[dict[str, Any]], beat: Callable[[], None]
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """`sources` (`SourceFacts` in JSON) with the paths of their copies here, which stay
        meanwhile. `beat` is called every second while they are fetched.

        Raises:
            SourceUnreadable, ClusterUnreachable: one cannot be had.
        """
        marks = [Fingerprint.model_validate(source["fingerprint"]) for source in sources]
        names = [source_name(mark) for mark in marks]
        self._used.update(names)
        try:
            for name, mark in zip(names, marks, strict=True):
                async with self._locks.setdefault(name, asyncio.Lock()):
                    await _beating(asyncio.to_thread(self._fetch, store, name, mark), beat)
            yield [
                {**source, "path": str(self._path(name))}
                for source, name in zip(sources, names, strict=True)
            ]
        finally:
            self._used.subtract(names)
            await asyncio.to_thread(self._sweep, {n for n, count in self._used.items() if count})

    @contextlib.contextmanager
    def segments(self) -> Iterator[Path]:
        """A folder for a segment until it is in the store."""
        self._folder.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix="segment-", dir=self._folder)
        try:
            yield Path(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.source"

    def _fetch(self, store: Store, name: str, mark: Fingerprint) -> None:
        path = self._path(name)
        try:
            os.utime(path, ns=(time.time_ns(), mark.mtime_ns))
        except FileNotFoundError:
            self._folder.mkdir(parents=True, exist_ok=True)
            store.get_source(mark, path)

    def _sweep(self, used: set[str]) -> None:
        files = []
        for path in self._folder.glob("*.source"):
            with contextlib.suppress(OSError):
                info = path.stat()
                files.append((info.st_atime_ns, info.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files, key=lambda file: file[0]):
            if total <= self._limit:
                return
            if path.stem not in used:
                with contextlib.suppress(OSError):
                    path.unlink()
                total -= size


async def _beating(work: Any, beat: Callable[[], None]) -> None:
    task = asyncio.ensure_future(work)
    while not task.done():
        await asyncio.wait({task}, timeout=_BEAT_SECONDS)
        beat()
    task.result()
