"""Labels: text, running times and frame numbers, set once and laid over frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np

from ...errors import SpecError
from ...spec.annotation import FrameNumber, Label, LabelKeyframe, Text, Timecode
from . import fonts, shapes
from .base import Picture
from .blend import Patch
from .colour import parse_color
from .drawing import Canvas, Drawing
from .fonts import Font
from .keyframes import Keyed, in_span
from .runs import fonts_of, lines_of
from .text import Block, Pixels, Style

__all__ = ["counter", "label_drawing", "label_keyframes", "label_params"]

# Of the picture's shorter side, between its edge and a label that is given no place.
_MARGIN = 0.04
# Of a frame: containers round the times of frames, Matroska to milliseconds.
_ROUNDING = 0.1
_FRACTIONS = {"left": 0.0, "center": 0.5, "right": 1.0, "top": 0.0, "bottom": 1.0}


def _anchor(name: str) -> tuple[float, float]:
    """Where an anchor is in its block, in parts of its width and height."""
    words = name.split("_")
    across = next((_FRACTIONS[w] for w in words if w in ("left", "right")), 0.5)
    down = next((_FRACTIONS[w] for w in words if w in ("top", "bottom")), 0.5)
    return across, down


def label_keyframes(effect: Label, picture: Picture) -> Sequence[LabelKeyframe]:
    """Where the anchor is over time."""
    if effect.keyframes:
        return effect.keyframes
    x, y = effect.x, effect.y
    if x is None or y is None:
        margin = _MARGIN * min(picture.width, picture.height)
        across, down = _anchor(effect.anchor)
        x = picture.width * across + margin * (1 - 2 * across)
        y = picture.height * down + margin * (1 - 2 * down)
    return (LabelKeyframe(time=0, x=x, y=y),)


def label_params(effect: Label) -> dict[str, Any]:
    """Everything but time and place."""
    font = fonts.find(effect.font)
    assert font is not None  # checked before
    letters = effect.text if isinstance(effect, Text) else "-0123456789:."
    params: dict[str, Any] = {
        "font": effect.font,
        "versions": {f.name: f.version for f in fonts_of(letters, font)},
        "size": effect.size,
        "color": effect.color,
        "anchor": effect.anchor,
    }
    if effect.outline:
        params |= {"outline": effect.outline, "outline_color": effect.outline_color}
    if effect.background is not None and effect.background_opacity > 0:
        params["background"] = {
            "color": effect.background,
            "opacity": effect.background_opacity,
            "padding": effect.padding,
            "corner_radius": effect.corner_radius,
        }
    if isinstance(effect, Text):
        params["text"] = effect.text
        if len(lines_of(effect.text)) > 1:
            params["align"] = effect.align
    elif isinstance(effect, Timecode):
        params |= {"format": effect.format, "offset": effect.offset}
        if effect.format.endswith("ff"):
            params["rate"] = effect.rate
    elif isinstance(effect, FrameNumber):
        params |= {"rate": effect.rate, "first": effect.first, "digits": effect.digits}
    return params


def label_drawing(params: dict[str, Any]) -> Drawing:
    """The drawing for `label_params`, with the `kind` and the path."""
    if params["kind"] == "text":
        return _Text(params)
    return _Running(params, counter(params))


class _Look:
    """What a label looks like, whatever it says."""

    def __init__(self, params: dict[str, Any]) -> None:
        font = fonts.find(params["font"])
        if font is None:
            raise SpecError(
                f"The font {params['font']!r} is not installed on the worker that renders this.",
                "Install the same fonts on all workers, or use sans.",
            )
        self.font: Font = font
        self.style = Style(
            font,
            params["size"],
            params["color"],
            params.get("outline", 0.0),
            params.get("outline_color", "#000000"),
            params.get("align", "left"),
        )
        self.background: dict[str, Any] | None = params.get("background")
        self.padding = ceil(self.background["padding"]) if self.background else 0
        # Letters may reach out of their block: slanted ones, accents, rims.
        self.overhang = ceil(self.style.outline + self.style.size / 4) + 2

    def background_pixels(self, width: int, height: int, overhang: int) -> Pixels:
        """The box for a block of that size, with `overhang` pixels of nothing around it."""
        shape = height + 2 * overhang, width + 2 * overhang
        rgba = np.zeros((*shape, 4), np.float32)
        if self.background is None:
            return rgba.astype(np.uint8)
        xs = np.arange(shape[1], dtype=np.float32)[None, :] + 0.5 - overhang
        ys = np.arange(shape[0], dtype=np.float32)[:, None] + 0.5 - overhang
        radius = self.background["corner_radius"]
        half_x, half_y = width / 2, height / 2
        cover = shapes.box(xs, ys, 1.0, half_x, half_y, half_x, half_y, radius)
        cover *= np.float32(self.background["opacity"])
        rgba[...] = cover[..., None] * np.array(
            [*parse_color(self.background["color"]), 255], np.float32
        )
        return np.rint(rgba).astype(np.uint8)


class _Placed(Drawing):
    def __init__(self, params: dict[str, Any]) -> None:
        self.keyed = Keyed.of(params)
        self.look = _Look(params)
        self.anchor = _anchor(params["anchor"])

    def shows(self, time: float) -> bool:
        return in_span(time, self.keyed.start, self.keyed.end)

    def corner(self, time: float, width: int, height: int) -> tuple[float, float, float]:
        """Left and top of the block with its box, and the opacity."""
        x, y, opacity = self.keyed.at(time)
        left, top = x - self.anchor[0] * width, y - self.anchor[1] * height
        if len(self.keyed.path.points) == 1:
            # What does not move is crisp on whole pixels.
            left, top = round(left), round(top)
        return left, top, min(max(opacity, 0.0), 1.0)


class _Text(_Placed):
    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__(params)
        block = Block(params["text"], self.look.style)
        pad, self._overhang = self.look.padding, self.look.overhang
        self._width = ceil(block.width) + 2 * pad
        self._height = ceil(block.height) + 2 * pad
        under = self.look.background_pixels(self._width, self._height, self._overhang)
        inset = float(pad + self._overhang)
        letters = block.draw(inset, inset, under.shape[1], under.shape[0])
        self._patch = Patch(_over(letters, under))

    def draw(self, canvas: Canvas, time: float) -> None:
        left, top, opacity = self.corner(time, self._width, self._height)
        if opacity > 0:
            self._patch.draw(canvas, left - self._overhang, top - self._overhang, opacity)


class _Running(_Placed):
    """A text that changes with every frame: each of its letters is set once, and all digits are
    as wide as the widest."""

    def __init__(self, params: dict[str, Any], read: Callable[[float], str]) -> None:
        super().__init__(params)
        self._read = read
        self._letters: dict[str, Patch] = {}
        self._boxes: dict[int, Patch] = {}
        digits = [Block(c, self.look.style) for c in "0123456789"]
        # An even width keeps all letters at the same place relative to the chroma samples.
        self._digit = _even(max(block.width for block in digits))
        self._height = ceil(digits[0].height) + 2 * self.look.padding
        self._widths = {c: _even(Block(c, self.look.style).width) for c in "-:."}

    def draw(self, canvas: Canvas, time: float) -> None:
        text = self._read(time)
        pad, overhang = self.look.padding, self.look.overhang
        width = sum(self._width_of(c) for c in text) + 2 * pad
        left, top, opacity = self.corner(time, width, self._height)
        if opacity <= 0:
            return
        if self.look.background is not None:
            self._box(width).draw(canvas, left, top, opacity)
        x = left + pad - overhang
        for character in text:
            self._letter(character).draw(canvas, x, top + pad - overhang, opacity)
            x += self._width_of(character)

    def _width_of(self, character: str) -> int:
        return self._widths.get(character, self._digit)

    def _letter(self, character: str) -> Patch:
        patch = self._letters.get(character)
        if patch is None:
            overhang = self.look.overhang
            block = Block(character, self.look.style)
            width = self._width_of(character)
            left = overhang + (width - block.width) / 2
            height = ceil(block.height) + 2 * overhang
            pixels = block.draw(left, float(overhang), width + 2 * overhang, height)
            patch = self._letters[character] = Patch(pixels)
        return patch

    def _box(self, width: int) -> Patch:
        patch = self._boxes.get(width)
        if patch is None:
            pixels = self.look.background_pixels(width, self._height, 0)
            patch = self._boxes[width] = Patch(pixels)
        return patch


def _even(width: float) -> int:
    return ceil(width / 2) * 2


def _over(letters: Pixels, under: Pixels) -> Pixels:
    rest = 1 - letters[..., 3:].astype(np.float32) / 255
    return np.rint(letters + under * rest).astype(np.uint8)


def counter(params: dict[str, Any]) -> Callable[[float], str]:
    """What a running time or frame number says at a time in seconds."""
    if params["kind"] == "frame_number":
        rate, first, digits = Fraction(params["rate"]), params["first"], params["digits"]
        return lambda time: f"{first + _frames(time, rate):0{digits}d}"
    format, offset = params["format"], params["offset"]
    if format == "hh:mm:ss:ff":
        rate = Fraction(params["rate"])
        return lambda time: _timecode(_frames(time + offset, rate), rate)
    return lambda time: _clock(time + offset, format)


def _frames(time: float, rate: Fraction) -> int:
    return floor(time * rate.numerator / rate.denominator + _ROUNDING)


def _timecode(frames: int, rate: Fraction) -> str:
    """Hours, minutes, seconds and frames, none dropped (SMPTE ST 12-1): at 30000/1001 frames per
    second the count runs at 30 a second, 3.6 s in an hour behind the clock."""
    nominal = ceil(rate)
    sign, frames = ("-", -frames) if frames < 0 else ("", frames)
    seconds, frame = divmod(frames, nominal)
    digits = max(2, len(str(nominal - 1)))
    return (
        f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        f":{frame:0{digits}d}"
    )


def _clock(time: float, format: str) -> str:
    milliseconds = floor(abs(time) * 1000 + 1e-3)
    sign = "-" if time < 0 and milliseconds else ""
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes = seconds // 60
    text = (
        f"{minutes % 60:02d}:{seconds % 60:02d}"
        if format.startswith("hh")
        else (f"{minutes:02d}:{seconds % 60:02d}")
    )
    if format.startswith("hh"):
        text = f"{minutes // 60:02d}:{text}"
    return sign + text + (f".{milliseconds:03d}" if format.endswith("mmm") else "")
