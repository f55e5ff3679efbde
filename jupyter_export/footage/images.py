"""Footage from image files: a folder, a pattern or a list of them."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator
from os import PathLike, fspath
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import SourceMissing, SourceUnreadable
from .store import Frame, Rate, keep

__all__ = ["from_images"]

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
#: Pillow goes by the content, and has Ghostscript run what is PostScript.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF")
_GREY = {"1", "L", "LA"}


def from_images(
    images: str | PathLike[str] | Iterable[str | PathLike[str]],
    fps: Rate,
    *,
    folder: str | PathLike[str] | None = None,
) -> str:
    """A video of image files, one frame each; gives its path, for `clip`, `source` and the like.

    `images` is a folder, a pattern such as ``"shots/*.png"``, or the files in their order. Files
    of a folder or a pattern are sorted by their names as people count: ``img2`` before ``img10``.
    They are turned upright as their Exif data says; transparency is left out. All have one size.
    The video is kept as by `from_frames`.

    Raises:
        SourceMissing, SourceUnreadable: there are no such files, or one is no image.
        SpecError: one has another size than the first.
        OutputError: the folder cannot be written.
    """
    files = _files(images)
    # One frame of colour makes all of them colour.
    grey = all(_is_grey(path) for path in files)
    return keep(_pictures(files, grey=grey), fps, folder)


def _files(images: str | PathLike[str] | Iterable[str | PathLike[str]]) -> list[Path]:
    if not isinstance(images, str | PathLike):
        found = [Path(image) for image in images]
    else:
        named = Path(images)
        if named.is_dir():
            found = [path for path in named.iterdir() if path.suffix.lower() in _SUFFIXES]
        else:
            found = [Path(name) for name in glob.glob(fspath(images), recursive=True)]  # noqa: PTH207 (absolute patterns)
        found.sort(key=_natural)
    if not found:
        raise SourceMissing(
            f"There are no images in {images!r}.", "Check the folder or the pattern."
        )
    return found


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(p), "") if p.isdigit() else (1, 0, p.lower()) for p in parts]


def _is_grey(path: Path) -> bool:
    with _opened(path) as image:
        return image.mode in _GREY or image.mode.startswith("I;16")


def _pictures(files: Iterable[Path], *, grey: bool) -> Iterator[Frame]:
    for path in files:
        with _opened(path) as image:
            if image.mode.startswith("I;16"):
                # Pillow cuts 16 bits off at 255 instead of scaling them.
                wide = np.asarray(image).astype(np.uint32)
                image = Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8))
            try:
                upright = ImageOps.exif_transpose(image) or image
                yield np.asarray(upright.convert("L" if grey else "RGB"))
            except (OSError, SyntaxError, ValueError) as error:
                raise _unreadable(path, error) from None


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=_FORMATS)
    except FileNotFoundError:
        raise SourceMissing(f"There is no file {str(path)!r}.", "Check its name.") from None
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> SourceUnreadable:
    return SourceUnreadable(
        f"{path.name!r} is no image that can be read: {error}.", "Leave it out."
    )
