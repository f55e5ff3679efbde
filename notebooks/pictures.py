"""Frames of a video side by side, for the notebooks."""

from __future__ import annotations

import io
from collections.abc import Iterable
from os import PathLike, fspath

import av
from IPython.display import Image as Shown
from PIL import Image

__all__ = ["strip"]


def strip(path: str | PathLike[str], times: Iterable[float], height: int = 180) -> Shown:
    """What `path` shows at each of `times` (seconds), from left to right, `height` pixels high."""
    wanted = list(times)
    found: dict[float, Image.Image] = {}
    with av.open(fspath(path)) as video:
        for frame in video.decode(video=0):
            found |= {
                t: frame.to_image() for t in wanted if t not in found and frame.time > t - 0.02
            }
            if len(found) == len(set(wanted)):
                break
    shown = [found[time] for time in wanted if time in found]
    small = [image.resize((image.width * height // image.height, height)) for image in shown]
    row = Image.new("RGB", (sum(image.width + 6 for image in small) - 6, height), "white")
    left = 0
    for image in small:
        row.paste(image, (left, 0))
        left += image.width + 6
    data = io.BytesIO()
    row.save(data, "JPEG", quality=80)
    return Shown(data.getvalue(), format="jpeg", alt=f"Frames of {fspath(path)}")
