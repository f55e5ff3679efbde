"""Frames of exports before they are queued: rendered by the worker that people wait for."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from pathlib import Path

from ..settings import Settings
from ..spec import ExportSpec
from ..workers.executor import Executor, Lane, Task

__all__ = ["MAX_WIDTH", "Preview", "Previews"]

#: Pixels; a wider frame is shrunk.
MAX_WIDTH = 3840


@dataclass(frozen=True)
class Preview:
    """One frame of an export."""

    jpeg: bytes
    time: float
    """Seconds of the output at which it begins to be shown."""
    duration: float
    """Of the whole output, in seconds."""
    width: int
    """Of the output, in pixels."""
    height: int


class Previews:
    """The previews of one server, one after another: who drags a slider asks for many."""

    def __init__(self, root: Path, settings: Settings, executor: Executor) -> None:
        self._root = root
        self._settings = settings
        self._executor = executor
        self._turn = asyncio.Semaphore(1)

    async def frame(self, spec: ExportSpec, time: float, width: int) -> Preview:
        """What the export of `spec` shows at `time` seconds of its output.

        Raises:
            ExportError: what the export would be refused with, or fail with at this place.
        """
        task = Task(
            name="preview",
            params={
                "root": str(self._root),
                "spec": spec.model_dump(mode="json"),
                "allow_hidden": self._settings.allow_hidden,
                "time": time,
                "width": min(width, MAX_WIDTH),
            },
            lane=Lane.INTERACTIVE,
        )
        async with self._turn:
            result = await self._executor.run(task, lambda message: None)
        return Preview(
            jpeg=base64.b64decode(result["jpeg"]),
            time=result["time"],
            duration=result["duration"],
            width=result["width"],
            height=result["height"],
        )
