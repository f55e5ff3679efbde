"""Lay colours and small pictures over the planes of a frame, in 8-bit YUV, never in RGB.

The arithmetic is NumPy's on 16-bit integers: vectorised, only where something is drawn, and
without the GIL.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from math import floor

import numpy as np
import numpy.typing as npt

from .colour import Palette
from .drawing import Box, Canvas, Floats, Samples

__all__ = ["Patch", "Stencil", "lay"]

Weights = npt.NDArray[np.uint16]

_KEPT = 32
# Patches lie on a grid of sixteenths of a pixel, so that slow ones are found again: off by at
# most a thirty-second of a pixel.
_GRID = 16


def lay(rows: Samples, keep: Weights | np.uint16, add: Weights | np.uint16) -> None:
    """Replace `rows` by ``(rows · keep + add) / 256``, rounded; `keep` is 0 to 256."""
    mixed = np.multiply(rows, keep, dtype=np.uint16)
    mixed += add
    mixed >>= 8
    rows[...] = mixed


class Stencil:
    """A shape through which colours are laid; its coverage is kept while its geometry rests.

    `shape` gives the coverage, 0 to 1, at the samples ``xs`` (1, width) and ``ys`` (height, 1)
    for edges that are `footprint` wide, all in pixels, and for the geometry.
    """

    def __init__(self, shape: Callable[..., Floats]) -> None:
        self._shape = shape
        self._key: object = None
        self._alphas: list[Weights] = []

    def fill(
        self,
        canvas: Canvas,
        boxes: Sequence[Box],
        geometry: tuple[float, ...],
        rgb: tuple[float, float, float],
        opacity: float,
    ) -> None:
        """Lay the colour over the shape, which lies within `boxes` (left, top, right, bottom)
        that meet, if they do, at even pixels."""
        windows = [window for box in boxes for window in canvas.windows(*box)]
        key = geometry, opacity, [w.rows.shape for w in windows]
        if key != self._key:
            covers = {
                w.place: self._shape(w.xs[None, :], w.ys[:, None], w.footprint, *geometry)
                for w in {w.place: w for w in windows}.values()
            }
            levels = np.float32(256 * opacity)
            alphas = {
                place: np.rint(cover * levels).astype(np.uint16) for place, cover in covers.items()
            }
            self._alphas = [alphas[w.place] for w in windows]
            self._key = key
        samples = canvas.palette.samples(rgb)
        for window, alpha in zip(windows, self._alphas, strict=True):
            add = alpha * np.uint16(samples[window.plane])
            add += np.uint16(128)
            lay(window.rows, np.uint16(256) - alpha, add)


class Patch:
    """A small picture with alpha that is laid over frames at any, also fractional, place."""

    def __init__(self, rgba: npt.NDArray[np.uint8]) -> None:
        """`rgba` is (height, width, 4), the colours multiplied by alpha."""
        # The outermost pixels stay empty, so that moved ones need no wider arrays.
        self._rgba = np.pad(rgba, ((1, 1), (1, 1), (0, 0)))
        self._samples: tuple[Palette, Floats] | None = None
        self._kept: OrderedDict[object, list[tuple[int, int, Weights, Weights]]] = OrderedDict()

    def draw(self, canvas: Canvas, left: float, top: float, opacity: float = 1.0) -> None:
        """Lay it over the canvas with its top left corner at `left`, `top`."""
        x, y = round((left - 1) * _GRID), round((top - 1) * _GRID)
        # Chroma samples stand on every second pixel: what is kept serves all even distances.
        even_x, even_y = x // (2 * _GRID) * 2, y // (2 * _GRID) * 2
        phase = x - even_x * _GRID, y - even_y * _GRID
        shape = canvas.palette, canvas.across, canvas.down
        opacity = round(opacity * 256) / 256  # as kept: else the order of frames would show
        key = shape, phase, opacity
        layers = self._kept.get(key)
        if layers is None:
            layers = self._layers(*shape, phase[0] / _GRID, phase[1] / _GRID, opacity)
            self._kept[key] = layers
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        for index, (dx, dy, keep, add) in enumerate(layers):
            across, down = (canvas.across, canvas.down) if index else (1, 1)
            _lay_at(canvas.planes[index], even_x // across + dx, even_y // down + dy, keep, add)

    def _layers(
        self, palette: Palette, across: int, down: int, x: float, y: float, opacity: float
    ) -> list[tuple[int, int, Weights, Weights]]:
        """For each plane where it begins, what is kept of the frame, and what is added."""
        if self._samples is None or self._samples[0] != palette:
            self._samples = palette, _multiplied(self._rgba, palette)
        dx, dy = floor(x), floor(y)
        moved = _moved(self._samples[1] * np.float32(256 * opacity), x - dx, y - dy)
        chroma, chroma_x, chroma_y = _subsampled(moved[[0, 2, 3]], across, down, dx, dy)
        return [
            (dx, dy, *_weights(moved[0], moved[1])),
            (chroma_x, chroma_y, *_weights(chroma[0], chroma[1])),
            (chroma_x, chroma_y, *_weights(chroma[0], chroma[2])),
        ]


def _multiplied(rgba: npt.NDArray[np.uint8], palette: Palette) -> Floats:
    """(4, height, width): alpha, 0 to 1, and the samples Y, Cb, Cr multiplied by it."""
    red, green, blue, alpha = np.moveaxis(rgba.astype(np.float32), 2, 0)
    alpha = alpha * np.float32(1 / 255)
    # Sums written out: a matrix product rounds as the machine's BLAS does, and the same export
    # must give the same bytes everywhere.
    samples = [
        red * row[0] + green * row[1] + blue * row[2] + alpha * offset
        for row, offset in zip(palette.matrix, palette.offset, strict=True)
    ]
    return np.stack([alpha, *samples])


def _moved(planes: Floats, x: float, y: float) -> Floats:
    """Moved right and down by less than a pixel, linearly; the outermost pixels are empty."""
    if x:
        step = planes[:, :, :-1] - planes[:, :, 1:]
        step *= np.float32(x)
        planes[:, :, 1:] += step
    if y:
        step = planes[:, :-1] - planes[:, 1:]
        step *= np.float32(y)
        planes[:, 1:] += step
    return planes


def _subsampled(planes: Floats, across: int, down: int, x: int, y: int) -> tuple[Floats, int, int]:
    """At the chroma samples, sited left, with where they begin; `x`, `y` is where `planes` do."""
    if down == 2:
        before = y % 2
        after = (before + planes.shape[1]) % 2
        planes = np.pad(planes, ((0, 0), (before, after), (0, 0)))
        y = (y - before) // 2
        planes = planes[:, ::2] + planes[:, 1::2]
        planes *= np.float32(0.5)
    if across == 2:
        before = x % 2 + 1
        after = (before + planes.shape[2]) % 2 + 1
        planes = np.pad(planes, ((0, 0), (0, 0), (before, after)))
        # Sample j is at the second of the three columns around it.
        x = (x - before + 1) // 2
        middle = planes[:, :, 1:-1:2] * np.float32(0.5)
        sides = planes[:, :, 0:-2:2] + planes[:, :, 2::2]
        sides *= np.float32(0.25)
        middle += sides
        planes = middle
    return planes, x, y


def _weights(alpha: Floats, colour: Floats) -> tuple[Weights, Weights]:
    """For alpha and colours times 256."""
    keep = np.float32(256) - np.rint(alpha)
    # The sum with 255 times what is kept must stay within 16 bits.
    add = np.minimum(np.rint(colour) + np.float32(128), 65535 - 255 * keep)
    return keep.astype(np.uint16), np.maximum(add, 0).astype(np.uint16)


def _lay_at(rows: Samples, x: int, y: int, keep: Weights, add: Weights) -> None:
    height, width = keep.shape
    x0, x1 = max(0, -x), min(width, rows.shape[1] - x)
    y0, y1 = max(0, -y), min(height, rows.shape[0] - y)
    if x0 < x1 and y0 < y1:
        lay(rows[y + y0 : y + y1, x + x0 : x + x1], keep[y0:y1, x0:x1], add[y0:y1, x0:x1])
