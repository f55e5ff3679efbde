"""A worker process of this Python process alone, for previews where there is no server."""

from __future__ import annotations

import asyncio
import atexit
import base64
import os
import threading
from pathlib import Path
from typing import Any

from ..settings import Settings
from ..workers.executor import Lane, Task
from ..workers.pool import LocalPool
from .frame import Frame
from .paths import translate

__all__ = ["OwnWorker"]


class OwnWorker:
    """Renders frames as a server would, with the rights of this process.

    Paths are relative to the present folder, or absolute. The worker starts with the first frame
    and ends when it has been idle for a while, or with this process.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._pool: LocalPool | None = None
        # Workers end with the thread that started them.
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="jupyter-export-worker", daemon=True
        )
        self._thread.start()
        atexit.register(self.close)

    def preview(self, spec: dict[str, Any], time: float, width: int, show: str) -> Frame:
        """As `Client.preview`.

        Raises:
            ExportError: what the export would be refused with.
        """
        result = self._run("preview", spec, time=time, width=width, show=show)
        return Frame(
            jpeg=base64.b64decode(result["jpeg"]),
            time=result["time"],
            duration=result["duration"],
            size=(result["width"], result["height"]),
        )

    def probe(self, path: str) -> dict[str, Any]:
        """As `Client.probe`.

        Raises:
            ExportError: it cannot be read.
        """
        return self._run("probe", {"sources": [{"path": path}]})

    def close(self) -> None:
        """End the worker."""
        atexit.unregister(self.close)
        if self._loop.is_closed():
            return
        if self._pool is not None:
            asyncio.run_coroutine_threadsafe(self._pool.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, name: str, spec: dict[str, Any], **params: Any) -> dict[str, Any]:
        here = Path.cwd()
        # All that this process may read: it needs no confinement against itself.
        inside = all(_is_inside(path, here) for path in _sources(spec))
        root = here if inside else Path(here.anchor)
        spec = translate(spec, os.fspath(root), os.fspath(here))
        params |= {"root": os.fspath(root), "allow_hidden": True}
        params |= {"spec": spec, "path": spec["sources"][0]["path"]}
        task = Task(name=name, params=params, lane=Lane.INTERACTIVE)
        return asyncio.run_coroutine_threadsafe(self._run_in_pool(task), self._loop).result()

    async def _run_in_pool(self, task: Task) -> dict[str, Any]:
        if self._pool is None:
            self._pool = LocalPool(Settings(), 1)
        return await self._pool.run(task, lambda message: None)


def _sources(spec: dict[str, Any]) -> list[str]:
    compared = [e["with"] for e in spec.get("effects", ()) if e["type"] == "compare"]
    return [source["path"] for source in (*spec["sources"], *compared)]


def _is_inside(path: str, folder: Path) -> bool:
    return folder.joinpath(path).resolve().is_relative_to(folder.resolve())
