"""One frame of an export, as a cell shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Frame"]


@dataclass(frozen=True)
class Frame:
    """What an export shows at one time of its output."""

    jpeg: bytes = field(repr=False)
    time: float
    """Seconds of the output at which it begins to be shown."""
    duration: float
    """Of the whole output, in seconds."""
    size: tuple[int, int]
    """Of the output, in pixels; the picture may be smaller."""

    def save(self, path: str | Path) -> None:
        """Write the picture as JPEG."""
        Path(path).write_bytes(self.jpeg)

    def _repr_jpeg_(self) -> bytes:
        return self.jpeg
