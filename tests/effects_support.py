"""Frames to try effects on, and what the tests read from the results."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from pydantic import TypeAdapter

from jupyter_export.media.effects import effect
from jupyter_export.media.effects.base import Picture, Step
from jupyter_export.media.effects.drawing import joined
from jupyter_export.spec import Effect

MODELS: TypeAdapter[Any] = TypeAdapter(Effect)
FOREVER = (0.0, 1000.0)
BT601, BT709 = 6, 1


def picture_of(frame: VideoFrame) -> Picture:
    return Picture(width=frame.width, height=frame.height, pix_fmt=frame.format.name)


def frame_of(
    width: int = 162, height: int = 122, pix_fmt: str = "yuv420p", *, level: int | None = None
) -> VideoFrame:
    """Smooth colours with some texture, or one level of grey; BT.709, limited range."""
    frame = VideoFrame(width, height, pix_fmt)
    frame.colorspace, frame.color_range = BT709, 2 if pix_fmt.startswith("yuvj") else 1
    noise = np.random.default_rng(1)
    for index, plane in enumerate(frame.planes):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        x, y = np.meshgrid(np.arange(plane.line_size), np.arange(plane.height))
        wave = 120 + 60 * np.sin(x / 17 + index) * np.cos(y / 13)
        rows[:] = wave + noise.uniform(0, 20, wave.shape)
        if level is not None:
            rows[:] = 128 if index else level
    return frame


def planes(frame: VideoFrame) -> list[np.ndarray]:
    result = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        result.append(rows[:, : plane.width].copy())
    return result


def resolved(
    spec: dict[str, Any], picture: Picture, span: tuple[float, float] = FOREVER
) -> dict[str, Any] | None:
    model = MODELS.validate_python(spec)
    kind = effect(model.type)
    kind.check(model, picture, "effects[0]")
    params = kind.resolve(model, *span, picture)
    return None if params is None else json.loads(json.dumps(params))


def steps(
    specs: list[dict[str, Any]], picture: Picture, span: tuple[float, float] = FOREVER
) -> list[Step]:
    """As the renderer makes them."""
    made = []
    for spec in specs:
        model = MODELS.validate_python(spec)
        params = resolved(spec, picture, span)
        if params is not None:
            made.append(effect(model.type).make(params, picture))
            picture = effect(model.type).output(model, picture)
    return joined(made)


def drawn(specs: list[dict[str, Any]], frame: VideoFrame, time: float | Fraction = 0) -> VideoFrame:
    for step in steps(specs, picture_of(frame)):
        frame = step(frame, Fraction(time))
    return frame


def region(x: float, y: float, radius_x: float, radius_y: float | None = None, **more: Any) -> Any:
    """The keyframes of a highlight that rests."""
    return [{"time": 0, "x": x, "y": y, "radius_x": radius_x, "radius_y": radius_y, **more}]


def highlight(keyframes: Any, **more: Any) -> dict[str, Any]:
    return {"type": "highlight", "keyframes": keyframes, **more}


def annotation(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "annotation", "kind": kind, **more}


def centroid(rows: np.ndarray, background: float) -> tuple[float, float]:
    """Where the change from `background` lies, in samples from the plane's corner."""
    weight = np.abs(rows.astype(float) - background)
    y, x = np.mgrid[: rows.shape[0], : rows.shape[1]] + 0.5
    return float((weight * x).sum() / weight.sum()), float((weight * y).sum() / weight.sum())
