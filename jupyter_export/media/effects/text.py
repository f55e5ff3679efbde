"""Set text: lines, alignment, rims, emoji in colour; drawn once by Pillow.

Shaping is Raqm's (HarfBuzz, FriBidi), which Pillow's wheels bring along; without it, scripts that
need shaping come out unshaped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from math import ceil

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, features

from .colour import parse_color
from .fonts import Font
from .runs import Run, lines_of, runs

__all__ = ["Block", "Pixels", "Style"]

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Style:
    """How letters look."""

    font: Font
    size: float
    """Pixels to the em."""
    color: str
    outline: float = 0.0
    """Width of the rim, in pixels."""
    outline_color: str = "#000000"
    align: str = "left"


class Block:
    """Text of one or several lines, set."""

    def __init__(self, text: str, style: Style) -> None:
        self.style = style
        self._lines = [runs(line, style.font) for line in lines_of(text)]

    @cached_property
    def line_height(self) -> float:
        """Pixels from one baseline to the next."""
        return sum(self._metrics)

    @cached_property
    def width(self) -> float:
        """Of the longest line, in pixels."""
        return max((self._length(line) for line in self._lines), default=0.0)

    @property
    def height(self) -> float:
        """Of all lines, in pixels."""
        return self.line_height * len(self._lines)

    def draw(self, left: float, top: float, width: int, height: int) -> Pixels:
        """The text on nothing: (height, width, 4), colours multiplied by alpha.

        `left` and `top` is where the block begins.
        """
        placed: list[tuple[float, float, Run]] = []
        for i, line in enumerate(self._lines):
            spare = self.width - self._length(line)
            x = left + {"left": 0.0, "center": spare / 2, "right": spare}[self.style.align]
            baseline = top + self._metrics[0] + i * self.line_height
            for run in line:
                placed.append((x, baseline, run))
                x += _length(run, self.style.size)

        def write(ink: ImageDraw.ImageDraw) -> None:
            for x, baseline, run in placed:
                if _face(run.font, self.style.size)[1] == 1:
                    self._write(ink, x, baseline, run)

        result = _on_nothing(width, height, write)
        for x, baseline, run in placed:
            if _face(run.font, self.style.size)[1] != 1:
                self._lay_bitmap(result, x, baseline, run)
        return result

    @cached_property
    def _metrics(self) -> tuple[int, int]:
        font, scale = _face(self.style.font, self.style.size)
        ascent, descent = font.getmetrics()
        return round(ascent * scale), round(descent * scale)

    def _length(self, line: list[Run]) -> float:
        return sum(_length(run, self.style.size) for run in line)

    def _write(self, ink: ImageDraw.ImageDraw, x: float, baseline: float, run: Run) -> None:
        style = self.style
        ink.text(
            (x, baseline),
            run.text,
            _ink(style.color),
            _face(run.font, style.size)[0],
            anchor="ls",
            direction=_raqm_direction(run),
            stroke_width=style.outline,
            stroke_fill=_ink(style.outline_color) if style.outline else None,
            embedded_color=run.font.is_emoji,
        )

    def _lay_bitmap(self, pixels: Pixels, x: float, baseline: float, run: Run) -> None:
        """A run of a font that has bitmaps of one size: drawn in that size, then made smaller."""
        font, scale = _face(run.font, self.style.size)
        direction = _raqm_direction(run)
        _, top, right, bottom = font.getbbox(run.text, anchor="ls", direction=direction)
        color = _ink(self.style.color)

        def write(ink: ImageDraw.ImageDraw) -> None:
            ink.text(
                *((0, -top), run.text, color, font),
                anchor="ls",
                direction=direction,
                embedded_color=True,
            )

        large = _on_nothing(ceil(right) + 2, ceil(bottom - top) + 2, write)
        size = max(1, round(large.shape[1] * scale)), max(1, round(large.shape[0] * scale))
        # Channel by channel: Pillow would multiply by alpha once more.
        channels = [Image.fromarray(np.ascontiguousarray(large[..., i])) for i in range(4)]
        small = np.dstack([np.asarray(c.resize(size, Image.Resampling.BOX)) for c in channels])
        left, upper = round(x), round(baseline + top * scale)
        target = pixels[max(0, upper) : upper + size[1], max(0, left) : left + size[0]]
        small = small[max(0, -upper) :, max(0, -left) :][: target.shape[0], : target.shape[1]]
        rest = 1 - small[..., 3:].astype(np.float32) / 255
        target[...] = np.rint(small + target * rest)


def _on_nothing(width: int, height: int, write: Callable[[ImageDraw.ImageDraw], None]) -> Pixels:
    """What is written, (height, width, 4), with colours multiplied by alpha.

    Written on black and on white: what Pillow makes of letters on a transparent picture depends
    on its version.
    """
    on_black = Image.new("RGB", (width, height), "black")
    on_white = Image.new("RGB", (width, height), "white")
    for image in (on_black, on_white):
        write(ImageDraw.Draw(image))
    colours = np.asarray(on_black)
    through = np.asarray(on_white).astype(np.int16) - colours
    alpha = np.clip(255 - through.min(axis=2), colours.max(axis=2), 255)
    return np.dstack((colours, alpha.astype(np.uint8)))


def _ink(color: str) -> tuple[int, int, int]:
    red, green, blue = parse_color(color)
    return int(red), int(green), int(blue)


@cache
def _face(font: Font, size: float) -> tuple[ImageFont.FreeTypeFont, float]:
    return font.load(size)


def _length(run: Run, size: float) -> float:
    font, scale = _face(run.font, size)
    return font.getlength(run.text, direction=_raqm_direction(run)) * scale


@cache
def _has_raqm() -> bool:
    return bool(features.check("raqm"))


def _raqm_direction(run: Run) -> str | None:
    if not _has_raqm():
        return None
    return "rtl" if run.right_to_left else "ltr"
