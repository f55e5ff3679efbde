"""Crop paths and highlights that follow what a table has."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from pydantic import ValidationError

from ..errors import SpecError
from ..spec.effects import CropKeyframe
from ..spec.highlight import Highlight, HighlightKeyframe
from .columns import Floats, Track, tracks
from .smoothing import Smoothing, reduced, smoothed

__all__ = ["crop_path", "highlights"]

_TOLERANCE = 0.5
# Of the times of two rows, when a track has only one.
_USUAL_STEP = 1 / 30


def crop_path(
    table: Any,
    size: tuple[int, int],
    *,
    picture: tuple[int, int] | None = None,
    margin: float = 0.0,
    steady: bool = False,
    smooth: Smoothing | None = None,
    seconds: float = 0.5,
    tolerance: float = _TOLERANCE,
    fps: float | Fraction | str | None = None,
    times: Sequence[float] | None = None,
    first_frame: int | None = None,
    columns: Sequence[str] | None = None,
    field: str = "keyframes",
) -> list[CropKeyframe]:
    """Keyframes of a crop to `size` that follow the boxes of `table` (read by `tracks`).

    Where the table has ids, each time's boxes are taken together. A box grows by `margin` times
    its size on every side, then to the shape of `size` around its centre; `steady` gives all
    crops the size of the largest, so that the picture moves but does not zoom. With `picture`,
    the width and height of the upright source, crops are made no larger than it and moved into it.

    `smooth` and `seconds` are those of `smoothed`; `tolerance` is how far, in pixels, the spline
    through the few keyframes that are kept may be off.

    Raises:
        SpecError: as `tracks`.
    """
    found = tracks(
        table, fps=fps, times=times, first_frame=first_frame, columns=columns, field=field
    )
    at, boxes = _together(found)
    aspect = size[0] / size[1]
    width, height = (boxes[:, 2:] * (1 + 2 * margin)).T
    width = np.maximum(width, height * aspect)
    wanted = np.column_stack([boxes[:, :2], width])
    wanted = smoothed(at, wanted, smooth, seconds)
    if steady:
        wanted[:, 2] = wanted[:, 2].max()
    rows = _inside(wanted, aspect, picture)
    names = ("x", "y", "width", "height")
    fields = [dict(zip(names, map(_rounded, row), strict=True)) for row in rows]
    return [
        CropKeyframe(time=_rounded(at[i], 6), **fields[i]) for i in reduced(at, rows, tolerance)
    ]


def highlights(
    table: Any,
    *,
    margin: float = 0.0,
    smooth: Smoothing | None = None,
    seconds: float = 0.5,
    tolerance: float = _TOLERANCE,
    max_gap: float = 0.5,
    fps: float | Fraction | str | None = None,
    times: Sequence[float] | None = None,
    first_frame: int | None = None,
    columns: Sequence[str] | None = None,
    field: str = "highlights",
    **look: Any,
) -> list[Highlight]:
    """One highlight for each id of `table` (read by `tracks`), from its first row to its last.

    Where a track has no rows for longer than `max_gap` seconds, its highlight ends and another
    begins; shorter gaps are bridged, and so are all gaps of a track whose rows are mostly further
    apart than that, as positions that were read off by hand. Boxes grow by `margin` times their
    size on every side; a ``shape="ground"`` ring lies around the middle of a box's lower edge and
    is as wide as the box.
    `look` are further fields of `Highlight`, such as shape, effect and color. `smooth`, `seconds`
    and `tolerance` are those of `crop_path`.

    Raises:
        SpecError: as `tracks`.
    """
    found = tracks(
        table, fps=fps, times=times, first_frame=first_frame, columns=columns, field=field
    )
    result = []
    for track in found:
        gaps = np.diff(track.times)
        by_hand = gaps.size and np.median(gaps) > max_gap
        pieces = np.flatnonzero(gaps > (np.inf if by_hand else max_gap)) + 1
        for at, boxes in zip(
            np.split(track.times, pieces), np.split(track.boxes, pieces), strict=True
        ):
            values = smoothed(at, boxes, smooth, seconds).copy()
            values[:, 2:] *= 1 + 2 * margin
            keyframes = _regions(at, values, tolerance, ground=look.get("shape") == "ground")
            step = float(np.median(np.diff(track.times))) if len(track.times) > 1 else _USUAL_STEP
            end = _rounded(at[-1] + step, 6)
            fields = {"start": _rounded(at[0], 6), "end": end, "keyframes": keyframes, **look}
            result.append(_highlight(fields, field))
    return result


def _highlight(fields: dict[str, Any], field: str) -> Highlight:
    try:
        return Highlight.model_validate(fields)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = ".".join(map(str, problem["loc"]))
        raise SpecError(f"{problem['msg']}.", field=f"{field}.{name}") from None


def _regions(
    at: Floats, boxes: Floats, tolerance: float, *, ground: bool
) -> tuple[HighlightKeyframe, ...]:
    x, y, radius_x, radius_y = (*boxes[:, :2].T, *(boxes[:, 2:] / 2).T)
    rows = np.column_stack([x, y + radius_y if ground else y, radius_x])
    if not ground:
        rows = np.column_stack([rows, radius_y])
    names = ("x", "y", "radius_x", "radius_y")
    fields = [dict(zip(names, map(_rounded, row), strict=False)) for row in rows]
    return tuple(
        HighlightKeyframe.model_validate({"time": _rounded(at[i], 6), **fields[i]})
        for i in reduced(at, rows, tolerance)
    )


def _together(found: list[Track]) -> tuple[Floats, Floats]:
    """The box around all boxes of each time."""
    if len(found) == 1:
        return found[0].times, found[0].boxes.copy()
    at = np.concatenate([track.times for track in found])
    boxes = np.concatenate([track.boxes for track in found])
    times, row = np.unique(at, return_inverse=True)
    low = np.full((len(times), 2), np.inf)
    high = np.full((len(times), 2), -np.inf)
    np.minimum.at(low, row, boxes[:, :2] - boxes[:, 2:] / 2)
    np.maximum.at(high, row, boxes[:, :2] + boxes[:, 2:] / 2)
    return times, np.concatenate([(low + high) / 2, high - low], axis=1)


def _inside(wanted: Floats, aspect: float, picture: tuple[int, int] | None) -> Floats:
    """Left, top, width and height for centres and widths."""
    x, y, width = wanted.T
    if picture is not None:
        width = np.minimum(width, min(picture[0], picture[1] * aspect))
    height = width / aspect
    left, top = x - width / 2, y - height / 2
    if picture is not None:
        left = np.clip(left, 0, picture[0] - width)
        top = np.clip(top, 0, picture[1] - height)
    return np.column_stack([left, top, width, height])


def _rounded(value: float, digits: int = 3) -> float:
    return round(float(value), digits)
