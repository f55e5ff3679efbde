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

__all__ = ["EncoderChooser", "OnOutline", "Order", "Outline", "Produced", "Took", "chosen_encoder"]


class EncoderChooser(Protocol):
    """Decides on encoders; `jupyter_export.hardware.choice.Encoders` does."""

    async def choose(self, encoding: Encoding, exclude: frozenset[str] = frozenset()) -> Choice:
        """The encoder for `encoding`, none of `exclude`."""
        ...

    def suspect(self, name: str) -> None:
        """The encoder `name` failed at work: try it again before it is chosen once more."""
        ...


def chosen_encoder(choice: Choice, used: str | None, spec: ExportSpec) -> dict[str, str]:
    """A job's `encoder`, if `used` is what the plan says encodes it (None: all is copied)."""
    name, reason = choice.name, choice.reason
    if (animation := spec.container.animation) is not None:
        name = animation.encoder
        reason = f"{name}: the one encoder for a {spec.container.name}"
    elif used is None:
        reason = "not needed: all of the video is copied"
    elif used != name:
        name, reason = used, f"{used} (software): it joins video that is copied"
    return {"name": name, "reason": reason}


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
    avoid_gpu: str = ""
    """Why effects use no GPU although they could, in the same words."""
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
class Took:
    """How long an attempt took, and for what: later estimates learn from it."""

    key: str
    """Of exports whose times are alike."""
    work: tuple[float, ...]
    """As `jupyter_export.media.cost.Work` has it: of what was done now, not of what was found
    finished."""
    seconds: float
    coded: float
    """Bytes that were encoded now."""
    source: str
    """Names what was exported, whatever was done to it."""


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
    origin: dict[str, Any] = field(default_factory=dict)
    """What the worker tells of what it was made of: see `jupyter_export.workers.origin`."""
    took: Took | None = None
    """How long it took; None if it was held up, or if nothing was rendered or copied."""

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
