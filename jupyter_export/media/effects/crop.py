"""Crop along a moving, zooming rectangle with sub-pixel precision, and scale to one size.

libavfilter's crop and swscale move in whole (or even) pixels, which shows as jitter of more than
a pixel. Here each plane is sampled at float coordinates, with anti-aliasing when it shrinks, and
never leaves its 8-bit form.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av.video.frame import VideoFrame

from ...errors import SpecError
from ...spec import Crop
from ..path import Path
from ..resample import Box, resample
from .base import PLANAR_8BIT, Effect, Picture

__all__ = ["EFFECT", "CropStep", "clamp_rectangle"]

#: A crop may leave the picture by a pixel: rounding, and pictures cut to even sides.
_SLACK = 1.0


class CropEffect(Effect[Crop]):
    """`Crop` in the spec."""

    model = Crop
    megapixel_ms = 7.5

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

    def seconds(self, params: dict[str, Any], picture: Picture) -> float:
        """By the pixels of the result: those around the crop are not looked at."""
        width, height = params["size"]
        return float(self.megapixel_ms * width * height / 1e9)

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
        for index, (source, target) in enumerate(zip(frame.planes, result.planes, strict=False)):
            resample(source, target, self._box(rectangle, index, frame.format.name))
        result.colorspace, result.color_range = frame.colorspace, frame.color_range
        return result

    def _box(self, rectangle: Box, index: int, pix_fmt: str) -> Box:
        """The rectangle in samples of a plane."""
        across, down = (1, 1) if index == 0 else PLANAR_8BIT[pix_fmt]
        out_across = 1 if index == 0 else PLANAR_8BIT[self.pix_fmt][0]
        x, y, width, height = rectangle
        left = x / across + _siting(across, out_across, width / self.size[0])
        return left, y / down, width / across, height / down


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
