"""Clips that flash and beep together, and the measuring of how far the two have drifted apart."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from support import decode, ffmpeg, samples

LIMIT = 0.025
"""Seconds; ITU-R BT.1359 finds 45 ms of early sound just detectable."""


def flash_and_beep(
    folder: Path,
    name: str,
    *codecs: str,
    shift: float = 0.0,
    rate: Fraction = Fraction(25),
    period: Fraction = Fraction(1),
    seconds: int = 30,
    size: str = "320x180",
    sound: str = "anull",
) -> None:
    """White and 1 kHz for 0.2 s at the beginning of every `period`, else black and silent.

    A `period` must be a whole number of frames. `shift` delays the sound; `sound` is a filter that
    it goes through.
    """
    # A little less than the time of a frame: floats must not lose the first one.
    early = float(1 / rate / 4)
    beep = f"0.125*sin(2000*PI*t)*lt(mod(t\\,{float(period)})\\,0.2)"
    ffmpeg(
        *("-f", "lavfi", "-i", f"color=black:s={size}:r={rate}:d={seconds}"),
        *("-itsoffset", str(shift)),
        *("-f", "lavfi", "-i", f"aevalsrc={beep}:s=48000:d={seconds}"),
        "-filter_complex",
        f"[0:v]drawbox=c=white:t=fill:enable='lt(mod(t+{early},{float(period)}),0.2)'[v];"
        f"[1:a]{sound}[a]",
        *("-map", "[v]", "-map", "[a]", "-c:v", "libx264", "-g", "50", *codecs, folder / name),
    )


def offsets_of(path: Path) -> np.ndarray:
    """Beep minus flash, in seconds, for each flash that has a beep near it."""
    flashes, beeps = onsets_of(path)
    pairs = [(f, beeps[np.argmin(np.abs(beeps - f))]) for f in flashes]
    offsets = np.array([b - f for f, b in pairs])
    # What begins inside a beep has no onset of its own.
    return offsets[np.abs(offsets) < 0.4]


def onsets_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    out = decode(path)
    bright = out.luma.mean(axis=(1, 2)) > 128
    flashes = [
        float(out.times[k]) for k in range(1, len(bright)) if bright[k] and not bright[k - 1]
    ]
    if bright[0]:
        flashes.insert(0, float(out.times[0]))
    sound, start = samples(path)
    window = 48
    usable = len(sound) // window * window
    loud = np.abs(sound[:usable]).reshape(-1, window).max(axis=1) > 0.05
    edges = [k for k in range(20, len(loud)) if loud[k] and not loud[k - 20 : k].any()]
    return np.array(flashes), np.array([start + k * window / 48000 for k in edges])
