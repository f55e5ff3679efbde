"""The REST handlers of jobs: submit, list, show, change, look at."""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from ..errors import SpecError
from ..queue.previews import Preview
from ..spec import parse
from . import schemas
from .base import EXECUTE_ACTION, ExportHandler
from .operations import operation

__all__ = [
    "ActionHandler",
    "ActiveHandler",
    "EstimateHandler",
    "JobHandler",
    "JobsHandler",
    "LogHandler",
    "PosterHandler",
    "PreviewHandler",
    "RecentHandler",
    "ThumbnailHandler",
]

MAX_KEY_LENGTH = 255


class JobsHandler(ExportHandler):
    """All jobs, and the place where new ones are made."""

    @operation(schemas.Jobs, query=schemas.JobsQuery, errors=(422,))
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List jobs, newest first."""
        query = self.query(schemas.JobsQuery)
        exports = await self.exports()
        # One more than asked for tells whether there is a next page.
        jobs = await exports.list(
            state=query.state, project=query.project, before=query.before, limit=query.limit + 1
        )
        page = jobs[: query.limit]
        self.reply({"jobs": page, "next": page[-1]["id"] if len(jobs) > len(page) else None})

    @operation(
        schemas.Job,
        statuses=(201, 200),
        body=schemas.SubmitBody,
        errors=(409, 422, 429),
        idempotent=True,
    )
    @web.authenticated
    @authorized(action=EXECUTE_ACTION)  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Queue an export; 200 with the first job when the Idempotency-Key is known."""
        body = self.body(schemas.SubmitBody)
        self.app.gate.submit()
        spec = parse(body.spec)
        exports = await self.exports()
        job, created = await exports.submit(
            spec,
            priority=body.priority,
            allow_duplicate=body.allow_duplicate,
            idempotency_key=self._key(),
        )
        self.set_header("Location", f"{self.base_url}jupyter-export/jobs/{job['id']}")
        self.reply(job, HTTPStatus.CREATED if created else HTTPStatus.OK)

    def _key(self) -> str | None:
        key = self.request.headers.get("Idempotency-Key")
        if key is not None and not (0 < len(key) <= MAX_KEY_LENGTH and key.isprintable()):
            raise SpecError(
                f"The header has no 1 to {MAX_KEY_LENGTH} printable characters.",
                "A new UUID for each export is a good key.",
                field="Idempotency-Key",
            )
        return key


class ActiveHandler(ExportHandler):
    """The live jobs."""

    @operation(schemas.Jobs, query=schemas.ProjectQuery, errors=(422,))
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List the jobs that are queued, running or publishing."""
        query = self.query(schemas.ProjectQuery)
        exports = await self.exports()
        self.reply({"jobs": await exports.active(project=query.project), "next": None})


class RecentHandler(ExportHandler):
    """The jobs that finished lately."""

    @operation(schemas.Jobs, query=schemas.HoursQuery, errors=(422,))
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List the jobs that finished within the last hours."""
        query = self.query(schemas.HoursQuery)
        exports = await self.exports()
        jobs = await exports.recent(hours=query.hours, project=query.project)
        self.reply({"jobs": jobs, "next": None})


class JobHandler(ExportHandler):
    """One job."""

    @operation(schemas.Job, errors=(404,))
    @web.authenticated
    @authorized
    async def get(self, id: str) -> None:
        """Show a job."""
        exports = await self.exports()
        self.reply(await exports.get(id))

    @operation(schemas.Job, body=schemas.PriorityBody, errors=(404, 409, 422))
    @web.authenticated
    @authorized
    async def patch(self, id: str) -> None:
        """Change the priority of a queued job."""
        body = self.body(schemas.PriorityBody)
        exports = await self.exports()
        self.reply(await exports.set_priority(id, body.priority))

    @operation(None, statuses=(204,), errors=(404, 409))
    @web.authenticated
    @authorized
    async def delete(self, id: str) -> None:
        """Forget a finished job; its output stays."""
        exports = await self.exports()
        await exports.delete(id)
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()


class ActionHandler(ExportHandler):
    """What can be done with a job."""

    @operation(schemas.Job, errors=(404, 409))
    @web.authenticated
    @authorized(action=EXECUTE_ACTION)  # type: ignore[untyped-decorator]
    async def post(self, id: str, action: str) -> None:
        """Cancel, retry, pause or resume a job."""
        exports = await self.exports()
        actions = {
            "cancel": exports.cancel,
            "retry": exports.retry,
            "pause": exports.pause,
            "resume": exports.resume,
        }
        self.reply(await actions[action](id))


class LogHandler(ExportHandler):
    """A job's log."""

    @operation("text/plain", errors=(404,))
    @web.authenticated
    @authorized
    async def get(self, id: str) -> None:
        """Show what a job and its libraries wrote."""
        exports = await self.exports()
        self.finish(await exports.log(id), set_content_type="text/plain; charset=utf-8")


class ThumbnailHandler(ExportHandler):
    """A picture of what a job exports."""

    @operation("image/jpeg", errors=(404, 422))
    @web.authenticated
    @authorized
    async def get(self, id: str) -> None:
        """Show the first frame that a job takes from its source, at most 320 pixels wide."""
        exports = await self.exports()
        self.picture(await exports.thumbnail(id))


class PosterHandler(ExportHandler):
    """A picture of what a job has made."""

    @operation("image/jpeg", errors=(404, 409, 422))
    @web.authenticated
    @authorized
    async def get(self, id: str) -> None:
        """Show the first frame of the finished file, at most 320 pixels wide."""
        exports = await self.exports()
        self.picture(await exports.poster(id))


class EstimateHandler(ExportHandler):
    """What an export would take, before it is queued."""

    @operation(schemas.Estimate, body=schemas.EstimateBody, errors=(422, 429))
    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Tell how long an export would take, how large it would be, and whether it would fit."""
        body = self.body(schemas.EstimateBody)
        exports = await self.exports()
        spec = parse(body.spec)
        with self.app.gate.preview(), contextlib.suppress(asyncio.CancelledError):
            self._work = asyncio.ensure_future(exports.estimates.of(spec))
            self.reply(await self._work)

    def on_connection_close(self) -> None:
        """Nobody waits any more: a form asks again with each change."""
        super().on_connection_close()
        if self._work is not None:
            self._work.cancel()

    _work: asyncio.Future[dict[str, Any]] | None = None


class PreviewHandler(ExportHandler):
    """A look at an export before it is queued."""

    _work: asyncio.Future[Preview] | None = None
    _gone = False

    @operation("image/jpeg", body=schemas.PreviewBody, errors=(422, 429))
    @web.authenticated
    @authorized(action=EXECUTE_ACTION)  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Show a frame as the export would render it; headers tell its time, when the next one
        begins, the duration and the size of the picture."""
        body = self.body(schemas.PreviewBody)
        exports = await self.exports()
        spec = parse(body.spec)
        with self.app.gate.preview():
            work = exports.previews.frame(spec, body.time, body.width, body.show)
            self._work = asyncio.ensure_future(work)
            try:
                frame = await self._work
            except asyncio.CancelledError:
                if self._gone:
                    return  # nobody is there to be answered
                raise
        self.set_header("X-Time", f"{frame.time:.6f}")
        self.set_header("X-Next", f"{frame.next:.6f}")
        self.set_header("X-Duration", f"{frame.duration:.6f}")
        self.set_header("X-Size", f"{frame.width}x{frame.height}")
        self.picture(frame.jpeg)

    def on_connection_close(self) -> None:
        """Who moved on to another frame does not wait for this one."""
        self._gone = True
        if self._work is not None:
            self._work.cancel()
