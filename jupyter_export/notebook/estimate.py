"""What an export would take and be, as Python sees it."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any, Self

from ..errors import ExportError
from ..job import SegmentCounts
from ..terminal import amount, duration

__all__ = ["Estimate"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An export that is not queued yet."""

    seconds: float
    """From its start to the finished file, if nothing else runs."""
    examples: int
    """How many finished exports of this kind, encoder and quality that rests on. 0: it rests on
    other exports of this machine, or, where there are none, on a machine of reference."""
    parts: dict[str, float]
    """What the seconds are made of: fixed, decode, effects, encode, write."""
    bytes: int
    """Of the output."""
    frames: int
    duration: float
    """Of the output, in seconds."""
    size: tuple[int, int]
    """Of the output, in pixels."""
    encoder: dict[str, str]
    """``{"name", "reason"}``."""
    segments: SegmentCounts
    """Of the plan: what is copied, rendered, or finished already (reused)."""
    vram_mib: int | None
    """GPU memory that would be reserved; None if no GPU is needed."""
    refusal: ExportError | None
    """Why it would not be taken in, and what would be; None if it would."""
    notes: tuple[str, ...]
    """What the user should know about the result."""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `POST estimate` answers."""
        refusal = value["refusal"]
        return cls(
            **{name: value[name] for name in ("seconds", "examples", "parts", "bytes", "frames")},
            **{name: value[name] for name in ("duration", "encoder", "vram_mib")},
            size=(value["width"], value["height"]),
            segments=SegmentCounts(**value["segments"]),
            refusal=None if refusal is None else ExportError.from_json(refusal),
            notes=tuple(value["notes"]),
        )

    def __str__(self) -> str:
        counts = self.segments
        width, height = self.size
        made = {"copied": counts.copied, "rendered": counts.rendered, "reused": counts.reused}
        how = ", ".join(f"{count} {word}" for word, count in made.items() if count)
        segments = "1 segment" if counts.total == 1 else f"{counts.total} segments"
        lines = [
            f"about {duration(max(1, self.seconds))}, {amount(self.bytes)}",
            f"{self.frames} frames of {width}×{height}, {duration(self.duration)} of video",
            f"{segments}: {how}; encoder {self.encoder['name']}",
            f"rests on {self.examples} finished exports like it"
            if self.examples
            else "no export like it has finished here yet",
        ]
        if self.vram_mib is not None:
            lines.append(f"{self.vram_mib / 1024:.1f} GB of GPU memory")
        if self.refusal is not None:
            lines.append(f"would be refused: {self.refusal}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return "<div>" + "<br>".join(map(html.escape, str(self).splitlines())) + "</div>"
