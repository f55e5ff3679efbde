"""What is removed as time goes by: segments that nobody uses, and the oldest finished jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..settings import Settings
from .database import Database
from .store import Store

__all__ = ["Sweep", "forget_old", "sweep_segments"]

log = logging.getLogger(__name__)

Sweep = Callable[[Path, int, float, set[str]], None]
"""Brings a cache folder down to so many bytes and days, but for the ids to keep; in a thread."""

#: Forgotten in one transaction: the store must stay quick for others meanwhile.
_AT_ONCE = 200


async def forget_old(database: Database, settings: Settings) -> int:
    """Forget the finished jobs that the settings do not keep, with their logs; how many.

    Their outputs stay. Everyone who listens hears of each.

    Raises:
        ExportError: the store refuses it now.
    """
    before = None
    if settings.keep_jobs_days:
        before = datetime.now(UTC) - timedelta(days=settings.keep_jobs_days)
    forgotten = 0
    while count := await database.call(
        Store.forget, keep=settings.keep_jobs, before=before, limit=_AT_ONCE
    ):
        forgotten += count
    if forgotten:
        log.info("action=forget jobs=%d", forgotten)
    return forgotten


def sweep_segments(folder: Path, limit_bytes: int, days: float, keep: set[str]) -> None:
    """The `Sweep` of the segment cache."""
    # Here because it brings in the media libraries, which a server's start does not wait for.
    from ..media.cache import SegmentCache

    SegmentCache(folder).sweep(limit_bytes, keep, days=days)
