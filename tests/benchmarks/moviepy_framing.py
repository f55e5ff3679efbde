"""What a notebook's loop does with MoviePy 2: a moving crop, scaled, with a label for a while.

python moviepy_framing.py SOURCE TARGET PRESET CRF LABEL_SECONDS framed|whole
Prints the seconds that it took, without the start of Python.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from moviepy import CompositeVideoClip, TextClip, VideoFileClip
from PIL import Image

SIZE = (1280, 720)


def main(source: str, target: str, preset: str, crf: str, label_seconds: str, shape: str) -> None:
    start = time.perf_counter()
    film = VideoFileClip(source, audio=False)

    def framed(frame_at: Callable[[float], Any], t: float) -> Any:
        x, y = 640 * t / film.duration, 360 * t / film.duration
        box = (x, y, x + SIZE[0], y + SIZE[1])
        return np.asarray(
            Image.fromarray(frame_at(t)).resize(SIZE, Image.Resampling.BICUBIC, box=box)
        )

    made = film
    if shape == "framed":
        made = film.transform(framed)
        made.size = SIZE
    if float(label_seconds):
        label = TextClip(text="Player 7", font_size=48, color="white", margin=(8, 8))
        label = label.with_position((60, 60)).with_duration(float(label_seconds))
        made = CompositeVideoClip([made, label], size=made.size)
    made.write_videofile(
        target,
        codec="libx264",
        preset=preset,
        ffmpeg_params=["-crf", crf],
        audio=False,
        logger=None,
    )
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
