"""What an export would take and be, before it is queued: from its real plan, and what this
machine's finished exports have taught."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import ExportError
from ..paths import check_paths
from ..settings import Settings
from ..spec import ExportSpec
from ..workers.executor import Executor, Lane, Task
from .order import EncoderChooser, chosen_encoder
from .refusals import too_large_for_disk, too_large_for_gpus
from .reservations import Reservations
from .speeds import PARTS, Observation, at_once, learn

__all__ = ["Estimates", "History"]

History = Callable[[str], Awaitable[tuple[Sequence[Observation], Sequence[Observation]]]]
"""What finished exports took: those of a key, and all others; the latest first."""


class Estimates:
    """The estimates of one server, one after another: who fills in a form asks for many."""

    def __init__(
        self,
        root: Path,
        settings: Settings,
        executor: Executor,
        encoders: EncoderChooser,
        reservations: Reservations,
        history: History | None = None,
    ) -> None:
        """Without `history`, times are those of a machine of reference."""
        self._root = root
        self._settings = settings
        self._executor = executor
        self._encoders = encoders
        self._reservations = reservations
        self._history = history
        self._turn = asyncio.Semaphore(1)

    async def of(self, spec: ExportSpec) -> dict[str, Any]:
        """The estimate in its JSON form; what would refuse the export for want of room is in it.

        Raises:
            ExportError: what the export would be refused with otherwise.
        """
        settings = self._settings
        output = await asyncio.to_thread(
            check_paths, spec, self._root, allow_hidden=settings.allow_hidden
        )
        choice = await self._encoders.choose(spec.segment_encoding, frozenset())
        task = Task(
            name="estimate",
            params={
                "root": str(self._root),
                "spec": spec.model_dump(mode="json"),
                "encoder": choice.name,
                "cache": str(settings.cache_path),
                "allow_hidden": settings.allow_hidden,
                "segment_seconds": settings.segment_seconds,
            },
            lane=Lane.INTERACTIVE,
        )
        async with self._turn:
            found = await self._executor.run(task, lambda message: None)
        # What is copied needs no encoder, and its joins are encoded in software.
        need = await self._reservations.need(found["encoder"] or "", found["vram"])
        segments = found["segments"]
        width = 1 if need.gpu else settings.segment_width
        work = at_once(found["work"], segments["rendered"], width)
        alike, others = ([], []) if self._history is None else await self._history(found["key"])
        speeds = await asyncio.to_thread(
            learn, alike, others, source=found["source"], lively=found["lively"]
        )
        size = found["known_bytes"] + speeds.coded(work)
        refusal = await self._refusal(spec, found["vram"], size, output)
        return {
            "seconds": round(speeds.seconds(work), 2),
            "examples": speeds.examples,
            "parts": {
                name: round(part, 2) for name, part in zip(PARTS, speeds.parts(work), strict=True)
            },
            "bytes": round(size),
            **{name: found[name] for name in ("frames", "duration", "width", "height")},
            "encoder": chosen_encoder(choice, found["encoder"], spec),
            "segments": segments,
            "vram_mib": need.vram_mib or None,
            "refusal": None if refusal is None else refusal.to_problem(),
            "notes": found["notes"],
        }

    async def _refusal(
        self, spec: ExportSpec, vram: dict[str, Any] | None, size: float, output: Path
    ) -> ExportError | None:
        if vram is not None:
            refusal = too_large_for_gpus(spec, vram, await self._reservations.room())
            if refusal is not None:
                return refusal
        folders = output.parent, self._settings.cache_path
        return await asyncio.to_thread(too_large_for_disk, size, folders)
