"""Frames of exports before they are queued: rendered by the worker that people wait for."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..settings import Settings
from ..spec import ExportSpec
from ..workers.executor import Executor, Lane, Task

__all__ = ["MAX_WIDTH", "Preview", "Previews"]

#: Pixels; a wider frame is shrunk.
MAX_WIDTH = 3840

#: For a frame that nobody waits for any more.
PATIENCE_SECONDS = 1.0


@dataclass(frozen=True)
class Preview:
    """One frame of an export."""

    jpeg: bytes
    time: float
    """Seconds of the output at which it begins to be shown; of the source, if the picture that an
    effect of a source is given was asked for."""
    next: float
    """When the next frame begins to be shown, or the last one ends."""
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

    async def frame(
        self, spec: ExportSpec, time: float, width: int, show: str = "result"
    ) -> Preview:
        """What the export of `spec` shows at `time` seconds of its output.

        `show` is "result"; "before", for the same without what changes only its looks; or the
        field of an effect, for the picture that it is given, at a time of its own clock.

        Who does not wait for it any more cancels this; a frame that is nearly done is finished.

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
                "show": show,
            },
            lane=Lane.INTERACTIVE,
        )
        async with self._turn:
            result = await _finished(self._executor.run(task, lambda message: None))
        return Preview(
            jpeg=base64.b64decode(result["jpeg"]),
            time=result["time"],
            next=result["next"],
            duration=result["duration"],
            width=result["width"],
            height=result["height"],
        )


async def _finished(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """The result of `work`, which gets some time to end when nobody waits for it any more: a
    worker that has to be stopped in the middle is a new one for the next frame."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    finally:
        if not task.done():
            try:
                await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
            finally:
                task.cancel()
                await asyncio.wait({task})
