"""A damaged job database: kept aside, so that exports go on; and the notice about it."""

from __future__ import annotations

import contextlib
import logging
from datetime import UTC, datetime
from pathlib import Path

from .lock import SchedulerLock

__all__ = ["is_suspect", "notice", "set_aside", "suspect", "trust"]

log = logging.getLogger(__name__)

_ASIDE = "damaged"
_SUSPECT = "suspect"
#: SQLite's own files beside a database: without them it may lack what was committed last.
_COMPANIONS = ("", "-wal", "-shm", "-journal")


def suspect(path: Path) -> None:
    """Remember that damage was met in the database at `path`: its next opening checks all of it."""
    with contextlib.suppress(OSError):
        _mark(path).touch()


def is_suspect(path: Path) -> bool:
    """Whether damage was met since the database was last checked."""
    return _mark(path).exists()


def trust(path: Path) -> None:
    """The database was checked, and is whole."""
    with contextlib.suppress(OSError):
        _mark(path).unlink(missing_ok=True)


def set_aside(path: Path, lock: SchedulerLock) -> bool:
    """Rename the database at `path` to ``….damaged-<time>``; whether that could be done.

    Not while another server leads with it, which `lock` tells; it is held afterwards.
    """
    try:
        if lock.acquire():
            _rename(path)
            trust(path)
            return True
    except OSError as error:
        log.error("database=%s cannot be set aside: %s", path, error)
    return False


def _rename(path: Path) -> None:
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for companion in reversed(_COMPANIONS):
        part = path.with_name(path.name + companion)
        if part.exists():
            part.replace(path.with_name(f"{path.name}.{_ASIDE}-{time}{companion}"))


def notice(path: Path) -> str | None:
    """What users should know of databases that were set aside; None if there are none."""
    found = sorted(
        file.name
        for file in path.parent.glob(f"{path.name}.{_ASIDE}-*")
        if not file.name.endswith(_COMPANIONS[1:])
    )
    if not found:
        return None
    return (
        f"The job database was damaged and is kept as {found[-1]} in {path.parent}; the queue "
        "began anew. Finished files are as they were, exports that were under way must be "
        "submitted again. Delete that file, and this notice goes."
    )


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.{_SUSPECT}")
