"""HDR and wide-gamut colour to SDR BT.709: the formulae, and the table that libavfilter applies.

PQ (BT.2100 table 4) is display light as it is. HLG (BT.2100 table 5) is scene light; its OOTF for
a display of 1000 cd/m² (system gamma 1.2) makes it display light. Light is then compressed by the
EETF of BT.2390-11, 5.4.1, from the peak of the mastering display to HDR reference white, 203 cd/m²
(BT.2408-7, table 1), which becomes SDR's white. The EETF works on the largest of R, G and B, and
all three are scaled alike: hue and saturation stay. BT.2020 primaries become BT.709's by the
matrix of BT.2407-0, 2.2, what lies outside of them is clipped, and the inverse of BT.1886's
EOTF (gamma 2.4, black 0) gives the SDR signal. Wide-gamut SDR takes the last steps alone.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from .facts import Colour

__all__ = ["BT709", "DEEP_RGB", "HLG", "PQ", "is_hdr", "is_wide", "table", "to_sdr"]

#: Code points of ISO/IEC 23091-2.
PQ, HLG = 16, 18
_BT2020 = 9
#: Limited range, and everything BT.709.
BT709 = Colour(range=1, space=1, primaries=1, transfer=1)

REFERENCE_WHITE = 203.0
"""cd/m²."""
USUAL_PEAK = 1000
"""cd/m², where a PQ file names no mastering display; always for HLG."""

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_HLG_GAMMA = 1.2
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593])
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)
_SDR_GAMMA = 2.4

_LEVEL = 8
"""Of the table: 64 steps a side, laid out as a picture of 512×512."""
DEEP_RGB = "rgb48le"
"""What the table works on. Not on planes: haldclut takes those of its table for others."""

Floats = NDArray[np.float64]


def is_hdr(colour: Colour) -> bool:
    """Whether samples are PQ or HLG."""
    return colour.transfer in (PQ, HLG)


def is_wide(colour: Colour) -> bool:
    """Whether they are HDR, or have BT.2020's primaries."""
    return is_hdr(colour) or colour.primaries == _BT2020


def to_sdr(rgb: Floats, colour: Colour, peak: int) -> Floats:
    """R'G'B' of BT.709 for R'G'B' of `colour`: (…, 3), both from 0 to 1.

    `peak` is the mastering display's luminance in cd/m²; 0 is not known.
    """
    if is_hdr(colour):
        if colour.transfer == PQ:
            light = _pq_light(rgb)
            peak = peak or USUAL_PEAK
        else:
            light = _hlg_light(rgb)
            peak = USUAL_PEAK
        largest = light.max(axis=-1, keepdims=True)
        scale = _compressed(largest, peak) / np.maximum(largest, 1e-6)
        linear = light * scale / REFERENCE_WHITE
    else:
        linear = rgb**_SDR_GAMMA
    if is_wide(colour):
        linear = linear @ _TO_BT709.T
    return np.asarray(np.clip(linear, 0, 1) ** (1 / _SDR_GAMMA))


def _pq_light(signal: Floats) -> Floats:
    power = signal ** (1 / _M2)
    ratio = np.maximum(power - _C1, 0) / (_C2 - _C3 * power)
    return np.asarray(10000 * ratio ** (1 / _M1))


def _pq_signal(light: Floats) -> Floats:
    power = (light / 10000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def _hlg_light(signal: Floats) -> Floats:
    bright = (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12
    scene = np.where(signal <= 0.5, signal**2 / 3, bright)
    luminance = np.maximum(scene @ _LUMINANCE, 1e-9)[..., None]
    return np.asarray(USUAL_PEAK * luminance ** (_HLG_GAMMA - 1) * scene)


def _compressed(light: Floats, peak: int) -> Floats:
    """The EETF: a straight line up to the knee, then a Hermite spline to the target's peak."""
    top = _pq_signal(np.array(float(peak)))
    limit = float(_pq_signal(np.array(REFERENCE_WHITE)) / top)
    if limit >= 1:
        return np.minimum(light, REFERENCE_WHITE)
    signal = np.minimum(_pq_signal(light) / top, 1)
    knee = 1.5 * limit - 0.5
    t = np.clip((signal - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * limit
    )
    return _pq_light(np.where(signal < knee, signal, spline) * top)


def table(colour: Colour, peak: int) -> VideoFrame:
    """`to_sdr` as a picture for libavfilter's haldclut: red changes fastest, then green."""
    samples = _samples(colour.transfer, colour.primaries, peak)
    side = _LEVEL**3
    frame = VideoFrame(side, side, DEEP_RGB)
    rows = np.frombuffer(memoryview(frame.planes[0]), "<u2").reshape(side, -1)
    rows[:, : 3 * side] = samples
    frame.colorspace, frame.color_range = 0, 2  # RGB, full range
    frame.pts = 0
    return frame


@lru_cache(maxsize=4)
def _samples(transfer: int, primaries: int, peak: int) -> NDArray[np.uint16]:
    """(row, 3 · column): R, G and B of each point in turn."""
    steps = np.linspace(0, 1, _LEVEL**2)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    rgb = np.stack([red, green, blue], axis=-1)
    result = to_sdr(rgb, Colour(transfer=transfer, primaries=primaries), peak)
    return np.rint(result.reshape(_LEVEL**3, -1) * 65535).astype(np.uint16)
