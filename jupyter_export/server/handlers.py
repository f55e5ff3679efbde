"""The REST handlers: each checks what was asked, asks the queue, and writes its answer."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from ..hardware.doctor import to_json as hardware_json
from ..spec import json_schema
from . import schemas
from .base import ADMIN_ACTION, EXECUTE_ACTION, ExportHandler
from .operations import operation

__all__ = [
    "FeedSchemaHandler",
    "HardwareHandler",
    "HealthHandler",
    "LimitsHandler",
    "OpenAPIHandler",
    "ProbeHandler",
    "ProjectsHandler",
    "QueueActionHandler",
    "QueueHandler",
    "SpecSchemaHandler",
    "UnknownHandler",
]


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

    @operation(schemas.Probe, query=schemas.ProbeQuery, errors=(422, 429))
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Tell the size and the length of a video."""
        query = self.query(schemas.ProbeQuery)
        exports = await self.exports()
        with self.app.gate.preview():
            facts = await exports.probe(query.path)
        self.reply(facts)


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
    @authorized(action=EXECUTE_ACTION)  # type: ignore[untyped-decorator]
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
            self._admitted = False
            raise web.HTTPError(HTTPStatus.NOT_FOUND, "There is nothing at this address.")
