"""Set text: choose fonts letter by letter, order what runs right to left, draw it once.

Shaping and the order of letters within a run are Raqm's (HarfBuzz, FriBidi), which Pillow's
wheels bring along; without it, scripts that need shaping come out unshaped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from math import ceil

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, features

from . import fonts
from .colour import parse_color
from .fonts import Font

__all__ = ["Block", "Style", "clusters", "fonts_of", "runs"]

Pixels = npt.NDArray[np.uint8]
_JOINER, _SELECTOR_TEXT, _SELECTOR_EMOJI = "\u200d", "\ufe0e", "\ufe0f"
# Emoji_Presentation of Unicode 15.1 (emoji-data.txt) below U+10000; above, nearly all are.
_EMOJI = (
    "⌚⌛⏩⏪⏫⏬⏰⏳◽◾☔☕♈♉♊♋♌♍♎♏♐♑♒♓♿⚓⚡⚪⚫⚽"
    "⚾⛄⛅⛎⛔⛪⛲⛳⛵⛺⛽✅✊✋✨❌❎❓❔❕❗➕➖➗➰➿⬛⬜⭐⭕"
)
_RTL = {"R", "AL"}
_NUMBERS = {"EN", "AN"}


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


@dataclass(frozen=True)
class Run:
    """Letters of one font that run in one direction."""

    text: str
    font: Font
    right_to_left: bool


def clusters(text: str) -> Iterator[str]:
    """The text in what readers see as one character each (a simplification of UAX #29): marks
    and modifiers stay with their base, joined emoji and flags together."""
    cluster = ""
    for character in text:
        flags = sum(_is_regional(c) for c in cluster)
        extends = (
            unicodedata.category(character).startswith("M")
            or character in (_JOINER, _SELECTOR_TEXT, _SELECTOR_EMOJI)
            or "\U0001f3fb" <= character <= "\U0001f3ff"
            or "\U000e0020" <= character <= "\U000e007f"
            or cluster.endswith(_JOINER)
            or (_is_regional(character) and flags == 1)
        )
        if cluster and not extends:
            yield cluster
            cluster = ""
        cluster += character
    if cluster:
        yield cluster


def runs(line: str, preferred: Font) -> list[Run]:
    """The runs of a line as they stand from left to right (after UAX #9, for whole runs)."""
    parts = [_drawable(part, preferred) for part in clusters(line)]
    base = next((d for d in map(_direction, parts) if d is not None), False)
    levels = _levels(parts, base)
    chosen: list[Font] = []
    for part in parts:
        # A space keeps to the word before it, so that words are not set in pieces; emoji fonts
        # have wide ones.
        before = chosen[-1] if chosen else preferred
        if part.isspace() and before.has(part) and not before.is_emoji:
            chosen.append(before)
        else:
            chosen.append(_font_for(part, preferred))
    grouped = groupby(zip(parts, chosen, levels, strict=True), lambda item: (item[1], item[2]))
    ordered = [
        (level, Run("".join(part for part, _, _ in items), font, level % 2 == 1))
        for (font, level), items in grouped
    ]
    for lowest in range(max((level for level, _ in ordered), default=0), 0, -1):
        ordered = _reversed_from(ordered, lowest)
    return [run for _, run in ordered]


def _reversed_from(ordered: list[tuple[int, Run]], lowest: int) -> list[tuple[int, Run]]:
    """With every stretch of that level or a higher one turned round (rule L2 of UAX #9)."""
    result: list[tuple[int, Run]] = []
    stretch: list[tuple[int, Run]] = []
    for item in ordered:
        if item[0] >= lowest:
            stretch.insert(0, item)
        else:
            result += [*stretch, item]
            stretch = []
    return result + stretch


def fonts_of(text: str, preferred: Font) -> list[Font]:
    """All fonts that the text is drawn with, sorted."""
    used = {run.font for line in text.split("\n") for run in runs(line, preferred)}
    return sorted(used | {preferred}, key=lambda font: (font.name, font.path))


class Block:
    """Text of one or several lines, set."""

    def __init__(self, text: str, style: Style) -> None:
        self.style = style
        self._lines = [runs(line, style.font) for line in text.split("\n")]
        self._rim = ceil(style.outline)

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


def _drawable(cluster: str, preferred: Font) -> str:
    """The cluster, or where no font has all of it, its base alone: an emoji without its tone of
    skin is better than one with an empty box behind it."""
    if len(cluster) == 1 or _font_for(cluster, preferred).has(_visible(cluster)):
        return cluster
    return cluster[0]


def _visible(cluster: str) -> str:
    invisible = (_JOINER, _SELECTOR_TEXT, _SELECTOR_EMOJI)
    return "".join(c for c in cluster if c not in invisible and c.isprintable())


def _font_for(cluster: str, preferred: Font) -> Font:
    looks = any(c in _EMOJI or "\U0001f000" <= c <= "\U0001faff" for c in cluster)
    emoji = _SELECTOR_TEXT not in cluster and (looks or _SELECTOR_EMOJI in cluster)
    return fonts.best(_visible(cluster), preferred, emoji=emoji)


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _direction(cluster: str) -> bool | None:
    """True for right to left, False for left to right, None if it goes with its neighbours."""
    kind = unicodedata.bidirectional(cluster[0])
    return True if kind in _RTL else False if kind == "L" else None


def _levels(parts: list[str], base: bool) -> list[int]:
    """The embedding level of each cluster: odd runs right to left (rules W1–W7, N1–N2, I1–I2 of
    UAX #9 for text without explicit embeddings)."""
    strong: list[bool | None] = [_direction(part) for part in parts]
    numbers = [unicodedata.bidirectional(part[0]) in _NUMBERS for part in parts]
    levels: list[int] = []
    before = base
    for i, own in enumerate(strong):
        if own is not None:
            before = own
        if numbers[i]:
            levels.append(2 if before or base else 0)
        elif own is None:
            after = next(
                (
                    True if numbers[j] and before else strong[j]
                    for j in range(i + 1, len(parts))
                    if strong[j] is not None or (numbers[j] and before)
                ),
                base,
            )
            direction = before if before == after else base
            levels.append(int(direction) if not base else (1 if direction else 2))
        else:
            levels.append(int(own) if not base else (1 if own else 2))
    return levels
