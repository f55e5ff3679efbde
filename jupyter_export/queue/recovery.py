"""What a new scheduler finds of jobs whose server died, and what it makes of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container
from pathlib import Path

from ..errors import ExportError
from ..job import Job, State
from ..paths import resolve_output
from ..points import Point, reached
from ..provenance import place
from ..settings import Settings
from .database import Database
from .publish import is_whole, publish, remove, sweep_parts
from .store import Store

__all__ = ["recover"]

log = logging.getLogger(__name__)


async def recover(
    database: Database, settings: Settings, root: Path, busy: Container[str] = frozenset()
) -> bool:
    """Bring every live job that nobody works on (`busy` are worked on) to a state that is true.

    A running job goes back into the queue, at no cost. A file that was about to be published is
    put in its place, unless it is there already. Part files of dead attempts are removed.
    False when the store refused to record some of it: try again later.
    """
    done = True
    for job in await database.call(Store.active):
        if job.id in busy or job.attempt == 0:
            continue
        try:
            if job.state is State.RUNNING:
                await database.call(Store.requeue, job.id, job.attempt)
                reached(Point.RECOVERED)
                log.info("job=%s attempt=%d action=recover", job.id, job.attempt)
            await _settle(database, settings, root, job)
        except ExportError as error:
            log.error("job=%s attempt=%d cannot be recovered: %s", job.id, job.attempt, error)
            done = False
    return done


async def _settle(database: Database, settings: Settings, root: Path, job: Job) -> None:
    try:
        output = await asyncio.to_thread(
            resolve_output, root, job.output, allow_hidden=settings.allow_hidden
        )
    except ExportError as error:
        if job.state is State.PUBLISHING:
            await _fail(database, job, error)
        return
    if job.state is State.PUBLISHING:
        await _publish(database, job, output)
    await sweep_parts(output, job.id)


async def _publish(database: Database, job: Job, output: Path) -> None:
    """Redo the rename, or see that it had happened."""
    assert job.part is not None
    assert job.result is not None
    part = Path(job.part)
    if await is_whole(part, job.result, thorough=False):
        try:
            await publish(part, output)
        except ExportError as error:
            await remove(part)
            await _fail(database, job, error)
            return
    elif not await is_whole(output, job.result, thorough=True):
        log.warning("job=%s attempt=%d its part file is gone", job.id, job.attempt)
        await database.call(Store.requeue, job.id, job.attempt)
        return
    await asyncio.to_thread(place, output, job)
    await database.call(Store.complete, job.id, job.attempt)
    log.info("job=%s attempt=%d action=recover-publish", job.id, job.attempt)


async def _fail(database: Database, job: Job, error: ExportError) -> None:
    await database.call(
        Store.fail,
        job.id,
        job.attempt,
        error=error.to_json(),
        failures=job.failures,
        lost_workers=job.lost_workers,
    )
