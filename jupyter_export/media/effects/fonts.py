"""The fonts of this machine: which there are, and which has the letters that a text needs.

One font is shipped, DejaVu Sans: it is called sans and is the default, so that texts look the
same everywhere. Names in a spec are only ever compared with names of installed fonts.
"""

from __future__ import annotations

import os
import struct
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import ImageFont

__all__ = ["Font", "best", "find", "folders", "installed", "similar"]

_SHIPPED = Path(__file__).parent.parent / "fonts" / "DejaVuSans.ttf"
_SUFFIXES = {".ttf", ".otf", ".ttc", ".otc"}
# Of emoji fonts: Noto's, Apple's, and others.
_BITMAP_SIZES = (109, 136, 128, 160, 96, 64, 32)
_PLAIN = {"regular", "book", "roman", "normal", "medium", ""}


@dataclass(frozen=True)
class Font:
    """One face in a font file."""

    path: str
    index: int
    """Of the face, in a collection."""
    family: str
    style: str
    version: str
    """Tells two versions of a font apart: the file's size and its head table's checksum."""

    @property
    def name(self) -> str:
        """Family and style."""
        return f"{self.family} {self.style}".strip()

    @property
    def is_emoji(self) -> bool:
        """Whether it is made for emoji, in colour as a rule."""
        return "emoji" in self.family.lower()

    def has(self, characters: Iterable[str]) -> bool:
        """Whether it has a glyph for each of the characters."""
        starts, ends = _ranges(self.path, self.index)
        for character in characters:
            i = bisect_right(starts, ord(character)) - 1
            if i < 0 or ord(character) > ends[i]:
                return False
        return True

    def load(self, size: float) -> tuple[ImageFont.FreeTypeFont, float]:
        """For drawing with letters of `size` pixels; for a font of bitmaps one of its own sizes,
        with how to scale it, which is else 1.

        Raises:
            OSError: the font has none of the usual sizes.
        """
        return _load(self.path, self.index, size)


def _load(path: str, index: int, size: float) -> tuple[ImageFont.FreeTypeFont, float]:
    try:
        return ImageFont.truetype(path, size, index=index), 1.0
    except OSError:
        for own in _BITMAP_SIZES:
            try:
                return ImageFont.truetype(path, own, index=index), size / own
            except OSError:
                continue
        raise


def find(name: str) -> Font | None:
    """The font of that name (`sans`, a family, or a family with a style), in any case."""
    wanted = _key(name)
    if wanted in ("sans", "sansserif"):
        return _shipped()
    by_family = None
    for font in installed():
        if _key(font.name) == wanted:
            return font
        if by_family is None and _key(font.family) == wanted:
            by_family = font
    return by_family


def similar(name: str) -> list[str]:
    """Families whose name is near to `name`."""
    families = sorted({font.family for font in installed()})
    return get_close_matches(name, families, n=3, cutoff=0.5)


def best(characters: str, preferred: Font, *, emoji: bool) -> Font:
    """The font to draw these characters with, which belong together.

    `preferred` if it has them all; else, or for emoji, an emoji font, the shipped one, or any
    other; `preferred` again if none has them.
    """
    if not emoji and preferred.has(characters):
        return preferred
    for_emoji = [font for font in installed() if font.is_emoji]
    others = [font for font in installed() if not font.is_emoji]
    usual = [preferred, _shipped(), *others]
    candidates = [*for_emoji, *usual] if emoji else [*usual, *for_emoji]
    return next((font for font in candidates if font.has(characters)), preferred)


@cache
def installed() -> tuple[Font, ...]:
    """All fonts, plain sans-serif ones first."""
    fonts = [_shipped()]
    for path in sorted(_files()):
        fonts += _faces(path)
    return tuple(sorted(fonts, key=lambda f: (_rank(f), f.family, f.style, f.path)))


def _rank(font: Font) -> int:
    family, style = font.family.lower(), font.style.lower()
    plain = style in _PLAIN
    upright = "sans" in family and "condensed" not in style and "mono" not in family
    return (0 if plain else 2) + (0 if upright else 1)


@cache
def _shipped() -> Font:
    return _faces(_SHIPPED)[0]


def _key(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def folders() -> Iterator[Path]:
    """Where fonts may be."""
    home = Path.home()
    if sys.platform == "darwin":
        yield from (Path("/System/Library/Fonts"), Path("/Library/Fonts"))
        yield home / "Library/Fonts"
    elif sys.platform == "win32":
        yield Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts"
        yield home / "AppData/Local/Microsoft/Windows/Fonts"
    else:
        yield from (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
        yield from (home / ".local/share/fonts", home / ".fonts")
    yield Path(sys.prefix) / "fonts"  # conda's
    yield Path(sys.prefix) / "share/fonts"


def _files() -> set[Path]:
    found = set()
    for folder in folders():
        for where, _, names in os.walk(folder):
            fonts = (Path(where, n) for n in names if Path(n).suffix.lower() in _SUFFIXES)
            # What is no file, such as a pipe, may keep whoever opens it waiting for ever.
            found |= {path for path in fonts if path.is_file()}
    return found


def _faces(path: Path) -> list[Font]:
    faces = []
    try:
        with path.open("rb") as file:
            for index, offset in enumerate(_offsets(file)):
                checksum = _table(file, offset, b"head")[8:12].hex()
                family, style = _load(str(path), index, 16)[0].getname()
                version = f"{path.stat().st_size}-{checksum}"
                faces.append(Font(str(path), index, family or path.stem, style or "", version))
    except (OSError, struct.error, KeyError, ValueError):
        pass  # damaged, or with bitmaps of an unusual size
    return faces


def _offsets(file: BinaryIO) -> list[int]:
    file.seek(0)
    if file.read(4) != b"ttcf":
        return [0]
    file.seek(8)
    (count,) = struct.unpack(">I", file.read(4))
    return list(struct.unpack(f">{count}I", file.read(4 * count)))


def _table(file: BinaryIO, offset: int, wanted: bytes) -> bytes:
    """A table of an OpenType font (ISO/IEC 14496-22), whose face begins at `offset`."""
    file.seek(offset + 4)
    (count,) = struct.unpack(">H6x", file.read(8))
    for _ in range(count):
        tag, begin, length = struct.unpack(">4s4xII", file.read(16))
        if tag == wanted:
            file.seek(begin)
            return file.read(length)
    raise KeyError(wanted)


@cache
def _ranges(path: str, index: int) -> tuple[list[int], list[int]]:
    """First and last code points of the ranges for which the face's cmap has glyphs."""
    with Path(path).open("rb") as file:
        cmap = _table(file, _offsets(file)[index], b"cmap")
    (count,) = struct.unpack_from(">H", cmap, 2)
    subtables = {}
    for i in range(count):
        _, _, offset = struct.unpack_from(">HHI", cmap, 4 + 8 * i)
        (format,) = struct.unpack_from(">H", cmap, offset)
        subtables[format] = offset
    ranges = []
    if 12 in subtables:
        offset = subtables[12]
        (groups,) = struct.unpack_from(">I", cmap, offset + 12)
        values = struct.iter_unpack(">III", cmap[offset + 16 : offset + 16 + 12 * groups])
        ranges = [(first, last) for first, last, _ in values]
    elif 4 in subtables:
        offset = subtables[4]
        (twice,) = struct.unpack_from(">H", cmap, offset + 6)
        ends = struct.unpack_from(f">{twice // 2}H", cmap, offset + 14)
        starts = struct.unpack_from(f">{twice // 2}H", cmap, offset + 16 + twice)
        ranges = [pair for pair in zip(starts, ends, strict=True) if pair[0] != 0xFFFF]
    ranges.sort()
    return [first for first, _ in ranges], [last for _, last in ranges]
