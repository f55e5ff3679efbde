"""Effects that draw: neighbours share one copy of the frame and draw into it in place.

A step must not touch the frame it is given, and a copy of a 1080p frame costs more than most
drawings do. `joined` makes one step of neighbouring drawings.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from math import ceil, floor
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from .base import PLANAR_8BIT, Step
from .colour import Palette
from .filters import Filters

__all__ = ["Box", "Canvas", "Drawing", "Window", "joined"]

Samples = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""

_BAND = 32768


@dataclass(frozen=True)
class Window:
    """A rectangle of one plane, with the places of its samples in the picture."""

    plane: int
    rows: Samples
    xs: Floats
    """(width,), pixels from the left edge of the picture."""
    ys: Floats
    """(height,), pixels from its top edge."""
    footprint: float
    """Width of a sample in pixels: the width of an anti-aliased edge."""

    @property
    def place(self) -> tuple[bool, float, float]:
        """The same for windows whose samples lie at the same places: those of Cb and of Cr."""
        return self.plane > 0, float(self.xs[0]), float(self.ys[0])

    def meets(self, box: Box) -> bool:
        """Whether a box of the picture has samples of this window."""
        left, top, right, bottom = box
        across = bool(self.xs[0] <= right and self.xs[-1] >= left)
        return across and bool(self.ys[0] <= bottom and self.ys[-1] >= top)


class Canvas:
    """A frame of our own, which may be drawn into."""

    def __init__(self, frame: VideoFrame) -> None:
        self.frame = frame
        self.width = frame.width
        self.height = frame.height
        self.across, self.down = PLANAR_8BIT[frame.format.name]

    @cached_property
    def palette(self) -> Palette:
        """How colours become samples of this frame."""
        return Palette.of(self.frame)

    @cached_property
    def planes(self) -> list[Samples]:
        """Y, Cb and Cr as writable arrays (height, width)."""
        planes = []
        for plane in self.frame.planes:
            buffer: Any = plane
            rows = np.frombuffer(buffer, np.uint8).reshape(plane.height, plane.line_size)
            planes.append(rows[:, : plane.width])
        return planes

    def windows(self, left: float, top: float, right: float, bottom: float) -> Iterator[Window]:
        """The samples of each plane in a rectangle of the picture, as far as it is inside, in
        bands that stay in the processor's cache. Rectangles that meet at even pixels share none.

        Subsampled chroma is sited left (H.273 type 0): its column j lies on luma column 2j, its
        row i between the luma rows 2i and 2i + 1.
        """
        for index, rows in enumerate(self.planes):
            across, down = (self.across, self.down) if index else (1, 1)
            height, width = rows.shape
            x0, x1 = max(0, floor(left / across)), min(width, ceil(right / across))
            y0, y1 = max(0, floor(top / down)), min(height, ceil(bottom / down))
            if x0 >= x1 or y0 >= y1:
                continue
            xs = np.arange(x0, x1).astype(np.float32) * np.float32(across) + np.float32(0.5)
            ys = (np.arange(y0, y1).astype(np.float32) + np.float32(0.5)) * np.float32(down)
            band = max(8, _BAND // (x1 - x0))
            for y in range(y0, y1, band):
                part = slice(y, min(y + band, y1))
                places = ys[part.start - y0 : part.stop - y0]
                yield Window(index, rows[part, x0:x1], xs, places, max(across, down))


class Drawing(ABC):
    """A step that draws into a copy of the frame."""

    layer: ClassVar[int] = 1
    """Of neighbouring drawings, those of a lower layer are drawn first."""

    @abstractmethod
    def shows(self, time: float) -> bool:
        """Whether anything is drawn at `time`, in seconds of the effect's clock."""

    @abstractmethod
    def draw(self, canvas: Canvas, time: float) -> None:
        """Draw what there is at `time`; it may lie outside of the picture."""

    def merged(self, other: Drawing) -> Drawing | None:
        """One drawing that does this and then `other` better than one after the other."""
        return None

    def __call__(self, frame: VideoFrame, time: Fraction) -> VideoFrame:
        """A copy of `frame` with the drawing, or `frame` if there is nothing to draw."""
        seconds = float(time)
        if not self.shows(seconds):
            return frame
        canvas = Canvas(self._copy(frame))
        self.draw(canvas, seconds)
        return canvas.frame

    @cached_property
    def _copy(self) -> Filters:
        # The filter's buffers are pooled: no page faults, which make up half of a fresh copy.
        return Filters([("copy", {})])


class _Drawings(Drawing):
    def __init__(self, drawings: list[Drawing]) -> None:
        self._drawings = drawings

    def shows(self, time: float) -> bool:
        return any(drawing.shows(time) for drawing in self._drawings)

    def draw(self, canvas: Canvas, time: float) -> None:
        for drawing in self._drawings:
            if drawing.shows(time):
                drawing.draw(canvas, time)


def joined(steps: Sequence[Step]) -> list[Step]:
    """The steps, with one in the place of neighbouring drawings that does all of them.

    Within it drawings keep their order, but for their layers.
    """
    result: list[Step] = []
    for drawing, group in groupby(steps, lambda step: isinstance(step, Drawing)):
        if not drawing:
            result += group
            continue
        merged: list[Drawing] = []
        for step in sorted((s for s in group if isinstance(s, Drawing)), key=lambda s: s.layer):
            both = merged[-1].merged(step) if merged else None
            if both is None:
                merged.append(step)
            else:
                merged[-1] = both
        result.append(merged[0] if len(merged) == 1 else _Drawings(merged))
    return result
