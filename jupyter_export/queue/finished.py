"""The file that a completed job has made, as long as it is there."""

from __future__ import annotations

from pathlib import Path

from ..errors import IllegalMove, PathError
from ..job import Job, State
from ..paths import resolve_source
from ..spec import OUTPUT_SUFFIXES

__all__ = ["finished_file", "require_finished"]


def require_finished(job: Job) -> None:
    """Raises IllegalMove: the export is not completed."""
    if job.state is not State.COMPLETED:
        raise IllegalMove(
            f"Job {job.id} is {job.state}: there is no finished file to show.",
            "Wait until it is completed.",
            job=job.id,
        )


def finished_file(job: Job, root: Path, *, allow_hidden: bool) -> Path:
    """The real path of what a job has made. Looks at the disk.

    Raises:
        IllegalMove: the export is not completed.
        SourceError, PathError: the file is not there any more, or cannot be read.
    """
    require_finished(job)
    real = resolve_source(root, job.output, allow_hidden=allow_hidden, field="output")
    # A link may have taken its place.
    if real.suffix.lower() not in OUTPUT_SUFFIXES:
        raise PathError(f"{job.output!r} is not a video any more.", field="output")
    return real
