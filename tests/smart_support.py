"""Sources for smart rendering, and whether what came out of it is exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from support import Exported, complaints, decode, ffmpeg, psnr

X264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", 25)
#: No two frames are alike: the pattern returns every second, but the white bar goes on.
LOOK = (
    "testsrc2=s=192x108:r={rate}:d={seconds}[a];color=white:s=8x40:r={rate}[b];"
    "[a][b]overlay=x=30*t:y=60:shortest=1,format={format}"
)


def made(
    path: Path, *options: Any, rate: str = "25", format: str = "yuv420p", seconds: int = 6
) -> Path:
    """A keyframe every 25 frames."""
    look = LOOK.format(rate=rate, format=format, seconds=seconds)
    ffmpeg("-f", "lavfi", "-i", look, *X264, *options, path)
    return path


def copied_frames(done: Exported) -> list[bool]:
    """For every frame of the output, whether it is a copy."""
    return [s["kind"] == "copy" for s in done.plan["segments"] for _ in range(s["frames"])]


def assert_exact(done: Exported, expected: np.ndarray) -> None:
    """Copied frames are the source's, bit by bit; the others are the right ones."""
    out = decode(done.path)
    copied = copied_frames(done)
    assert complaints(done.path) == ""
    assert len(out.times) == len(expected) == len(copied) == done.result["frames"]
    for k, (ours, theirs) in enumerate(zip(out.luma, expected, strict=True)):
        if copied[k]:
            assert (ours == theirs).all(), f"copied frame {k} differs"
        else:
            assert psnr(ours, theirs) > 34, f"rendered frame {k} is another one"
