"""What can never work here is refused before it is queued, with what to change: pure but for the
look at the disk. What turns out not to work tells the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import DiskFull, ExportError, OutOfMemory
from ..hardware.needs import gigabytes
from ..hardware.room import MACHINE, Room
from ..spec import ExportSpec
from ..terminal import amount

__all__ = ["too_large_for_disk", "too_large_for_gpus", "with_levers"]

_CPU = "the CPU (set force_cpu)"

_CERTAIN = 0.5
"""Of an estimated size: what is nearer than that may turn out to fit."""


def too_large_for_gpus(
    spec: ExportSpec, vram: dict[str, Any] | None, room: Room
) -> ExportError | None:
    """Why no GPU of this machine can ever do it, with what needs less; None if one can.

    `vram` is what the worker tells of the memory of its effects. What others hold now does not
    count: that is waited for.
    """
    least = 0 if vram is None else int(vram.get("least_mib", 0))
    sizes = [space.capacity_mib for space in room.spaces if space.id != MACHINE]
    if vram is None or not least or not sizes or least <= max(sizes):
        return None
    most = max(sizes)
    fitting = _levers((words, mib) for words, mib in vram.get("changes", ()) if mib <= most)
    return OutOfMemory(
        f"Upscaling needs {gigabytes(least)} of GPU memory, the largest GPU has {gigabytes(most)}.",
        f"Use {fitting}; or {_CPU}." if fitting else f"Use {_CPU}.",
        field=_upscaling(spec),
    )


def with_levers(error: OutOfMemory, vram: dict[str, Any] | None) -> OutOfMemory:
    """`error` of an export that ran out of GPU memory, with what would need less; `vram` is as for
    `too_large_for_gpus` (None: it was not the GPU's)."""
    if vram is None:
        return error
    least = int(vram.get("least_mib", 0))
    helping = _levers((words, mib) for words, mib in vram.get("changes", ()) if mib < least)
    if not helping:
        return error
    return OutOfMemory(
        error.detail,
        f"Use {helping}; end what else uses the GPU's memory; or use {_CPU}.",
    )


def too_large_for_disk(size: float, folders: tuple[Path, ...]) -> ExportError | None:
    """Why the result cannot be written, if `size`, in bytes, is about right; None if it can.

    `folders` are where the output and its segments go.
    """
    for folder in folders:
        existing = next((path for path in (folder, *folder.parents) if path.is_dir()), None)
        if existing is None:
            continue
        free = shutil.disk_usage(existing).free
        if size * _CERTAIN > free:
            return DiskFull(
                f"The export will have about {amount(size)}, but only {amount(free)} are free "
                f"in {folder.name or folder}.",
                "Free some space, or choose a lower quality, a smaller size or a shorter range.",
                field="output",
            )
    return None


def _levers(changes: Iterable[tuple[str, int]]) -> str:
    return ", or ".join(f"{words}: needs {gigabytes(mib)}" for words, mib in changes)


def _upscaling(spec: ExportSpec) -> str | None:
    for field, source in spec.every_source():
        for i, effect in enumerate(source.effects):
            if effect.type == "upscale":
                return f"{field}.effects[{i}]"
    return next((f"effects[{i}]" for i, e in enumerate(spec.effects) if e.type == "upscale"), None)
