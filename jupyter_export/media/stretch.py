"""Slow sound down at its own pitch: waveform-similarity overlap-add (Verhelst and Roelands, 1993).

FFmpeg's atempo halves at most; several in a row come out up to a tenth of a second early. Here one
stage does any rate, and every window stands around the time that it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Samples", "stretched"]

Samples = NDArray[np.float32]
"""(channels, samples), full scale at ±1."""

Mono = NDArray[np.floating[Any]]

#: Half a window, in seconds: two periods of the deepest voices fit into a whole one.
_HALF = Fraction(1, 50)
#: How far a window may be moved to fit the one before, in seconds: half a period of 60 Hz.
_SEARCH = Fraction(1, 120)
#: The first search looks at every so many samples.
_COARSE = 4
#: How well a place must fit, against the best one: usually, and where the loudness changes.
_FINE, _FAIR = 0.98, 0.7
#: The quietest place has this part of the loudest one's energy where the loudness does not change.
_STEADY = 0.5


def stretched(
    blocks: Iterable[NDArray[np.float32]], rate: Fraction, sample_rate: int, length: int
) -> Iterator[Samples]:
    """`blocks`, together `length` samples, at `rate` times their speed, which is less than 1.

    At least ``length / rate`` samples come out, and less than a window more.
    """
    half = round(_HALF * sample_rate)
    stretch = _Stretch(rate, half, round(_SEARCH * sample_rate), length)
    for block in blocks:
        yield from stretch.push(block)
    yield from stretch.finish()


class _Stretch:
    def __init__(self, rate: Fraction, half: int, search: int, length: int) -> None:
        self._rate = rate
        self._half = half
        self._search = search
        self._length = length
        self._last = ceil(length / rate / half) + 1
        """Windows beyond the first."""
        rising = np.sin(np.arange(half, dtype=np.float32) * np.float32(np.pi / 2 / half)) ** 2
        self._rising, self._falling = rising, 1 - rising
        self._buffer: Samples = np.zeros((0, 0), np.float32)
        self._begin = -half - search
        """Number of the buffer's first sample; those before 0 are silent."""
        self._count = 0
        """Windows so far; number k stands around k · half of what comes out."""
        self._centre = 0
        """Where the last one was taken from."""
        self._tail: Samples | None = None

    def push(self, block: NDArray[np.float32]) -> Iterator[Samples]:
        if not self._buffer.shape[0]:
            self._buffer = np.zeros((block.shape[0], -self._begin), np.float32)
        self._buffer = np.concatenate([self._buffer, block], axis=1)
        end = self._begin + self._buffer.shape[1]
        while self._count <= self._last and self._needed() <= end:
            result = self._window()
            if result is not None:
                yield result

    def finish(self) -> Iterator[Samples]:
        channels = self._buffer.shape[0]
        if channels:
            silence = self._length + 3 * self._half + self._search
            missing = silence - (self._begin + self._buffer.shape[1])
            yield from self.push(np.zeros((channels, max(0, missing)), np.float32))

    def _ideal(self) -> int:
        """The middle of the next window in the source, which stays inside of it."""
        ideal = round(self._count * self._half * self._rate)
        return max(0, min(ideal, self._length - self._half))

    def _needed(self) -> int:
        return max(self._ideal() + self._half + self._search, self._centre + 2 * self._half)

    def _window(self) -> Samples | None:
        """Half a window's samples, which are finished now; None after the first window."""
        ideal = self._ideal()
        self._centre = ideal + self._shift(ideal) if self._count else ideal
        window = self._cut(self._centre - self._half, self._centre + self._half)
        result = None
        if self._tail is not None:
            result = self._tail + window[:, : self._half] * self._rising
        self._tail = window[:, self._half :] * self._falling
        self._count += 1
        self._forget()
        return result

    def _shift(self, ideal: int) -> int:
        """From `ideal` to where the source is most like what would have come next."""
        half, search = self._half, self._search
        # All channels together; unevenly, since those of opposite phase would cancel out.
        uneven = 1 - np.arange(self._buffer.shape[0], dtype=np.float32) / 10
        after = uneven @ self._cut(self._centre, self._centre + 2 * half)
        around = uneven @ self._cut(ideal - half - search, ideal + half + search)
        if not after.any() or not around.any():
            return 0
        coarse = self._best(after[::_COARSE], around[::_COARSE])
        middle = coarse * _COARSE
        low = max(0, middle - _COARSE + 1)
        near = around[low : middle + _COARSE - 1 + 2 * half]
        fine = int(np.argmax(_likeness(after, near)[0]))
        return low + fine - search

    @staticmethod
    def _best(after: Mono, around: Mono) -> int:
        """The place that fits best; of those that fit as well, the one nearest to the middle.

        Where a sound begins or ends, what would have come next is more of what follows: the best
        place is always later, and the edge would come too early. There, what fits fairly well
        and is near the middle is better.
        """
        likeness, energy = _likeness(after, around)
        inner = likeness[1:-1]
        peaks = np.flatnonzero((inner >= likeness[:-2]) & (inner >= likeness[2:])) + 1
        loudest, quietest = max(energy.max(), after @ after), min(energy.min(), after @ after)
        enough = _FINE if quietest > _STEADY * loudest else _FAIR
        good = peaks[likeness[peaks] >= enough * likeness.max()]
        if not len(good):
            return int(np.argmax(likeness))
        return int(good[np.argmin(np.abs(good - len(likeness) // 2))])

    def _cut(self, start: int, end: int) -> Samples:
        return self._buffer[:, start - self._begin : end - self._begin]

    def _forget(self) -> None:
        keep = min(self._ideal() - self._half - self._search, self._centre)
        if keep - self._begin > self._buffer.shape[1] // 2:
            self._buffer = self._buffer[:, keep - self._begin :]
            self._begin = keep


def _likeness(what: Mono, where: Mono) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The normalised correlation of `what` with each part of `where` of its length, and the energy
    of each part."""
    product = np.correlate(where, what, "valid").astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(where.astype(np.float64) ** 2)])
    energy = sums[len(what) :] - sums[: -len(what)]
    scale = np.sqrt(np.maximum(energy, 1e-12) * max(1e-12, float(what @ what)))
    return product / scale, energy
