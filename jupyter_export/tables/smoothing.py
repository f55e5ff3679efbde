"""Take the jitter out of tracks, and say them with few keyframes."""

from __future__ import annotations

from itertools import pairwise
from math import pi
from typing import Literal

import numpy as np

from ..errors import SpecError
from ..media.path import Path
from .columns import Floats

__all__ = ["Smoothing", "one_euro", "reduced", "smoothed"]

Smoothing = Literal["gaussian", "savgol", "one_euro"]


def smoothed(
    times: Floats, values: Floats, method: Smoothing | None, seconds: float = 0.5
) -> Floats:
    """`values` (n, k) at `times` (n,), which need not be even, without their jitter.

    ``gaussian``: a line is fitted around each time, with weights of a Gaussian whose standard
    deviation is a quarter of `seconds`; ``savgol``: a parabola, with equal weights, to what is
    within half of `seconds` (for even times, the filter of Savitzky and Golay 1964), which
    follows sharp moves closer; ``one_euro``: `one_euro`, which looks only back. None: as it is.

    Raises:
        SpecError: there is no such method.
    """
    if method is None or len(times) < 3 or seconds <= 0:
        return values
    if method == "one_euro":
        return one_euro(times, values, min_cutoff=1 / (2 * pi * seconds / 4))
    if method not in ("gaussian", "savgol"):
        raise SpecError(
            f"There is no smoothing {method!r}.",
            "Use gaussian, savgol, one_euro, or None.",
            field="smooth",
        )
    gaussian = method == "gaussian"
    reach = seconds * (3 / 4 if gaussian else 1 / 2)
    first = np.searchsorted(times, times - reach - 1e-9)
    last = np.searchsorted(times, times + reach + 1e-9)
    result = np.empty_like(values)
    for i, time in enumerate(times):
        near = slice(first[i], last[i])
        offsets = (times[near] - time) / reach
        degree = min(1 if gaussian else 2, len(offsets) - 1)
        weights = np.exp(-0.5 * (offsets * 3) ** 2) if gaussian else np.ones_like(offsets)
        powers = np.vander(offsets, degree + 1, increasing=True)
        root = np.sqrt(weights)[:, None]
        fit = np.linalg.lstsq(powers * root, values[near] * root, rcond=None)[0]
        result[i] = fit[0]
    return result


def one_euro(
    times: Floats,
    values: Floats,
    *,
    min_cutoff: float = 1.0,
    beta: float = 0.01,
    speed_cutoff: float = 1.0,
) -> Floats:
    """The 1 € filter (Casiez, Roussel and Vogel, CHI 2012) on each column of `values` (n, k).

    A low-pass filter whose cutoff, in Hz, is ``min_cutoff + beta · speed``: calm where things
    are slow, quick where they are fast; `speed_cutoff` smooths the speed.
    """

    def share(cutoff: Floats | float, step: float) -> Floats | float:
        return 1 / (1 + 1 / (2 * pi * cutoff * step))

    result = values.astype(np.float64, copy=True)
    speed = np.zeros(values.shape[1])
    for i in range(1, len(times)):
        step = float(times[i] - times[i - 1])
        own = (values[i] - result[i - 1]) / step
        speed += share(speed_cutoff, step) * (own - speed)
        part = share(min_cutoff + beta * np.abs(speed), step)
        result[i] = result[i - 1] + part * (values[i] - result[i - 1])
    return result


def reduced(times: Floats, values: Floats, tolerance: float) -> list[int]:
    """The indices of few keyframes whose spline passes all `values` (n, k) within `tolerance`.

    Beginning with the first and the last, the worst value between two keyframes becomes one
    until none is further off than `tolerance`.
    """
    kept = [0, len(times) - 1] if len(times) > 1 else [0]
    points = [tuple(map(float, row)) for row in values]
    while True:
        path = Path(tuple(float(times[i]) for i in kept), tuple(points[i] for i in kept))
        spline = np.array([path.at(float(time)) for time in times])
        errors = np.abs(spline - values).max(axis=1)
        worst = [
            first + 1 + int(errors[first + 1 : last].argmax())
            for first, last in pairwise(kept)
            if last > first + 1 and errors[first + 1 : last].max() > tolerance
        ]
        if not worst:
            return kept
        kept = sorted({*kept, *worst})
