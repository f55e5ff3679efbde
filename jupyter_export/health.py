"""Whether exports work on this server, check by check, and what to do where they do not.

A further check is one more function in `CHECKS`: it looks at the app and gives a `Finding`.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ExportError
from .hardware.needs import gigabytes

if TYPE_CHECKING:
    from .app import ExportApp

__all__ = ["CHECKS", "Finding", "Level", "examine", "is_ready"]

log = logging.getLogger(__name__)

#: Longer than this no check takes: what does not answer by then does not work.
LIMIT_SECONDS = 3.0
#: Less free space than this is told; with less than the second figure hardly an export ends well.
LITTLE_BYTES = 5 * 2**30
NO_SPACE_BYTES = 100 * 2**20


class Level(StrEnum):
    """How it stands with a part."""

    OK = "ok"
    NOTICE = "notice"
    """Exports work, but somebody should know something."""
    FAILED = "failed"
    """Exports do not work, or not for long."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check has found; texts are whole sentences."""

    name: str
    level: Level = Level.OK
    detail: str
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        """For ``GET health``."""
        return asdict(self)


Check = Callable[["ExportApp"], Awaitable[Finding]]


async def examine(app: ExportApp, checks: Sequence[Check] | None = None) -> list[Finding]:
    """All findings, in the order of the checks (by default `CHECKS`), which run side by side."""
    return list(await asyncio.gather(*(_limited(app, check) for check in (checks or CHECKS))))


def is_ready(findings: Sequence[Finding]) -> bool:
    """Whether exports can be submitted and will run."""
    return all(finding.level is not Level.FAILED for finding in findings)


async def database(app: ExportApp) -> Finding:
    """The job store answers and can be written; whether a damaged one was set aside."""
    exports = await app.ready()
    await exports.try_store()
    well = "The job store answers and can be written."
    if notice := (await exports.queue_state())["notice"]:
        return Finding(name="database", level=Level.NOTICE, detail=f"{well} {notice}")
    return Finding(name="database", detail=well)


async def journal(app: ExportApp) -> Finding:
    """How the job store keeps its changes safe."""
    mode = (await app.ready()).journal_mode
    return Finding(name="journal", detail=f"The job store's journal mode is {mode}.")


async def scheduler(app: ExportApp) -> Finding:
    """Somebody starts the jobs."""
    exports = await app.ready()
    if exports.trouble:
        return Finding(
            name="scheduler",
            level=Level.FAILED,
            detail=f"The scheduler cannot work and tries again: {exports.trouble}",
            advice="The server's log has the details.",
        )
    if exports.leading:
        return Finding(name="scheduler", detail="This server starts the jobs of its store.")
    return Finding(
        name="scheduler",
        detail="Another server on the same store starts the jobs; this one takes over from it.",
    )


async def workers(app: ExportApp) -> Finding:
    """Worker processes can be started."""
    assert app.pool is not None
    memory = await asyncio.to_thread(app.pool.memory)
    if app.pool.trouble:
        return Finding(
            name="workers",
            level=Level.FAILED,
            detail=app.pool.trouble,
            advice="Check the limits of processes and memory, and the server's log.",
        )
    held = f", with {gigabytes(sum(memory) // 2**20)} of memory" if memory else ""
    return Finding(name="workers", detail=f"{len(memory)} worker processes live{held}.")


async def disk(app: ExportApp) -> Finding:
    """There is room for outputs, segments and jobs."""
    exports = await app.ready()
    places = {
        "the root folder": exports.root,
        "the segment cache": app.cache_path,
        "the job store": exports.folder,
    }
    free = await asyncio.to_thread(lambda: {what: _free(path) for what, path in places.items()})
    what = min(free, key=lambda name: free[name])
    left = f"{gigabytes(free[what] // 2**20)} are free on the disk of {what}."
    if free[what] < NO_SPACE_BYTES:
        level = Level.FAILED
    else:
        level = Level.NOTICE if free[what] < LITTLE_BYTES else Level.OK
    advice = "" if level is Level.OK else "Free some space, or set cache_bytes lower."
    return Finding(name="disk", level=level, detail=left, advice=advice)


async def leases(app: ExportApp) -> Finding:
    """Where servers agree on GPUs and cores."""
    folder = (await app.ready()).reservations.folder
    if folder.path is None:
        return Finding(name="leases", level=Level.NOTICE, detail=folder.notice)
    if folder.shared:
        return Finding(name="leases", detail="All users of the machine share GPUs and cores.")
    # Most machines have one user: what is said here is no fault.
    return Finding(
        name="leases",
        detail="GPUs and cores are shared among the servers of this user only.",
        advice=folder.notice,
    )


async def encoders(app: ExportApp) -> Finding:
    """Something encodes."""
    report = app.encoders.known
    if report is None:
        return Finding(
            name="encoders", level=Level.NOTICE, detail="The encoders are being tried just now."
        )
    usable = [result.name for result in report.encoders if result.usable]
    if not usable:
        return Finding(
            name="encoders",
            level=Level.FAILED,
            detail="No encoder can be used.",
            advice="Run `jupyter export doctor` to see why.",
        )
    return Finding(name="encoders", detail=f"Usable: {', '.join(usable)}.")


CHECKS: tuple[Check, ...] = (database, journal, scheduler, workers, disk, leases, encoders)


async def _limited(app: ExportApp, check: Check) -> Finding:
    name = getattr(check, "__name__", "check")
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await check(app)
    except TimeoutError:
        detail, advice = f"No answer within {LIMIT_SECONDS:g} s.", "Look again in a moment."
    except ExportError as error:
        detail, advice = error.detail, error.advice
    except Exception as error:
        log.exception("action=check-health check=%s", name)
        detail = f"The check itself failed with {type(error).__name__}."
        advice = "The server's log has the details."
    return Finding(name=name, level=Level.FAILED, detail=detail, advice=advice)


def _free(path: Path) -> int:
    """Bytes that this user can still write where `path` is, or will be made."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free
