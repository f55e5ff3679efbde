"""All that decides the content of one segment, and the name that follows from it.

A recipe is rendered by a pure function; its file is named after the hash of the recipe. Two
recipes that are equal give the same bytes (with a software encoder), so a finished segment is
found again after a crash, after a restart, and when a user changes another part of the timeline.
"""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from functools import cache
from typing import Annotated, Any, Literal

import av
import PIL
from pydantic import BaseModel, ConfigDict, Field

from .effects.base import Picture
from .facts import AudioFacts, Colour, Fingerprint, VideoFacts

__all__ = ["AudioRecipe", "CropRecipe", "EncoderRecipe", "SegmentRecipe", "digest", "versions"]

#: Raised whenever the renderer changes what it makes of an unchanged recipe.
RENDERER = 1


class _Recipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CropRecipe(_Recipe):
    """A crop, with the part of its path that decides this segment."""

    type: Literal["crop"] = "crop"
    times: tuple[float, ...]
    points: tuple[tuple[float, float, float, float], ...]
    interpolation: Literal["spline", "linear"]
    size: tuple[int, int]
    pix_fmt: str
    filter: Literal["bicubic", "bilinear"]


StepRecipe = Annotated[CropRecipe, Field()]


class EncoderRecipe(_Recipe):
    """An encoder with every setting that changes its output."""

    name: str
    options: dict[str, str]
    threads: int | None
    """Fixed for software, since it can change the bytes; None leaves it to the driver."""
    thread_type: str | None
    """FRAME or SLICE."""
    gop: int
    """The longest group of pictures, in frames."""
    hardware: bool


class SegmentRecipe(_Recipe):
    """Which frames of which source, what is done to them, and how they are encoded."""

    source: Fingerprint
    video: VideoFacts
    origin: int
    """Time stamp of the source's first shown frame."""
    first: int
    """Time stamp of the segment's first frame, in the source's time base."""
    stop: int
    """Where the segment ends: the time stamp after it."""
    rate: Fraction | None
    """Constant frame rate; None keeps the source's time stamps."""
    steps: tuple[StepRecipe, ...]
    picture: Picture
    """The shape of the encoded frames."""
    colour: Colour
    encoder: EncoderRecipe
    versions: dict[str, str]

    @property
    def time_base(self) -> Fraction:
        """Of the segment's own time stamps, which begin at 0."""
        return 1 / self.rate if self.rate else self.video.time_base


class AudioRecipe(_Recipe):
    """A range of an audio track, encoded."""

    source: Fingerprint
    audio: AudioFacts
    start: Fraction
    """Seconds on the container's clock; the output's time 0."""
    end: Fraction
    sample_rate: int
    layout: str
    codec: Literal["aac", "flac"]
    bit_rate: int
    """Bits per second; of no meaning for FLAC."""
    versions: dict[str, str]


def digest(recipe: _Recipe) -> str:
    """The name of the recipe's file: SHA-256 of its canonical JSON, 40 hexadecimal digits."""
    text = json.dumps(recipe.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@cache
def versions() -> dict[str, str]:
    """The libraries whose version can change the bytes of a segment."""
    libraries: dict[str, Any] = av.library_versions
    return {
        "renderer": str(RENDERER),
        "av": av.__version__,
        "pillow": PIL.__version__,
        **{name: ".".join(map(str, v)) for name, v in sorted(libraries.items())},
    }
