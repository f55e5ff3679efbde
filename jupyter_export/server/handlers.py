"""The REST handlers: each checks what was asked, asks the queue, and writes its answer."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from ..errors import SpecError
from ..hardware.doctor import to_json as hardware_json
from ..spec import json_schema, parse
from . import schemas
from .base import ADMIN_ACTION, ExportHandler
from .operations import operation

__all__ = [
    "ActionHandler",
    "ActiveHandler",
    "FeedSchemaHandler",
    "HardwareHandler",
    "HealthHandler",
    "JobHandler",
    "JobsHandler",
    "LimitsHandler",
    "LogHandler",
    "OpenAPIHandler",
    "PosterHandler",
    "PreviewHandler",
    "ProbeHandler",
    "ProjectsHandler",
    "QueueActionHandler",
    "QueueHandler",
    "RecentHandler",
    "SpecSchemaHandler",
    "ThumbnailHandler",
    "UnknownHandler",
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
        errors=(409, 422),
        idempotent=True,
    )
    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Queue an export; 200 with the first job when the Idempotency-Key is known."""
        body = self.body(schemas.SubmitBody)
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
    @authorized
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


class PreviewHandler(ExportHandler):
    """A look at an export before it is queued."""

    @operation("image/jpeg", body=schemas.PreviewBody, errors=(422,))
    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Show a frame as the export would render it; headers tell its time and the duration."""
        body = self.body(schemas.PreviewBody)
        exports = await self.exports()
        frame = await exports.previews.frame(parse(body.spec), body.time, body.width)
        self.set_header("X-Time", f"{frame.time:.6f}")
        self.set_header("X-Duration", f"{frame.duration:.6f}")
        self.set_header("X-Size", f"{frame.width}x{frame.height}")
        self.picture(frame.jpeg)


class ProjectsHandler(ExportHandler):
    """The projects."""

    @operation(schemas.Projects)
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List the projects; one is complete when its latest job is."""
        exports = await self.exports()
        self.reply({"projects": await exports.projects()})


class ProbeHandler(ExportHandler):
    """What a video is like, before anything is made of it."""

    @operation(schemas.Probe, query=schemas.ProbeQuery, errors=(422,))
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Tell the size and the length of a video."""
        query = self.query(schemas.ProbeQuery)
        exports = await self.exports()
        self.reply(await exports.probe(query.path))


class HardwareHandler(ExportHandler):
    """The encoders of this machine."""

    @operation(schemas.Hardware, query=schemas.RefreshQuery, errors=(422,))
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List the encoders, each with the reason why it can or cannot be used."""
        query = self.query(schemas.RefreshQuery)
        app = self.app
        report = await app.encoders.report(refresh=query.refresh)
        self.reply(hardware_json(report, app.encoder_priority, app.force_cpu))


class QueueHandler(ExportHandler):
    """The queue as a whole."""

    @operation(schemas.Queue)
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Show the state of the queue."""
        exports = await self.exports()
        self.reply(await exports.queue_state())


class QueueActionHandler(ExportHandler):
    """What can be done with the queue."""

    @operation(schemas.Queue)
    @web.authenticated
    @authorized
    async def post(self, action: str) -> None:
        """Pause the queue, let it go on, or drain it: finish what runs and start nothing."""
        exports = await self.exports()
        self.reply(await exports.set_queue(action))


class LimitsHandler(ExportHandler):
    """How much may run at once."""

    @operation(schemas.Limits)
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Show the limits."""
        self.reply(self._limits())

    @operation(schemas.Limits, body=schemas.LimitsBody, errors=(422,))
    @web.authenticated
    @authorized(action=ADMIN_ACTION)  # type: ignore[untyped-decorator]
    async def patch(self) -> None:
        """Change limits until the server ends; what runs goes on."""
        body = self.body(schemas.LimitsBody)
        self.app.change_limits(body.model_dump(exclude_none=True))
        self.reply(self._limits())

    def _limits(self) -> dict[str, Any]:
        return {name: getattr(self.app, name) for name in schemas.Limits.model_fields}


class HealthHandler(ExportHandler):
    """Whether exports work here."""

    @operation(schemas.Health)
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Tell whether exports work on this server, and if not, why."""
        self.reply(await self.app.health())


class SpecSchemaHandler(ExportHandler):
    """The JSON Schema of a spec."""

    @operation("application/schema+json")
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Give the JSON Schema of a spec."""
        self.finish(json.dumps(json_schema()), set_content_type="application/schema+json")


class FeedSchemaHandler(ExportHandler):
    """The JSON Schema of the feed's messages."""

    @operation("application/schema+json")
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Give the JSON Schema of the feed's messages."""
        from .feed_schema import feed_schema

        self.finish(json.dumps(feed_schema()), set_content_type="application/schema+json")


class OpenAPIHandler(ExportHandler):
    """The description of all this."""

    @operation("application/json")
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Give this description, in OpenAPI 3.1."""
        from .openapi import document

        self.reply(document(self.base_url))


class UnknownHandler(ExportHandler):
    """Everything else below our prefix: a problem instead of Jupyter's page."""

    async def prepare(self) -> None:  # type: ignore[override]
        """Say so, to those who are logged in."""
        await super().prepare()
        if self.request.method != "OPTIONS":
            raise web.HTTPError(HTTPStatus.NOT_FOUND, "There is nothing at this address.")
