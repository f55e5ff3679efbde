"""Crop along a moving, zooming rectangle with sub-pixel precision, and scale to one size.

libavfilter's crop and swscale move in whole (or even) pixels, which shows as jitter of more than
a pixel. Pillow's `resize(box=…)` samples each plane at float coordinates, with anti-aliasing
when it shrinks; a plane never leaves its 8-bit form.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from PIL import Image

from ..path import Path
from .base import Picture

__all__ = ["PLANAR_8BIT", "CropStep", "clamp_rectangle"]

#: Formats whose planes Pillow can resize, each with its horizontal and vertical subsampling.
PLANAR_8BIT: dict[str, tuple[int, int]] = {
    "yuv420p": (2, 2),
    "yuvj420p": (2, 2),
    "yuv422p": (2, 1),
    "yuvj422p": (2, 1),
    "yuv444p": (1, 1),
    "yuvj444p": (1, 1),
}

_POOL = ThreadPoolExecutor(2, thread_name_prefix="crop")
Box = tuple[float, float, float, float]


class CropStep:
    """A crop along `path`, whose points are (x, y, width, height), to `size` in `pix_fmt`."""

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        pix_fmt: str,
        filter: Literal["bicubic", "bilinear"] = "bicubic",
    ) -> None:
        self.path = path
        self.size = size
        self.pix_fmt = pix_fmt
        self.filter = filter
        self._resample = {
            "bicubic": Image.Resampling.BICUBIC,
            "bilinear": Image.Resampling.BILINEAR,
        }[filter]

    def output(self, picture: Picture) -> Picture:
        """Always `size` in `pix_fmt`."""
        return Picture(width=self.size[0], height=self.size[1], pix_fmt=self.pix_fmt)

    def resolved(self) -> dict[str, Any]:
        """The part of the path that matters, and the result's shape."""
        return {
            "type": "crop",
            "times": self.path.times,
            "points": self.path.points,
            "interpolation": self.path.interpolation,
            "size": self.size,
            "pix_fmt": self.pix_fmt,
            "filter": self.filter,
        }

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
        result.pts = frame.pts
        if frame.time_base is not None:
            result.time_base = frame.time_base
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
            self._resample,
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
