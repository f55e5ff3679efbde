"""Where footage is kept: one file per content, named by its digest, written by one rename."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable
from fractions import Fraction
from os import PathLike
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from ..errors import OutputError, SpecError

__all__ = ["FOLDER", "FPS_LIMIT", "Frame", "Rate", "keep", "rate_of"]

FOLDER = "jupyter_export_footage"
"""Beside the notebook or script; safe to delete when no export needs it any more."""

FPS_LIMIT = 240

Rate = float | Fraction | str
"""Frames per second: 25, 29.97, Fraction(30000, 1001) or ``"30000/1001"``."""

Frame = npt.NDArray[np.uint8]
"""(height, width) of grey, or (height, width, 3) of red, green and blue."""


def rate_of(fps: Rate) -> Fraction:
    """The exact rate.

    Raises:
        SpecError: it is none.
    """
    try:
        rate = Fraction(fps).limit_denominator(100_000)
    except (ValueError, TypeError, ZeroDivisionError, OverflowError):
        rate = Fraction(0)
    if not 0 < rate <= FPS_LIMIT:
        raise SpecError(
            f"{fps!r} is no rate of frames.",
            f"Give frames per second, more than 0 and at most {FPS_LIMIT}.",
            field="fps",
        )
    return rate


def keep(frames: Iterable[Frame], fps: Rate, folder: str | PathLike[str] | None) -> str:
    """Encode `frames`, all of one shape, and give the path of the file, as it was given or
    relative to the present folder.

    Grey and colour are kept exactly: FFV1 in Matroska, colour as R'G'B' of 8 bits. A side with an
    odd number of pixels gets one more column or row, a copy of the last one: video has pairs.

    Raises:
        SpecError: there is no frame, or one of another shape than the first.
        OutputError: the folder cannot be written.
    """
    rate = rate_of(fps)
    place = Path(FOLDER if folder is None else folder)
    part = place / f".{secrets.token_hex(8)}.part"
    try:
        place.mkdir(parents=True, exist_ok=True)
        digest = _encode(frames, rate, part)
        path = place / f"{digest}.mkv"
        # The same content again, perhaps while an export reads it: the file stays.
        if not path.exists():
            os.replace(part, path)  # noqa: PTH105 (one step, also over a file that came meanwhile)
        return path.as_posix()
    except OSError as error:
        raise OutputError(
            f"Footage cannot be kept in {str(place)!r}: {error.strerror or error}.",
            "Give folder, a folder below the server's root that can be written.",
        ) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _encode(frames: Iterable[Frame], rate: Fraction, part: Path) -> str:
    """Write the frames; gives the digest of rate, shape and content."""
    first: tuple[int, ...] | None = None
    known = hashlib.sha256()
    with av.open(f"file:{part}", "w", format="matroska", options={"fflags": "+bitexact"}) as file:
        stream = None
        for number, frame in enumerate(frames):
            if first is None:
                first = frame.shape
                known.update(f"{rate} {first}".encode())
                stream = file.add_stream("ffv1", rate=rate)
                stream.height, stream.width = (side + side % 2 for side in first[:2])
                stream.pix_fmt = "gray" if len(first) == 2 else "bgr0"
                stream.time_base = 1 / rate
                context = stream.codec_context
                context.time_base = 1 / rate
                context.options = {"level": "3", "slicecrc": "1", "slices": "4"}
                context.thread_type = "SLICE"
            if frame.shape != first:
                raise SpecError(
                    f"Frame {number} has the shape {frame.shape}, the first one {first}.",
                    "Give frames of one size and one number of channels.",
                    field=f"frames[{number}]",
                )
            assert stream is not None
            known.update(np.ascontiguousarray(frame).data)
            even = np.pad(frame, _padding(frame), mode="edge")
            picture = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(even), format="gray" if even.ndim == 2 else "rgb24"
            )
            picture = picture.reformat(format=stream.pix_fmt)
            picture.pts, picture.time_base = number, 1 / rate
            file.mux(stream.encode(picture))
        if first is None or stream is None:
            raise SpecError("There is no frame.", "Give at least one.", field="frames")
        file.mux(stream.encode(None))
    return known.hexdigest()[:32]


def _padding(frame: Frame) -> list[tuple[int, int]]:
    height, width = frame.shape[:2]
    return [(0, height % 2), (0, width % 2), *[(0, 0)] * (frame.ndim - 2)]
