"""The one table of addresses: handlers are registered and OpenAPI is written from it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from . import handlers as h
from . import job_handlers as j
from .base import ExportHandler
from .feed import FeedHandler
from .files import FileHandler

__all__ = ["PREFIX", "ROUTES", "Route", "handlers"]

#: Below the server's base URL.
PREFIX = "jupyter-export"


@dataclass(frozen=True)
class Route:
    """An address below the prefix; ``{name}`` is any one part of it, or one of its choices."""

    path: str
    handler: type[ExportHandler] | type[FeedHandler]
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The variable parts, in order."""
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def pattern(self) -> str:
        """The regular expression that Tornado matches, below the base URL."""

        def group(match: re.Match[str]) -> str:
            name = match[1]
            return f"(?P<{name}>{'|'.join(self.choices.get(name, ())) or '[^/]+'})"

        return rf"/{PREFIX}/" + re.sub(r"\\{(\w+)\\}", group, re.escape(self.path))


ROUTES: tuple[Route, ...] = (
    Route("jobs", j.JobsHandler),
    Route("jobs/active", j.ActiveHandler),
    Route("jobs/recent", j.RecentHandler),
    Route("jobs/{id}", j.JobHandler),
    Route("jobs/{id}/log", j.LogHandler),
    Route("jobs/{id}/thumbnail", j.ThumbnailHandler),
    Route("jobs/{id}/poster", j.PosterHandler),
    Route("jobs/{id}/file", FileHandler),
    Route(
        "jobs/{id}/{action}",
        j.ActionHandler,
        {"action": ("cancel", "retry", "pause", "resume")},
    ),
    Route("estimate", j.EstimateHandler),
    Route("preview", j.PreviewHandler),
    Route("projects", h.ProjectsHandler),
    Route("probe", h.ProbeHandler),
    Route("hardware", h.HardwareHandler),
    Route("queue", h.QueueHandler),
    Route("queue/{action}", h.QueueActionHandler, {"action": ("pause", "resume", "drain")}),
    Route("limits", h.LimitsHandler),
    Route("health", h.HealthHandler),
    Route("feed", FeedHandler),
    Route("schema/spec.json", h.SpecSchemaHandler),
    Route("schema/feed.json", h.FeedSchemaHandler),
    Route("openapi.json", h.OpenAPIHandler),
)


def handlers() -> list[tuple[str, type[ExportHandler] | type[FeedHandler]]]:
    """What Tornado registers: every route, and last what answers everything else."""
    known = [(route.pattern, route.handler) for route in ROUTES]
    return [*known, (rf"/{PREFIX}(?:/.*)?", h.UnknownHandler)]
