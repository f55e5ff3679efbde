"""Cut a picture into overlapping windows of one shape, whose middles make up the whole of it.

Windows lie inside the picture: at its border a network then pads as it does for the whole
picture, and elsewhere a halo hides that the window ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from .shape import Shape

__all__ = ["MIN_TILE", "Layout", "Span", "choose", "spans"]

MIN_TILE = 64
"""Smaller tiles would be mostly halo."""

_SIDES = (2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, MIN_TILE)
_MAX_BATCH = 8


@dataclass(frozen=True)
class Span:
    """A window along one side, and the part of it that is used; in pixels of the picture."""

    start: int
    stop: int
    first: int
    last: int
    """The used part ends before it."""


@dataclass(frozen=True)
class Layout:
    """How a picture is cut: tiles of at most `tile` pixels a side without halo, `batch` at once."""

    tile: int
    batch: int

    def smaller(self, width: int, height: int) -> Layout | None:
        """Half the batch, or else half the tile; None when there is nothing left to halve."""
        if self.batch > 1:
            return replace(self, batch=self.batch // 2)
        used = min(self.tile, max(width, height))
        if used > MIN_TILE:
            return replace(self, tile=max(MIN_TILE, used // 2))
        return None


def spans(length: int, tile: int, halo: int, multiple: int = 1) -> list[Span]:
    """Cover `length` pixels with as few windows of at most ``tile + 2·halo`` as can be.

    All are of the same length; starts and lengths are multiples of `multiple`, as `length` is.
    The cut between two windows is in the middle of what they share, `halo` or more from the end
    of each.
    """
    tile = _up(tile, multiple)
    halo = _up(halo, multiple)
    count = max(1, -(-(length - 2 * halo) // tile))
    window = min(length, _up(-(-(length + 2 * halo * (count - 1)) // count), multiple))
    room = (length - window) // multiple
    steps = max(1, count - 1)
    starts = [i * room // steps * multiple for i in range(count)]
    cuts = [
        0,
        *((b + a + window) // 2 for a, b in pairwise(starts)),
        length,
    ]
    return [
        Span(start, start + window, first, last)
        for start, first, last in zip(starts, cuts, cuts[1:], strict=False)
    ]


def choose(shape: Shape, width: int, height: int, value_bytes: int, budget: int) -> Layout:
    """The largest tiles whose inner values fit `budget` bytes, and as many of them at once.

    A pure function: a resumed export must cut its pictures as the first attempt did, so what is
    free at the moment does not count.
    """
    for tile in _SIDES:
        area, count = window_area(shape, width, height, tile)
        need = area * shape.live_values * value_bytes
        if need <= budget or tile == MIN_TILE:
            break
    most = max(1, min(_MAX_BATCH, count, budget // need))
    rounds = -(-count // most)
    return Layout(tile, -(-count // rounds))


def window_area(shape: Shape, width: int, height: int, tile: int) -> tuple[int, int]:
    """Pixels of one window (the halo included), and the number of windows."""
    across = spans(_up(width, shape.multiple), tile, shape.halo, shape.multiple)
    down = spans(_up(height, shape.multiple), tile, shape.halo, shape.multiple)
    area = (across[0].stop - across[0].start) * (down[0].stop - down[0].start)
    return area, len(across) * len(down)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
