"""What one attempt at an export is given, and what it gives: values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..job import SegmentCounts
from ..spec import Encoding, ExportSpec

if TYPE_CHECKING:
    from ..hardware.choice import Choice

__all__ = ["EncoderChooser", "OnOutline", "Order", "Outline", "Produced"]


class EncoderChooser(Protocol):
    """Decides on encoders; `jupyter_export.hardware.choice.Encoders` does."""

    async def choose(self, encoding: Encoding, exclude: frozenset[str] = frozenset()) -> Choice:
        """The encoder for `encoding`, none of `exclude`."""
        ...

    def suspect(self, name: str) -> None:
        """The encoder `name` failed at work: try it again before it is chosen once more."""
        ...


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to export, and with what."""

    spec: ExportSpec
    root: Path
    """What the spec's paths are relative to."""
    part: Path
    """The file to write; it must not exist."""
    cache: Path
    """The folder of finished segments."""
    width: int = 1
    """How many segments render at once."""
    segment_seconds: float = 8.0
    allow_hidden: bool = False
    avoid_hardware: str = ""
    """Why to encode in software although hardware could, as in "h264_nvenc was busy"."""
    notes: tuple[str, ...] = ()
    """What earlier attempts found that the user should still know."""
    log: str | None = None
    """File for what libraries print."""
    labels: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What is known of the attempt, beside its progress."""

    encoder: dict[str, str]
    """``{"name", "reason"}``."""
    total_frames: int
    segments: SegmentCounts
    notes: tuple[str, ...]
    keep: frozenset[str]
    """Ids of all files of the cache that this attempt needs."""


@dataclass(frozen=True, kw_only=True)
class Produced:
    """A finished part file, not yet in its place."""

    part: Path
    bytes: int
    sha256: str
    frames: int
    duration: float
    """Seconds."""
    outline: Outline

    @property
    def result(self) -> dict[str, Any]:
        """The job's `result`."""
        return {
            "bytes": self.bytes,
            "sha256": self.sha256,
            "frames": self.frames,
            "duration": self.duration,
        }


OnOutline = Callable[[Outline], Awaitable[None]]
"""Awaited with the plan, and again after each segment; what it raises ends the attempt."""
