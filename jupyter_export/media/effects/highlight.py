"""Highlight a region that moves along keyframes: outline, brighten, or dim all but it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from ...spec.highlight import Highlight, HighlightKeyframe
from . import shapes
from .base import Effect, Picture
from .blend import Stencil, lay
from .colour import parse_color
from .drawing import Canvas, Drawing, Floats, Window
from .keyframes import Keyed, clipped_span, in_span

__all__ = ["EFFECT", "HighlightEffect"]

_GROUND_FLATNESS = 0.35
_GROUND_TINT = 0.25
_HALF = np.uint16(128)
# Half a width in pixels from which it pays to treat the inside apart.
_LARGE = 120.0
_OUTLINES: dict[str, Callable[..., Floats]] = {
    "ellipse": shapes.ellipse_outline,
    "ground": shapes.ground_ring,
    "box": shapes.box_outline,
}


class HighlightEffect(Effect[Highlight]):
    """Regions that stand out; see `Highlight`."""

    model = Highlight
    megapixel_ms = 1.0

    def span(self, effect: Highlight) -> tuple[float, float]:
        """From its start to its end."""
        return clipped_span(effect.start, effect.end)

    def resolve(
        self, effect: Highlight, start: float, end: float, picture: Picture
    ) -> dict[str, Any] | None:
        """The part of the path that shows, with every default filled in."""
        keyed = Keyed.within(effect.keyframes, partial(_point, effect), effect, start, end)
        if keyed is None or keyed.always(lambda point: point[4] <= 0 and point[5] <= 0):
            return None
        params: dict[str, Any] = {"shape": effect.shape, "effect": effect.effect, **keyed.params()}
        if keyed.ever(lambda point: point[4] > 0):
            params["stroke_width"] = effect.stroke_width
        if effect.shape == "box":
            params["corner_radius"] = effect.corner_radius
        if effect.effect != "outline":
            params |= {"strength": effect.strength, "feather": effect.feather}
        return params

    def make(self, params: dict[str, Any], picture: Picture) -> Drawing:
        """The drawing of one region."""
        if params["effect"] == "dim_outside":
            return _Dim([_Region(params)])
        return _Lit(_Region(params))


def _point(effect: Highlight, key: HighlightKeyframe) -> tuple[float, ...]:
    flat = _GROUND_FLATNESS if effect.shape == "ground" else 1.0
    radius_y = key.radius_x * flat if key.radius_y is None else key.radius_y
    outlined = effect.effect == "outline"
    stroke, fill = key.stroke_opacity, key.fill_opacity
    if stroke is None:
        stroke = 1.0 if outlined else 0.0
    if fill is None:
        tint = _GROUND_TINT if effect.shape == "ground" else 0.0
        fill = tint if outlined else 1.0
    rgb = parse_color(key.color or effect.color)
    return (key.x, key.y, key.radius_x, radius_y, stroke, fill, *rgb)


class _Region:
    """Where a region is, and how strong, at each time."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.keyed = Keyed.of(params)
        self.shape: str = params["shape"]
        self.effect: str = params["effect"]
        self.stroke_width: float = params.get("stroke_width", 0.0)
        self.corner_radius: float = params.get("corner_radius", 0.0)
        self.strength: float = params.get("strength", 0.0)
        self.feather: float = params.get("feather", 0.0)
        self._outline = Stencil(_OUTLINES[self.shape])
        self._tint = Stencil(self._tinted)
        self._cover = shapes.box if self.shape == "box" else shapes.ellipse

    def shows(self, time: float) -> bool:
        return in_span(time, self.keyed.start, self.keyed.end)

    def geometry(self, time: float) -> tuple[float, float, float, float]:
        """Centre and radii; a spline that swings below nothing stays at half a pixel."""
        x, y, radius_x, radius_y = self.keyed.at(time)[:4]
        return x, y, max(radius_x, 0.5), max(radius_y, 0.5)

    def fill_opacity(self, time: float) -> float:
        return min(max(self.keyed.at(time)[5], 0.0), 1.0)

    def coverage(self, window: Window, time: float) -> Floats:
        """How much of each sample is inside, with the soft edge of `feather`."""
        return self._covered(
            window.xs[None, :],
            window.ys[:, None],
            max(window.footprint, self.feather),
            *self.geometry(time),
        )

    def box(self, time: float, margin: float) -> tuple[float, float, float, float]:
        x, y, radius_x, radius_y = self.geometry(time)
        dx, dy = radius_x + margin, radius_y + margin
        return x - dx, y - dy, x + dx, y + dy

    def inner_box(self, time: float) -> tuple[float, float, float, float] | None:
        """A box all inside of a large region; None if it is small."""
        x, y, radius_x, radius_y = self.geometry(time)
        if self.shape == "box":
            dx, dy = radius_x - self.corner_radius, radius_y - self.corner_radius
        else:
            dx, dy = radius_x * sqrt(0.5), radius_y * sqrt(0.5)
        dx, dy = dx - self.feather / 2 - 2, dy - self.feather / 2 - 2
        return None if min(dx, dy) < _LARGE else (x - dx, y - dy, x + dx, y + dy)

    def draw_tint(self, canvas: Canvas, time: float) -> None:
        opacity = self.fill_opacity(time)
        if opacity > 0:
            box = self.box(time, 2)
            self._tint.fill(canvas, [box], self.geometry(time), self._rgb(time), opacity)

    def draw_outline(self, canvas: Canvas, time: float) -> None:
        opacity = min(max(self.keyed.at(time)[4], 0.0), 1.0)
        if opacity <= 0 or not self.stroke_width:
            return
        x, y, radius_x, radius_y = self.geometry(time)
        geometry: tuple[float, ...] = x, y, radius_x, radius_y
        boxes = [self.box(time, self.stroke_width / 2 + 2)]
        if self.shape == "box":
            geometry += (self.corner_radius, self.stroke_width)
        elif self.shape == "ellipse":
            geometry += (self.stroke_width,)
            boxes = shapes.ring_boxes(*geometry)
        else:
            # Seen at a slant a ring looks thinner at its near and far side, but not so thin
            # that its near side gets lost.
            flat = sqrt(min(1.0, radius_y / radius_x))
            geometry += (self.stroke_width, self.stroke_width * flat)
        self._outline.fill(canvas, boxes, geometry, self._rgb(time), opacity)

    def _covered(self, xs: Floats, ys: Floats, edge: float, *geometry: float) -> Floats:
        if self.shape == "box":
            geometry += (self.corner_radius,)
        return self._cover(xs, ys, edge, *geometry)

    def _tinted(self, xs: Floats, ys: Floats, edge: float, *geometry: float) -> Floats:
        inside = self._covered(xs, ys, edge, *geometry)
        if self.shape == "ground":
            x, y, radius_x, radius_y = (np.float32(v) for v in geometry)
            inside *= np.minimum(((xs - x) / radius_x) ** 2 + ((ys - y) / radius_y) ** 2, 1)
        return inside

    def _rgb(self, time: float) -> tuple[float, float, float]:
        red, green, blue = (min(max(c, 0.0), 255.0) for c in self.keyed.at(time)[6:9])
        return red, green, blue


class _Lit(Drawing):
    """An outlined or brightened region."""

    def __init__(self, region: _Region) -> None:
        self.region = region

    def shows(self, time: float) -> bool:
        return self.region.shows(time)

    def draw(self, canvas: Canvas, time: float) -> None:
        if self.region.effect == "brighten":
            _brighten(canvas, self.region, time)
        else:
            self.region.draw_tint(canvas, time)
        self.region.draw_outline(canvas, time)


def _brighten(canvas: Canvas, region: _Region, time: float) -> None:
    """Lift the inside by y → y (1 + s) / (1 + s y), which keeps black and white, and its chroma
    by a third of that, so that colours do not look washed out."""
    strength = region.strength * region.fill_opacity(time)
    if strength <= 0:
        return
    palette = canvas.palette
    codes = np.arange(256, dtype=np.float32)
    share = np.clip((codes - palette.black) / (palette.white - palette.black), 0, 1)
    lifted = share * (1 + strength) / (1 + strength * share) - share
    luma = lifted * (palette.white - palette.black)
    chroma = (codes - 128) * (strength / 3)
    covers: dict[object, Floats] = {}
    for window in canvas.windows(*region.box(time, region.feather / 2 + 2)):
        if window.place not in covers:
            covers[window.place] = region.coverage(window, time)
        change = (chroma if window.plane else luma)[window.rows]
        change *= covers[window.place]
        change += window.rows
        window.rows[...] = np.clip(np.rint(change), 0, 255)


class _Dim(Drawing):
    """Dim what is outside of all regions.

    With strengths s_i, S the largest of them, and coverages m_i the light that is taken away is
    S · Π (1 − m_i s_i / S): one region alone gives s (1 − m), equal ones their union, and one
    that fades in or out does so without a jump.
    """

    layer = 0

    def __init__(self, regions: list[_Region]) -> None:
        self.regions = regions

    def merged(self, other: Drawing) -> Drawing | None:
        return _Dim(self.regions + other.regions) if isinstance(other, _Dim) else None

    def shows(self, time: float) -> bool:
        return any(region.shows(time) for region in self.regions)

    def draw(self, canvas: Canvas, time: float) -> None:
        shown = [region for region in self.regions if region.shows(time)]
        strengths = [region.strength * region.fill_opacity(time) for region in shown]
        strongest = max(strengths)
        if strongest > 0:
            lit = [(r, s / strongest) for r, s in zip(shown, strengths, strict=True) if s > 0]
            _dim(canvas, lit, strongest, time)
        for region in shown:
            region.draw_outline(canvas, time)


def _dim(canvas: Canvas, lit: list[tuple[_Region, float]], strength: float, time: float) -> None:
    black = canvas.palette.black
    boxes = [region.box(time, region.feather / 2 + 2) for region, _ in lit]
    windows: list[Window] = []
    bright: list[Window] = []
    for (region, part), box in zip(lit, boxes, strict=True):
        inner = region.inner_box(time) if part == 1 else None
        edges = [box]
        if inner is not None:
            edges, inner = shapes.around(box, inner)
            bright += canvas.windows(*inner)
        windows += [window for edge in edges for window in canvas.windows(*edge)]
    untouched = [window.rows.copy() for window in bright]
    # What is under the windows, and where windows overlap, is computed from the picture as it was.
    saved = [window.rows.copy() for window in windows]
    for index, rows in enumerate(canvas.planes):
        taken = np.uint16(round(256 * strength))
        lay(rows, np.uint16(256) - taken, taken * np.uint16(128 if index else black) + _HALF)
    kept: dict[object, npt.NDArray[np.uint16]] = {}
    for window, original in zip(windows, saved, strict=True):
        key = window.place, original.shape
        if key not in kept:
            share = np.full(original.shape, 256 * strength, np.float32)
            for (region, part), box in zip(lit, boxes, strict=True):
                if window.meets(box):
                    share *= 1 - region.coverage(window, time) * np.float32(part)
            kept[key] = np.rint(share).astype(np.uint16)
        window.rows[...] = original
        add = kept[key] * np.uint16(128 if window.plane else black)
        add += _HALF
        lay(window.rows, np.uint16(256) - kept[key], add)
    for window, original in zip(bright, untouched, strict=True):
        window.rows[...] = original


EFFECT = HighlightEffect()
