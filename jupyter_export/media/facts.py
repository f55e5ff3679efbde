"""What is known about a source before anything is rendered: frozen values, exact fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Literal

from av.video.frame import VideoFrame
from pydantic import BaseModel, ConfigDict

__all__ = ["AudioFacts", "Colour", "Fingerprint", "FrameTimes", "SourceFacts", "Turn", "VideoFacts"]

#: The code points that have a meaning (ISO/IEC 23091-2).
_SPACES = {0, 1, 2, *range(4, 15)}
_PRIMARIES = {1, 2, *range(4, 13), 22}
_TRANSFERS = {1, 2, *range(4, 19)}
Turn = Literal["none", "clockwise", "half", "counterclockwise"]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fingerprint(_Facts):
    """Tells two versions of a file apart without reading all of it."""

    size: int
    """bytes"""
    mtime_ns: int
    ends: str
    """SHA-256 of the first and the last 64 KiB."""


class Colour(_Facts):
    """Colour tags as ISO/IEC 23091-2 code points (FFmpeg's enumerations); 2 is unspecified."""

    range: int = 0
    """0 unspecified, 1 limited (MPEG), 2 full (JPEG)."""
    space: int = 2
    primaries: int = 2
    transfer: int = 2

    @classmethod
    def of(cls, frame: VideoFrame) -> Colour:
        """What `frame` is tagged with; code points that mean nothing are unspecified."""
        space, primaries = int(frame.colorspace), int(frame.color_primaries)
        transfer = int(frame.color_trc)
        return cls(
            range=int(frame.color_range),
            space=space if space in _SPACES else 2,
            primaries=primaries if primaries in _PRIMARIES else 2,
            transfer=transfer if transfer in _TRANSFERS else 2,
        )


class VideoFacts(_Facts):
    """A video track: the one that players take, or the one that was chosen."""

    index: int
    """Of the stream in its container."""
    codec: str
    width: int
    """Stored pixels, before rotation and sample aspect."""
    height: int
    pix_fmt: str
    bits: int
    """Per component."""
    time_base: Fraction
    sample_aspect: Fraction
    turn: Turn
    """What makes the stored picture upright."""
    mirror: bool
    """Whether it is mirrored left to right, before the turn."""
    interlaced: bool
    """Whether frames may hold two fields; each says so itself."""
    colour: Colour
    upright_width: int
    """Square pixels, turned; even."""
    upright_height: int
    alpha: bool = False
    """Whether it has transparency."""
    peak: int = 0
    """Luminance of the mastering display in cd/m²; 0 is not known."""


class AudioFacts(_Facts):
    """An audio track: the one that players take, or the one that was chosen."""

    index: int
    codec: str
    profile: str
    sample_rate: int
    channels: int
    layout: str
    time_base: Fraction
    start: Fraction | None = None
    """Seconds on the container's clock at which its first packet sounds; None if not known."""


class SourceFacts(_Facts):
    """A source file."""

    path: str
    """Absolute."""
    format: str
    """FFmpeg's name of the demuxer."""
    fingerprint: Fingerprint
    origin: int
    """Time stamp of the first shown frame, in the video's time base."""
    duration: float | None
    """Seconds, as the container says; None when it says nothing."""
    video: VideoFacts
    audio: AudioFacts | None
    audio_bits: int | None = None
    """Bits per second of the sound; None when the container does not say."""


class FrameTimes(_Facts):
    """When the frames of a range are shown; from packets alone, nothing is decoded."""

    pts: tuple[int, ...]
    """Sorted, in the video's time base."""
    keyframes: tuple[int, ...]
    """Those of `pts` at which decoding can start."""
    end: int
    """Where the last frame ends."""
    rate: Fraction | None
    """Frames per second when it is constant to within one tick, else None."""

    @property
    def longest(self) -> tuple[int, int]:
        """The longest time that a frame is shown, and the frame that is."""
        shown = pairwise((*self.pts, self.end))
        return max((after - at, at) for at, after in shown)
