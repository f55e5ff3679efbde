"""What every effect is: a pure step from one picture to the next."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol

from av.video.frame import VideoFrame
from pydantic import BaseModel, ConfigDict

__all__ = ["Picture", "Step"]


class Picture(BaseModel):
    """The shape of the frames between two steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int
    height: int
    pix_fmt: str


class Step(Protocol):
    """An effect, resolved for one range of a source.

    Steps are called from one thread, with growing times. They never draw into the frame they
    are given: a decoder may still refer to it.
    """

    def output(self, picture: Picture) -> Picture:
        """The shape of the result for frames of the shape `picture`."""
        ...

    def __call__(self, frame: VideoFrame, time: Fraction) -> VideoFrame:
        """The result for `frame`, shown at `time` seconds of the source.

        Keeps the frame's time stamp and time base.
        """
        ...

    def resolved(self) -> dict[str, Any]:
        """All that decides the result, as JSON: part of the segment's hash."""
        ...
