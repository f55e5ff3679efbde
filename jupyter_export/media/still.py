"""One frame of a file as a small JPEG."""

from __future__ import annotations

import io
from contextlib import closing
from fractions import Fraction
from pathlib import Path

from .effects.base import Picture
from .graph import Convert
from .probe import probe
from .reader import Reader
from .tone import BT709

__all__ = ["still"]

#: The frame is the first one within so many seconds: some films have long gaps.
_WITHIN = 10
_QUALITY = 80


def still(path: Path, start: float, width: int) -> bytes:
    """The frame shown `start` seconds after the first one, at most `width` pixels wide.

    Raises:
        SourceMissing, SourceUnreadable: there is no such file, or no such frame in it.
    """
    source = probe(path)
    video = source.video
    first = source.origin + int(Fraction(start) / video.time_base)
    last = first + int(_WITHIN / video.time_base)
    with closing(Reader(path, video.index)) as reader:
        frame = next(reader.frames(first, last))
        shrink = min(1.0, width / video.upright_width)
        size = Picture(
            width=max(2, round(video.upright_width * shrink)),
            height=max(2, round(video.upright_height * shrink)),
            pix_fmt="rgb24",
        )
        convert = Convert(video, size, turn=True, own=video.colour, colour=BT709)
        image = convert(frame).to_image()  # type: ignore[no-untyped-call]
    data = io.BytesIO()
    image.save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()
