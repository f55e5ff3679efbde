"""Chapters of an export: one for each clip that was joined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict

from ..spec import ExportSpec, Kind
from .timeline import Clip, Part

__all__ = ["Chapter", "chapters_of"]

_LONGEST_TITLE = 100


class Chapter(BaseModel):
    """It lasts until the next one begins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: int
    """In the plan's time base."""
    title: str


def chapters_of(
    spec: ExportSpec, clips: Sequence[Clip], parts: Sequence[Part]
) -> tuple[Chapter, ...]:
    """The chapters of `parts`, which show `clips`; none where the container has none.

    A clip's chapter begins with the first frame in which it shows, and is named after its file.
    """
    if spec.kind is not Kind.CONCAT or len(clips) < 2 or not spec.container.chapters:
        return ()
    return tuple(
        Chapter(
            start=next(part.start for part in parts if any(c is clip for c in part.clips)),
            title=_title(clip.taken.spec.path),
        )
        for clip in clips
    )


def _title(path: str) -> str:
    stem = PurePosixPath(path).stem
    return "".join(c for c in stem if c.isprintable())[:_LONGEST_TITLE]
