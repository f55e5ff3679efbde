"""Crop along a moving, zooming rectangle with sub-pixel precision, and scale to one size.

libavfilter's crop and swscale move in whole (or even) pixels, which shows as jitter of more than
a pixel. Pillow's `resize(box=…)` samples each plane at float coordinates, with anti-aliasing
when it shrinks; a plane never leaves its 8-bit form.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from PIL import Image

from ...errors import SpecError
from ...spec import Crop
from ..path import Path
from .base import PLANAR_8BIT, Effect, Picture

__all__ = ["EFFECT", "CropStep", "clamp_rectangle"]

#: A crop may leave the picture by a pixel: rounding, and pictures cut to even sides.
_SLACK = 1.0

_POOL = ThreadPoolExecutor(2, thread_name_prefix="crop")
Box = tuple[float, float, float, float]


class CropEffect(Effect[Crop]):
    """`Crop` in the spec."""

    model = Crop

    def check(self, effect: Crop, picture: Picture, field: str) -> None:
        """Refuse a rectangle that leaves the picture."""
        width, height = picture.width, picture.height
        for i, key in enumerate(effect.keyframes):
            over = max(-key.x, -key.y, key.x + key.width - width, key.y + key.height - height)
            if over > _SLACK:
                raise SpecError(
                    f"At {key.time:g} s the crop of {key.width:g}×{key.height:g} at "
                    f"({key.x:g}, {key.y:g}) leaves the {width}×{height} picture by {over:g} "
                    "pixels.",
                    "Move it inside, or make it smaller.",
                    field=f"{field}.keyframes[{i}]",
                )

    def output(self, effect: Crop, picture: Picture) -> Picture:
        """Always the crop's size."""
        return Picture(width=effect.size[0], height=effect.size[1], pix_fmt=picture.pix_fmt)

    def resolve(self, effect: Crop, start: float, end: float, picture: Picture) -> dict[str, Any]:
        """The part of the path that matters, and the result's shape."""
        path = Path(
            tuple(k.time for k in effect.keyframes),
            tuple((k.x, k.y, k.width, k.height) for k in effect.keyframes),
            effect.interpolation,
        ).between(start, end)
        return {**path.to_json(), "size": effect.size}

    def make(self, params: dict[str, Any], picture: Picture) -> CropStep:
        """The step."""
        width, height = params["size"]
        return CropStep(Path.from_json(params), (width, height), picture.pix_fmt)


EFFECT = CropEffect()


class CropStep:
    """A crop along `path`, whose points are (x, y, width, height), to `size` in `pix_fmt`."""

    def __init__(self, path: Path, size: tuple[int, int], pix_fmt: str) -> None:
        self.path = path
        self.size = size
        self.pix_fmt = pix_fmt

    def __call__(self, frame: VideoFrame, time: Fraction) -> VideoFrame:
        """The rectangle of `frame` at `time`, scaled."""
        x, y, width, height = self.path.at(float(time))
        rectangle = clamp_rectangle((x, y, width, height), frame.width, frame.height)
        result = VideoFrame(self.size[0], self.size[1], self.pix_fmt)
        planes = zip(frame.planes, result.planes, strict=False)
        jobs = [
            _POOL.submit(self._plane, source, target, i, rectangle, frame.format)
            for i, (source, target) in enumerate(planes)
        ]
        for job in jobs:
            job.result()
        result.colorspace, result.color_range = frame.colorspace, frame.color_range
        return result

    def _plane(
        self, source: VideoPlane, target: VideoPlane, index: int, box: Box, format: VideoFormat
    ) -> None:
        across, down = (1, 1) if index == 0 else PLANAR_8BIT[format.name]
        out_across = 1 if index == 0 else PLANAR_8BIT[self.pix_fmt][0]
        x, y, width, height = box
        left = x / across + _siting(across, out_across, width / self.size[0])
        box_width, box_height = width / across, height / down
        samples: Any = source  # a buffer, which is more than Pillow's types admit
        image = Image.frombuffer(
            "L", (source.width, source.height), samples, "raw", "L", source.line_size, 1
        )
        image, left, top = _padded(image, left, y / down, box_width, box_height)
        resized = image.resize(
            (target.width, target.height),
            Image.Resampling.BICUBIC,
            (left, top, left + box_width, top + box_height),
        )
        if target.line_size == target.width:
            target.update(resized.tobytes())
        else:
            rows = np.frombuffer(memoryview(target), np.uint8)
            rows = rows.reshape(target.height, target.line_size)
            rows[:, : target.width] = np.asarray(resized)


def clamp_rectangle(rectangle: Box, width: int, height: int) -> Box:
    """The rectangle moved into the picture, and made smaller only where it is larger than it."""
    x, y, w, h = rectangle
    w, h = min(max(w, 1.0), width), min(max(h, 1.0), height)
    return min(max(x, 0.0), width - w), min(max(y, 0.0), height - h), w, h


def _siting(across: int, out_across: int, zoom: float) -> float:
    """Where the box of a chroma plane begins beyond ``x / across``, in its samples.

    Subsampled chroma lies on the left luma sample of its pair (ITU-T H.273, type 0, the default
    of MPEG-2, H.264 and HEVC), so its sample j is centred at luma 2j + ½, not 2j + 1.
    """
    source_offset = 0.25 if across == 2 else 0.0
    target_offset = 0.5 if out_across == 2 else 0.0
    return source_offset - target_offset * zoom / across


def _padded(
    image: Image.Image, left: float, top: float, width: float, height: float
) -> tuple[Image.Image, float, float]:
    """The image with its edge repeated where the box reaches out of it, and the moved box."""
    before_x, before_y = max(0, -int(left // 1)), max(0, -int(top // 1))
    after_x = max(0, int(-(-(left + width) // 1)) - image.width)
    after_y = max(0, int(-(-(top + height) // 1)) - image.height)
    if not (before_x or before_y or after_x or after_y):
        return image, left, top
    samples = np.pad(np.asarray(image), ((before_y, after_y), (before_x, after_x)), mode="edge")
    return Image.fromarray(samples), left + before_x, top + before_y
