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
from typing import Any, Literal

import av
import PIL
from pydantic import BaseModel, ConfigDict

from .effects.base import Picture
from .facts import AudioFacts, Colour, Fingerprint, VideoFacts
from .stamps import Stamps

__all__ = [
    "AnimationRecipe",
    "AudioCodec",
    "AudioPart",
    "AudioPiece",
    "AudioRecipe",
    "CopyRecipe",
    "EncoderRecipe",
    "MixRecipe",
    "SegmentRecipe",
    "StepRecipe",
    "StrandRecipe",
    "digest",
    "versions",
]

#: Raised whenever the renderer changes what it makes of an unchanged recipe.
RENDERER = 5


class _Recipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StepRecipe(_Recipe):
    """An effect, with the part of it that decides this segment."""

    type: str
    version: int
    params: dict[str, Any]
    """JSON, as the effect's `resolve` gave it."""
    picture: Picture
    """The shape of the frames that it gets."""


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


class StrandRecipe(_Recipe):
    """Frames of one source, after the effects on it."""

    source: Fingerprint
    video: VideoFacts
    origin: int
    """Time stamp of the source's first shown frame."""
    shown: Stamps
    """For every frame of the segment the time stamp of the source's frame, never falling."""
    steps: tuple[StepRecipe, ...]
    """In the time of the source."""
    picture: Picture
    """The shape of what it gives."""


class MixRecipe(_Recipe):
    """How the strands of a segment become one picture.

    With frame i of the segment at p = (offset + i) / length: *fade_out* shows the strand at
    1 − p over black, *fade_in* at p, *dissolve* the first strand at 1 − p and the second at p;
    *wipe* shows the second strand left of p of the width; *side_by_side* knows no p.
    """

    type: Literal["fade_out", "fade_in", "dissolve", "side_by_side", "wipe"]
    offset: int = 0
    length: int = 1


class SegmentRecipe(_Recipe):
    """Which frames of which sources, what is done to them, and how they are encoded."""

    strands: tuple[StrandRecipe, ...]
    mix: MixRecipe | None
    canvas: Picture
    """The shape after the mix, that the effects get."""
    effects: tuple[StepRecipe, ...]
    """In output time."""
    start: Fraction | None
    """Output time of the first frame in seconds; None where no effect asks for it."""
    rate: Fraction | None
    """Constant frame rate; None keeps the source's time stamps."""
    time_base: Fraction
    """Of `stamps`."""
    stamps: Stamps
    """Of the segment's frames, from 0."""
    picture: Picture
    """The shape of the encoded frames."""
    colour: Colour
    encoder: EncoderRecipe
    versions: dict[str, str]


class CopyRecipe(_Recipe):
    """Packets of one source that go into the output as they are; nothing is kept of them."""

    source: Fingerprint
    stream: int
    """Index of the track."""
    shown: Stamps
    """Time stamps of the source's frames, rising; the first one's packet comes first."""
    stamps: Stamps
    """Of the frames in the output, from 0, in `time_base`."""
    time_base: Fraction
    delay: int
    """By how many packets decoding is ahead of showing, at most."""
    bytes: int


AudioCodec = Literal["aac", "opus", "flac"]


class AudioPiece(_Recipe):
    """A range of a track at one speed, in seconds on the container's clock."""

    start: Fraction
    end: Fraction
    rate: Fraction
    """2 is twice as fast."""


class AudioPart(_Recipe):
    """What sounds during one clip."""

    source: Fingerprint | None
    """None is silence."""
    audio: AudioFacts | None
    pieces: tuple[AudioPiece, ...]
    length: Fraction
    """Seconds of output: what is missing is silent, what is more is cut."""
    fade_in: Fraction = Fraction(0)
    """Seconds at the beginning in which it rises, linearly."""
    fade_out: Fraction = Fraction(0)
    overlap: Fraction = Fraction(0)
    """Seconds of its beginning that are mixed with the end of the part before (a linear cross
    fade)."""


class AudioRecipe(_Recipe):
    """An audio track, encoded."""

    parts: tuple[AudioPart, ...]
    sample_rate: int
    layout: str
    codec: AudioCodec
    bit_rate: int
    """Bits per second; of no meaning for FLAC."""
    versions: dict[str, str]


class AnimationRecipe(_Recipe):
    """How a moving picture is encoded, from frames that nothing was taken from."""

    encoder: str
    """FFmpeg's name: gif or libwebp_anim."""
    colours: int
    """Of a GIF: at most 256."""
    dither: str
    """Of a GIF: as FFmpeg's paletteuse names it."""
    quality: int
    """Of a WebP: 0 to 100."""


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
