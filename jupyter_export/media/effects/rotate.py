"""Turn the picture: exactly by quarters, else with bilinear samples around its centre."""

from __future__ import annotations

from fractions import Fraction
from math import radians
from typing import Any

from av.video.frame import VideoFrame

from ...spec.effects import Rotate
from .base import PLANAR_8BIT, Effect, Picture, Step
from .filters import Filters

__all__ = ["EFFECT", "RotateEffect"]

_QUARTERS: dict[float, list[tuple[str, dict[str, str]]]] = {
    90.0: [("transpose", {"dir": "clock"})],
    180.0: [("hflip", {}), ("vflip", {})],
    270.0: [("transpose", {"dir": "cclock"})],
}


class RotateEffect(Effect[Rotate]):
    """Turning; see `Rotate`."""

    model = Rotate
    megapixel_ms = 4.0

    def output(self, effect: Rotate, picture: Picture) -> Picture:
        """Width and height change places for a quarter turn."""
        if effect.angle % 360 not in (90, 270):
            return picture
        return picture.model_copy(update={"width": picture.height, "height": picture.width})

    def resolve(
        self, effect: Rotate, start: float, end: float, picture: Picture
    ) -> dict[str, Any] | None:
        """The angle from 0 to 360 degrees."""
        angle = effect.angle % 360
        return {"angle": angle} if angle else None

    def make(self, params: dict[str, Any], picture: Picture) -> Step:
        """A graph of filters."""
        return _Turned(params["angle"], picture)


class _Turned:
    def __init__(self, angle: float, picture: Picture) -> None:
        chain = list(_QUARTERS.get(angle, ()))
        if not chain:
            turn = {"a": f"{radians(angle):.12f}", "bilinear": "1", "fillcolor": "black"}
            chain.append(("rotate", turn))
        if angle != 180 and len(set(PLANAR_8BIT[picture.pix_fmt])) > 1:
            # Turned by a quarter, 4:2:2 has half of its chroma rows instead of columns; by other
            # angles FFmpeg turns it as 4:4:4.
            chain.append(("scale", {"flags": "bicubic+accurate_rnd"}))
            chain.append(("format", {"pix_fmts": picture.pix_fmt}))
        self._filters = Filters(chain)

    def __call__(self, frame: VideoFrame, time: Fraction) -> VideoFrame:
        """The turned frame."""
        return self._filters(frame)


EFFECT = RotateEffect()
