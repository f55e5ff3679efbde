"""The keywords that constructors and chains of specs share; and outputs that nobody named."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from numbers import Real
from os import PathLike, fspath
from pathlib import PurePosixPath
from typing import Literal, TypedDict

__all__ = ["CodingOptions", "EncodingOptions", "TableOptions", "default_output"]


class CodingOptions(TypedDict, total=False):
    """The fields of `Encoding`, but for the size."""

    codec: Literal["h264", "hevc", "av1"]
    quality: Literal["fast", "balanced", "quality", "lossless"]
    encoder: str
    fps: float | None
    audio: Literal["auto", "aac", "opus", "flac", "none"]
    smart: bool


class EncodingOptions(CodingOptions, total=False):
    """The fields of `Encoding`."""

    size: tuple[int, int] | None


class TableOptions(TypedDict, total=False):
    """How a table of boxes is read and smoothed: see `jupyter_export.tables.tracks`."""

    margin: float
    smooth: Literal["gaussian", "savgol", "one_euro"] | None
    seconds: float
    tolerance: float
    fps: float | Fraction | str | None
    times: Sequence[float] | None
    first_frame: int | None
    columns: Sequence[str] | None


def default_output(
    path: str | PathLike[str],
    start: float = 0.0,
    end: float | None = None,
    *,
    word: str = "export",
    quality: str = "",
) -> str:
    """The name of an output that nobody named: that of the source with its range, as MP4.

    ``match.mp4`` from 12 s to 20 s gives ``match-export-12-20.mp4``, beside it; what is lossless
    needs Matroska.
    """
    source = PurePosixPath(fspath(path))
    limits = ""
    # What is no number is refused later, with its field.
    if isinstance(start, Real) and isinstance(end, Real | None) and (start or end is not None):
        limits = f"-{start:g}" + ("" if end is None else f"-{end:g}")
    suffix = ".mkv" if quality == "lossless" else ".mp4"
    return str(source.with_name(f"{source.stem}-{word}{limits}{suffix}")) if source.name else ""
