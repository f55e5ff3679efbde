"""Read tables of boxes over time, in the forms in which people have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import SpecError
from .detections import are_detections, as_columns, as_rows

__all__ = ["Floats", "Track", "tracks"]

Floats = npt.NDArray[np.float64]

_NAMES = {
    "time": ("time", "t", "time_s", "seconds", "timestamp"),
    "frame": ("frame", "frame_id", "frame_index", "frame_idx", "frame_number"),
    "id": ("id", "track_id", "tracker_id", "track", "object_id"),
    "x": ("x", "left", "bb_left", "x1", "xmin", "x_min"),
    "y": ("y", "top", "bb_top", "y1", "ymin", "y_min"),
    "width": ("width", "w", "bb_width"),
    "height": ("height", "h", "bb_height"),
    "right": ("x2", "xmax", "x_max", "right"),
    "bottom": ("y2", "ymax", "y_max", "bottom"),
    "radius_x": ("radius_x",),
    "radius_y": ("radius_y",),
}
#: The columns of an array without names, by their number; ten are those of the MOT challenge.
_MOT = ("frame", "id", "x", "y", "width", "height")
_UNNAMED = {5: ("time", "x", "y", "width", "height"), 7: _MOT, 8: _MOT, 9: _MOT, 10: _MOT}


@dataclass(frozen=True)
class Track:
    """One thing that was followed."""

    id: int | str | None
    times: Floats
    """(n,), seconds, growing."""
    boxes: Floats
    """(n, 4): the centre x, y, and width and height, in pixels."""


def tracks(
    table: Any,
    *,
    fps: float | Fraction | str | None = None,
    times: Sequence[float] | None = None,
    first_frame: int | None = None,
    columns: Sequence[str] | None = None,
    field: str = "table",
) -> list[Track]:
    """The tracks of a table, one per id, in the order in which they appear.

    `table` is a pandas or polars DataFrame, a dict of columns, a list of dicts, a NumPy array
    (structured, or plain with `columns`; plain arrays of five columns are time, x, y, width,
    height, and such of seven to ten are those of the MOT challenge: frame, id, left, top, width,
    height, …), or what a tracker found in each frame, in a list or one by one: supervision's
    `Detections`, the results of ultralytics, or dicts (see `jupyter_export.tables.detections`).

    It has a column `time` (seconds) or `frame`; frames need `fps` or `times`, the exact time of
    each frame. `first_frame` is the number of the frame at time 0 (or of the first of `times`):
    0 by default, 1 for the MOT challenge. The box is ``x, y`` (its top left corner) with
    ``width, height`` or ``x2, y2``; or `xyxy`; or ``x, y`` as centre with ``radius_x`` and
    perhaps ``radius_y``. Usual other names are known (such as w, left, track_id). Rows with a
    value that is no finite number are left out.

    Raises:
        SpecError: a column is missing or has no numbers; it names the column.
    """
    found = _columns(table, columns, field)
    if first_frame is None:
        plain = isinstance(table, np.ndarray) and table.dtype.names is None and columns is None
        first_frame = 1 if plain and table.shape[1] != 5 else 0
    named = {
        meaning: next((name for name in names if name in found), None)
        for meaning, names in _NAMES.items()
    }
    found, named = _with_xyxy(found, named, field)

    def numbers(meaning: str) -> Floats:
        name = named[meaning]
        if name is None:
            raise SpecError(
                f"The table has no column {meaning!r}; it has {', '.join(map(repr, found))}.",
                "Rename a column, or add it.",
                field=f"{field}.{meaning}",
            )
        return _numbers(found[name], f"{field}.{name}")

    at = _times(numbers, named, fps, times, first_frame, field)
    boxes = _boxes(numbers, named)
    ids = None if named["id"] is None else np.asarray(found[named["id"]])
    usable = np.isfinite(at) & np.isfinite(boxes).all(axis=1)
    usable &= (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
    if usable.any() and at[usable].min() < 0:
        raise SpecError(
            f"The table has the time {at[usable].min():g} s, before the first frame (0 s).",
            "Times are counted from the first shown frame.",
            field=f"{field}.{named['time']}",
        )
    if not usable.any():
        raise SpecError(
            "No row of the table has a time and a box.",
            "Give at least one row with finite numbers and a positive width and height.",
            field=field,
        )
    result = []
    for id in [None] if ids is None else dict.fromkeys(ids.tolist()):
        mine = usable if ids is None else usable & (ids == id)
        if not mine.any():
            continue
        order = np.argsort(at[mine], kind="stable")
        own, box = at[mine][order], boxes[mine][order]
        repeated = np.flatnonzero(np.diff(own) <= 0)
        if repeated.size:
            of = "" if id is None else f" of id {id!r}"
            raise SpecError(
                f"Two rows{of} have the time {own[repeated[0]]:g} s.",
                "Give each thing an id of its own, or drop repeated rows.",
                field=f"{field}.{named['time'] or named['frame']}",
            )
        result.append(Track(id, own, box))
    return result


def _columns(table: Any, columns: Sequence[str] | None, field: str) -> dict[str, Any]:
    """The table as named columns."""
    if isinstance(table, np.ndarray):
        if table.dtype.names is not None:
            return {name: table[name] for name in table.dtype.names}
        if table.ndim == 2:
            names = tuple(columns or _UNNAMED.get(table.shape[1], ()))
            if names and len(names) <= table.shape[1]:
                return {name: table[:, i] for i, name in enumerate(names)}
        raise SpecError(
            f"An array of the shape {table.shape} does not say what its columns are.",
            'Name them, such as columns=("frame", "id", "x", "y", "width", "height").',
            field=field,
        )
    if isinstance(table, Mapping):
        return {str(name): values for name, values in table.items()}
    if hasattr(table, "columns") and hasattr(table, "__getitem__"):
        return {str(name): table[name] for name in table.columns}
    rows = as_rows(table)
    if are_detections(rows):
        return as_columns(rows, field)
    if rows and all(isinstance(row, Mapping) for row in rows):
        names = tuple(dict.fromkeys(name for row in rows for name in row))
        return {name: [row.get(name, np.nan) for row in rows] for name in names}
    raise SpecError(
        f"A {type(table).__name__} is no table that is understood here.",
        "Give a DataFrame, a NumPy array, or a list of dicts with time, x, y, width and height.",
        field=field,
    )


def _with_xyxy(
    found: dict[str, Any], named: dict[str, str | None], field: str
) -> tuple[dict[str, Any], dict[str, str | None]]:
    """With a column of corners taken apart."""
    if "xyxy" not in found or named["x"] is not None:
        return found, named
    try:
        corners = np.array([list(row) for row in found["xyxy"]], np.float64).reshape(-1, 4)
    except (TypeError, ValueError):
        raise SpecError(
            "The column 'xyxy' does not hold four numbers in every row.",
            "Give left, top, right and bottom.",
            field=f"{field}.xyxy",
        ) from None
    names = ("x", "y", "right", "bottom")
    taken = {f"xyxy[{i}]": corners[:, i] for i in range(4)}
    return found | taken, named | dict(zip(names, taken, strict=True))


def _numbers(values: Any, field: str) -> Floats:
    try:
        return np.asarray(values, np.float64).reshape(len(values))
    except (TypeError, ValueError):
        raise SpecError(
            f"The column {field.rpartition('.')[2]!r} does not hold numbers.",
            "Convert it, or leave the rows out.",
            field=field,
        ) from None


def _times(
    numbers: Any,
    named: dict[str, str | None],
    fps: float | Fraction | str | None,
    times: Sequence[float] | None,
    first_frame: int,
    field: str,
) -> Floats:
    if named["time"] is not None or named["frame"] is None:
        seconds: Floats = numbers("time")
        return seconds
    frames = numbers("frame") - first_frame
    place = f"{field}.{named['frame']}"
    known = frames[np.isfinite(frames)]
    if known.size and known.min() < 0:
        raise SpecError(
            f"The column {named['frame']!r} has the frame {known.min() + first_frame:g}, before "
            f"the first one ({first_frame}).",
            "Give first_frame, the number of the frame at time 0.",
            field=place,
        )
    if times is not None:
        exact = np.asarray(times, np.float64)
        if known.size and known.max() >= len(exact):
            raise SpecError(
                f"The column {named['frame']!r} has the frame {known.max() + first_frame:g}, but "
                f"there are times of {len(exact)} frames.",
                "Give the time of every frame.",
                field=place,
            )
        inside = np.where(np.isfinite(frames), frames, 0).astype(int)
        return np.where(np.isfinite(frames), exact[inside], np.nan)
    if fps is None:
        raise SpecError(
            f"The column {named['frame']!r} counts frames, but nothing says when they are shown.",
            "Give fps, or times with the exact time of every frame.",
            field=place,
        )
    rate = Fraction(fps).limit_denominator(100_000)
    if rate <= 0:
        raise SpecError("Frames per second must be more than 0.", "Correct fps.", field="fps")
    return np.asarray(frames * rate.denominator / rate.numerator)


def _boxes(numbers: Any, named: dict[str, str | None]) -> Floats:
    """(n, 4): centre and size."""
    x, y = numbers("x"), numbers("y")
    if named["radius_x"] is not None:
        width = 2 * numbers("radius_x")
        height = width if named["radius_y"] is None else 2 * numbers("radius_y")
        return np.stack([x, y, width, height], axis=1)
    if named["right"] is not None and named["width"] is None:
        width, height = numbers("right") - x, numbers("bottom") - y
    else:
        width, height = numbers("width"), numbers("height")
    return np.stack([x + width / 2, y + height / 2, width, height], axis=1)
