"""Footage from arrays: a whole film, or one frame after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any

import numpy as np

from ..errors import SpecError
from .store import Frame, Rate, keep

__all__ = ["from_frames"]


def from_frames(frames: Any, fps: Rate, *, folder: str | PathLike[str] | None = None) -> str:
    """A video of `frames`; gives its path, for `clip`, `source` and the like.

    `frames` is an array of NumPy, torch or another library that NumPy understands, of the shape
    ``(frames, height, width)`` or ``(frames, height, width, channels)`` with 1, 3 or 4 channels
    (grey, red-green-blue, or that with an alpha that is left out), or an iterable of such frames,
    which are taken one by one. Values are code values of sRGB: whole numbers from 0 to 255, or
    floats or booleans from 0 to 1.

    The video is kept in `folder`, by default `FOLDER` beside the notebook, under a name made of
    its content: the same frames give the same file. It is lossless; nothing is pickled.

    Raises:
        SpecError: it is no picture, or a value is out of range.
        OutputError: the folder cannot be written.
    """
    return keep(_pictures(frames), fps, folder)


def _pictures(frames: Any) -> Iterator[Frame]:
    whole = _array(frames) if _is_array(frames) else None
    if whole is not None and whole.ndim not in (3, 4):
        raise SpecError(
            f"An array of the shape {whole.shape} is no film.",
            "Give (frames, height, width) or (frames, height, width, channels).",
            field="frames",
        )
    many: Iterable[Any] = frames if whole is None else whole
    try:
        found = iter(many)
    except TypeError:
        raise SpecError(
            f"A {type(frames).__name__} has no frames.", "Give an array, or frames.", field="frames"
        ) from None
    for number, frame in enumerate(found):
        yield _picture(_array(frame), f"frames[{number}]")


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (hasattr(value, "shape") and hasattr(value, "dtype"))


def _array(value: Any) -> np.ndarray[Any, Any]:
    """As NumPy has it; a tensor of torch is brought from its device."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)


def _picture(frame: np.ndarray[Any, Any], field: str) -> Frame:
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[:, :, 0]
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] not in (3, 4)):
        advice = "Give (height, width) or (height, width, channels)."
        if frame.ndim == 3 and frame.shape[0] in (1, 3, 4):
            advice = "The channels come last: permute(0, 2, 3, 1), or moveaxis(1, -1)."
        raise SpecError(f"An array of the shape {frame.shape} is no picture.", advice, field=field)
    if frame.ndim == 3:
        frame = frame[:, :, :3]
    if frame.dtype == np.uint8:
        return frame
    top = 255 if np.issubdtype(frame.dtype, np.integer) else 1
    low, high = (frame.min(), frame.max()) if frame.size else (0, 0)
    if not (low >= 0 and high <= top):  # not with NaN either
        raise SpecError(
            f"The values go from {low:g} to {high:g}; {frame.dtype} goes from 0 to {top} here.",
            "Scale them, or convert them to uint8.",
            field=field,
        )
    if top == 255:
        return frame.astype(np.uint8)
    scaled: Frame = np.rint(frame.astype(np.float64) * 255).astype(np.uint8)
    return scaled
