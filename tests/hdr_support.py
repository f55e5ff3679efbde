"""HDR as SDR by the standards' formulae, pixel by pixel: what the tests hold ours against."""

from __future__ import annotations

from math import exp
from pathlib import Path

import numpy as np

_SIDE = 33


def pq(signal: float) -> float:
    """SMPTE ST 2084: cd/m²."""
    p = signal ** (32 / 2523)
    return 1e4 * (max(p - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * p)) ** (8192 / 1305)


def pq_back(light: float) -> float:
    p = (light / 1e4) ** (1305 / 8192)
    return ((107 / 128 + 2413 / 128 * p) / (1 + 2392 / 128 * p)) ** (2523 / 32)


def _eetf(light: float, peak: float) -> float:
    """BT.2390, 5.4.1, to 203 cd/m², without a black level."""
    top = pq_back(peak)
    e, most = min(pq_back(light) / top, 1), pq_back(203) / top
    knee = 1.5 * most - 0.5
    if e >= knee:
        t = (e - knee) / (1 - knee)
        e = (
            (2 * t**3 - 3 * t**2 + 1) * knee
            + (t**3 - 2 * t**2 + t) * (1 - knee)
            + (-2 * t**3 + 3 * t**2) * most
        )
    return pq(e * top)


def sdr(signal: np.ndarray, transfer: str, peak: float) -> list[float]:
    """One pixel of HDR as SDR R'G'B' of BT.709."""
    if transfer == "smpte2084":
        light = [pq(float(s)) for s in signal]
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = [s * s / 3 if s <= 0.5 else (exp((s - c) / a) + b) / 12 for s in signal]
        y = 0.2627 * scene[0] + 0.678 * scene[1] + 0.0593 * scene[2]
        light = [1000 * y**0.2 * s if y else 0.0 for s in scene]
    most = max(light)
    if not most:
        return [0.0] * 3
    r, g, b = (v * _eetf(most, peak) / most / 203 for v in light)
    linear = (
        1.6605 * r - 0.5876 * g - 0.0728 * b,
        -0.1246 * r + 1.1329 * g - 0.0083 * b,
        -0.0182 * r - 0.1006 * g + 1.1187 * b,
    )
    return [min(max(v, 0), 1) ** (1 / 2.4) for v in linear]


def write_cube(path: Path, transfer: str, peak: float) -> None:
    """`sdr` as a table for FFmpeg's lut3d: red changes fastest."""
    steps = np.linspace(0, 1, _SIDE)
    points = (np.array([r, g, b]) for b in steps for g in steps for r in steps)
    rows = (sdr(point, transfer, peak) for point in points)
    lines = (" ".join(f"{value:.6f}" for value in row) for row in rows)
    path.write_text(f"LUT_3D_SIZE {_SIDE}\n" + "\n".join(lines) + "\n")
