"""One frame of a file as a small JPEG."""

from __future__ import annotations

import io
import os
from contextlib import closing
from fractions import Fraction
from pathlib import Path

from PIL import Image

from ..errors import SourceUnreadable
from .effects.base import Picture
from .graph import Convert
from .open import MAX_PIXELS, opened
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
    if path.suffix.lower() == ".webp":
        return _jpeg(_first_of_webp(path), width)
    source = probe(path)
    video = source.video
    first = source.origin + int(Fraction(start) / video.time_base)
    last = first + int(_WITHIN / video.time_base)
    with closing(Reader(path, video.index)) as reader:
        frame = next(reader.frames(first, last))
        size = _shrunk(video.upright_width, video.upright_height, width)
        picture = Picture(width=size[0], height=size[1], pix_fmt="rgb24")
        convert = Convert(video, picture, turn=True, own=video.colour, colour=BT709)
        image = convert(frame).to_image()  # type: ignore[no-untyped-call]
    return _jpeg(image, width)


def _first_of_webp(path: Path) -> Image.Image:
    """FFmpeg writes animated WebP, but does not read it."""
    try:
        with (
            opened(path) as descriptor,
            os.fdopen(os.dup(descriptor), "rb") as file,
            Image.open(file, formats=["WEBP"]) as image,
        ):
            if image.width * image.height > MAX_PIXELS:
                raise OSError("the picture is too large")
            return image.convert("RGB")
    except (OSError, ValueError) as error:
        raise SourceUnreadable(
            f"{path.name!r} cannot be shown: {error}.", "Export it again."
        ) from None


def _shrunk(width: int, height: int, most: int) -> tuple[int, int]:
    shrink = min(1.0, most / width)
    return max(2, round(width * shrink)), max(2, round(height * shrink))


def _jpeg(image: Image.Image, width: int) -> bytes:
    size = _shrunk(image.width, image.height, width)
    data = io.BytesIO()
    (image if size == image.size else image.resize(size)).save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()
