"""Python constructors of specs; each takes what its kind needs and gives a checked spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .effects import CropKeyframe
from .export import ExportSpec, parse

__all__ = ["clip", "framing"]


def clip(
    path: str,
    start: float = 0.0,
    end: float | None = None,
    *,
    output: str,
    project: str | None = None,
    **encoding: Any,
) -> ExportSpec:
    """The frames of `path` with ``start <= time < end``, in seconds.

    Further keywords are the fields of `Encoding`.

    Raises:
        SpecError: when a value is out of range.
    """
    return parse(
        {
            "kind": "clip",
            "sources": [{"path": path, "start": start, "end": end}],
            "output": output,
            "project": project,
            "encoding": encoding,
        }
    )


def framing(
    path: str,
    start: float = 0.0,
    end: float | None = None,
    *,
    size: tuple[int, int],
    keyframes: Sequence[CropKeyframe | dict[str, float]],
    output: str,
    interpolation: str = "spline",
    project: str | None = None,
    **encoding: Any,
) -> ExportSpec:
    """Crop `path` along `keyframes` (in the time of the source) and scale to `size`.

    Further keywords are the fields of `Encoding`.

    Raises:
        SpecError: when a value is out of range.
    """
    frames = [k.model_dump() if isinstance(k, CropKeyframe) else k for k in keyframes]
    crop = {"type": "crop", "size": size, "keyframes": frames, "interpolation": interpolation}
    return parse(
        {
            "kind": "framing",
            "sources": [{"path": path, "start": start, "end": end, "effects": [crop]}],
            "output": output,
            "project": project,
            "encoding": encoding,
        }
    )
