"""Mix the strands of a segment into one picture: fades, dissolves, two at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from .effects.base import PLANAR_8BIT
from .recipe import MixRecipe

__all__ = ["mixed", "planes_of"]

Plane = NDArray[np.uint8]
_FULL_RANGE = 2
_ONE = 1 << 15
"""Weights are fixed-point numbers of 15 bits: exact enough for 8-bit samples, in 32-bit sums."""


def mixed(strands: list[Iterator[VideoFrame]], mix: MixRecipe | None) -> Iterator[VideoFrame]:
    """The frames of the segment; those of `strands` stay as they are."""
    if mix is None:
        yield from strands[0]
        return
    for i, frames in enumerate(zip(*strands, strict=True)):
        p = (mix.offset + i) / mix.length
        yield _mix(mix.type, frames, p)


def planes_of(frame: VideoFrame) -> list[Plane]:
    """Y, U and V as arrays of (height, width), which share the frame's memory."""
    planes = []
    for plane in frame.planes:
        rows: Any = np.frombuffer(memoryview(plane), np.uint8)
        planes.append(rows.reshape(plane.height, plane.line_size)[:, : plane.width])
    return planes


def _mix(type: str, frames: tuple[VideoFrame, ...], p: float) -> VideoFrame:
    if type in ("fade_in", "fade_out"):
        level = p if type == "fade_in" else 1 - p
        return frames[0] if level >= 1 else _faded(frames[0], level)
    if type == "dissolve":
        return frames[0] if p <= 0 else _blended(frames[0], frames[1], p)
    if type == "side_by_side":
        return _side_by_side(*frames)
    return _wiped(frames[0], frames[1], p)


def _new(like: VideoFrame, width: int) -> tuple[VideoFrame, list[Plane]]:
    frame = VideoFrame(width, like.height, like.format.name)
    frame.colorspace, frame.color_range = like.colorspace, like.color_range
    return frame, planes_of(frame)


def _faded(frame: VideoFrame, level: float) -> VideoFrame:
    """Towards black."""
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    result, targets = _new(frame, frame.width)
    for index, (source, target) in enumerate(zip(planes_of(frame), targets, strict=True)):
        black = 128 if index else (0 if full else 16)
        values = black + (np.arange(256) - black) * level
        table = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        np.take(table, source, out=target, mode="clip")
    return result


def _blended(a: VideoFrame, b: VideoFrame, p: float) -> VideoFrame:
    weight = round(p * _ONE)
    result, targets = _new(a, a.width)
    for one, other, target in zip(planes_of(a), planes_of(b), targets, strict=True):
        total = np.multiply(one, np.uint32(_ONE - weight), dtype=np.uint32)
        total += np.multiply(other, np.uint32(weight), dtype=np.uint32)
        total += np.uint32(_ONE // 2)
        total >>= np.uint32(15)
        target[:] = total
    return result


def _side_by_side(left: VideoFrame, right: VideoFrame) -> VideoFrame:
    result, targets = _new(left, left.width + right.width)
    for one, other, target in zip(planes_of(left), planes_of(right), targets, strict=True):
        target[:, : one.shape[1]] = one
        target[:, one.shape[1] :] = other
    return result


def _wiped(before: VideoFrame, after: VideoFrame, p: float) -> VideoFrame:
    """`after` comes in from the left."""
    across = PLANAR_8BIT[before.format.name][0]
    edge = round(p * before.width / across) * across
    result, targets = _new(before, before.width)
    for index, (one, other, target) in enumerate(
        zip(planes_of(before), planes_of(after), targets, strict=True)
    ):
        x = edge // across if index else edge
        target[:, :x] = other[:, :x]
        target[:, x:] = one[:, x:]
    return result
