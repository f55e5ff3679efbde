"""What detectors and trackers give, frame by frame, as a table: by its shape, not by its class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import SpecError

__all__ = ["are_detections", "as_columns", "as_rows"]

_BOXES = ("xyxy", "boxes")
_IDS = ("tracker_id", "track_id", "track_ids", "ids", "id")


def as_rows(table: Any) -> list[Any]:
    """The frames, or rows, of what is a sequence, a single result, or gives them one by one, as
    ``model.track(…, stream=True)`` does; empty for anything else."""
    if _has_boxes(table) and not isinstance(table, Mapping):
        return [table]
    if isinstance(table, str | bytes | Mapping) or not isinstance(table, Iterable):
        return []
    return list(table)


def are_detections(rows: Sequence[Any]) -> bool:
    """Whether each of `rows` is what was found in one frame."""
    return bool(rows) and all(_has_boxes(row) for row in rows)


def as_columns(frames: Sequence[Any], field: str) -> dict[str, Any]:
    """Columns ``frame``, ``tracker_id`` and ``xyxy`` of what a tracker found; what it gave no id
    is left out.

    A frame is an object with `xyxy` (n, 4) and `tracker_id` (n,), as supervision's `Detections`;
    an object whose `boxes` have `xyxy` and `id`, as the `Results` of ultralytics; or a dict of
    ``boxes`` (n, 4) and ``ids`` (or ``track_ids``). All may be tensors, on any device. Where no
    frame has more than one box, no ids are needed.

    Raises:
        SpecError: there are boxes, but no ids; or a frame has not one id for each box.
    """
    found = [_boxes_and_ids(frame) for frame in frames]
    if all(ids is None for _, ids in found) and all(len(boxes) <= 1 for boxes, _ in found):
        found = [(boxes, np.zeros(len(boxes))) for boxes, _ in found]
    numbers: list[int] = []
    tracked: list[int] = []
    corners: list[Any] = []
    for number, (boxes, ids) in enumerate(found):
        if ids is None:
            continue
        if len(ids) != len(boxes):
            raise SpecError(
                f"Frame {number} has {len(boxes)} boxes, but {len(ids)} ids.",
                "Give each box its id.",
                field=f"{field}[{number}]",
            )
        for id, box in zip(ids, boxes, strict=True):
            if id is not None and np.isfinite(float(id)) and int(id) >= 0:
                numbers.append(number)
                tracked.append(int(id))
                corners.append(box)
    if not numbers and any(len(boxes) for boxes, _ in found):
        raise SpecError(
            "The detections have no ids, so which box goes on as which is not known.",
            "Run a tracker over them, such as model.track() of ultralytics or ByteTrack of "
            "supervision.",
            field=field,
        )
    return {"frame": numbers, "tracker_id": tracked, "xyxy": np.reshape(corners, (-1, 4))}


def _has_boxes(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "boxes" in value
    return hasattr(value, "xyxy") or hasattr(getattr(value, "boxes", None), "xyxy")


def _boxes_and_ids(frame: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]:
    """(n, 4), and (n,) or None."""
    if not isinstance(frame, Mapping) and not hasattr(frame, "xyxy"):
        frame = frame.boxes
    boxes = next(value for name in _BOXES if (value := _member(frame, name)) is not None)
    ids = next((value for name in _IDS if (value := _member(frame, name)) is not None), None)
    return _array(boxes).reshape(-1, 4), None if ids is None else _array(ids).reshape(-1)


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _array(value: Any) -> np.ndarray[Any, Any]:
    """As NumPy has it; a tensor of torch is brought from its device."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
