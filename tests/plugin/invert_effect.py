"""An effect of another package: the negative of the luma, from `start` on."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import numpy as np
from av.video.frame import VideoFrame
from pydantic import BaseModel

from jupyter_export.media.effects.base import Effect, Picture, Step


class Invert(BaseModel):
    type: Literal["invert"] = "invert"
    start: float = 0.0


class InvertEffect(Effect[Invert]):
    model = Invert

    def resolve(
        self, effect: Invert, start: float, end: float, picture: Picture
    ) -> dict[str, Any] | None:
        return {"start": effect.start} if effect.start < end else None

    def make(self, params: dict[str, Any], picture: Picture) -> Step:
        def step(frame: VideoFrame, time: Fraction) -> VideoFrame:
            if time < params["start"]:
                return frame
            array = frame.to_ndarray()
            array[: frame.height] = 255 - array[: frame.height]
            result = VideoFrame.from_ndarray(np.ascontiguousarray(array), frame.format.name)
            result.colorspace, result.color_range = frame.colorspace, frame.color_range
            return result

        return step


EFFECT = InvertEffect()
