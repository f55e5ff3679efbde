"""From the part file to the output: names, the atomic rename, and what a crash leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import glob
import hashlib
import logging
import os
from pathlib import Path
from typing import Any

from ..errors import DiskFull, OutputError
from ..points import Point, reached

__all__ = ["DISK_FULL", "is_whole", "part_path", "publish", "remove", "sweep_parts"]

log = logging.getLogger(__name__)

#: Error numbers of a full disk, a spent quota and a file size limit.
DISK_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})


def part_path(output: Path, job: str, attempt: int) -> Path:
    """Where an attempt writes: hidden beside the output, so that a rename moves it there."""
    return output.with_name(f".{output.name}.{job}.{attempt}.part")


async def publish(part: Path, output: Path) -> None:
    """Put the finished part file in the output's place, whole and for good.

    Raises:
        OutputError: the folder does not allow it (`DiskFull` when there is no space).
    """
    await asyncio.to_thread(_replace, part, output)


async def remove(path: Path) -> None:
    """Remove a part file, if it is there; goes on although the caller is cancelled."""
    await asyncio.shield(asyncio.to_thread(_unlink, path))


async def is_whole(path: Path, result: dict[str, Any], *, thorough: bool) -> bool:
    """Whether `path` is the file that `result` describes, by size and (thorough) by SHA-256."""
    return await asyncio.to_thread(_matches, path, result, thorough)


async def sweep_parts(output: Path, job: str, *, keep: Path | None = None) -> None:
    """Remove what earlier attempts of the job, which died, left beside its output."""
    await asyncio.to_thread(_sweep, output, job, keep)


def _replace(part: Path, output: Path) -> None:
    try:
        part.replace(output)
        reached(Point.RENAMED)
        _sync_folder(output.parent)
        reached(Point.PUBLISHED)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise DiskFull(
                f"There is no space left for {output.name!r}.", "Free some space, then retry."
            ) from None
        raise OutputError(
            f"{output.name!r} cannot be put in its place: {error.strerror or error}.",
            "Check the folder and its permissions, then retry.",
        ) from None


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    if os.name == "nt":
        return  # folders cannot be opened there
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network filesystems do not offer this; they write names through anyway.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:
            raise
    finally:
        os.close(descriptor)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("part file %s cannot be removed: %s", path, error)


def _matches(path: Path, result: dict[str, Any], thorough: bool) -> bool:
    try:
        if path.stat().st_size != result["bytes"]:
            return False
        if not thorough:
            return True
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return bool(digest == result["sha256"])
    except OSError:
        return False


def _sweep(output: Path, job: str, keep: Path | None) -> None:
    pattern = f".{glob.escape(output.name)}.{glob.escape(job)}.*.part"
    with contextlib.suppress(OSError):
        for path in output.parent.glob(pattern):
            if path != keep:
                log.info("job=%s action=sweep part=%s", job, path)
                _unlink(path)
