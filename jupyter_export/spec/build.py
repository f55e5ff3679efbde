"""Python constructors of specs; each takes what its kind needs and gives a checked spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .effects import CropKeyframe
from .export import ExportSpec, parse
from .join import Speed, plain, speed_ranges

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
    size: tuple[int, int] | None = None,
    keyframes: Sequence[CropKeyframe | dict[str, float]] = (),
    output: str,
    interpolation: str = "spline",
    ranges: Sequence[tuple[float, float | None]] = (),
    speed: Speed = (),
    rotate: float = 0.0,
    project: str | None = None,
    **encoding: Any,
) -> ExportSpec:
    """Turn `path` by `rotate` degrees clockwise, crop it along `keyframes`, scale to `size`.

    Keyframes, `ranges` and `speed` are in the time of the source, the keyframes in pixels of the
    turned picture. `ranges` are shown one after another, in place of `start` to `end`. `speed` is
    one rate, or ``(start, end, rate)`` for each part with another one. Further keywords are the
    fields of `Encoding`.

    Raises:
        SpecError: when a value is out of range.
    """
    effects: list[dict[str, Any]] = []
    if rotate:
        effects.append({"type": "rotate", "angle": rotate})
    speeds = speed_ranges(speed)
    frames = [plain(keyframe) for keyframe in keyframes]
    if frames or size is not None:
        crop = {"type": "crop", "keyframes": frames, "interpolation": interpolation}
        effects.append(crop if size is None else {**crop, "size": size})
    return parse(
        {
            "kind": "framing",
            "sources": [
                {"path": path, "start": a, "end": b, "speed": speeds, "effects": effects}
                for a, b in ranges or [(start, end)]
            ],
            "output": output,
            "project": project,
            "encoding": encoding,
        }
    )
