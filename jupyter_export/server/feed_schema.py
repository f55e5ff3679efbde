"""The shapes of the feed's messages; feed.json is written from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt
from pydantic.json_schema import models_json_schema

from ..queue.choice import QueueState
from ..spec import ExportSpec
from .schemas import Job, Progress, Queue, Segments
from .schemas.base import Time

__all__ = ["feed_schema"]

Seq = Annotated[StrictInt, Field(ge=0)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Hello(_Message):
    """Where the client stands; nulls (or nothing): at the beginning."""

    type: Literal["hello"]
    epoch: str | None = None
    since: Seq | None = None


class Ping(_Message):
    """A sign of life that wants an answer."""

    type: Literal["ping"]


class Pong(_Message):
    """The answer."""

    type: Literal["pong"]


class FeedJob(Job):
    """A job as REST shows it."""

    spec: ExportSpec | None = Field(  # type: ignore[assignment]
        description="null when it is large or its job is deleted; jobs/{id} has large ones"
    )


class Snapshot(_Message):
    """The live jobs and the latest finished ones, as they were after event `seq`."""

    type: Literal["snapshot"]
    epoch: str = Field(description="names the job store")
    seq: Seq
    jobs: list[FeedJob]
    queue: Queue


class JobEvent(_Message):
    """Something durable happened to a job."""

    type: Literal["event"]
    seq: Seq = Field(description="one more than that of the event before")
    event: Literal[
        "submitted",
        "started",
        "planned",
        "advanced",
        "publishing",
        "completed",
        "failed",
        "cancelled",
        "cancelling",
        "retrying",
        "requeued",
        "retried",
        "paused",
        "resumed",
        "prioritised",
        "deleted",
    ]
    time: Time
    job: FeedJob = Field(description="as it is now; as it was, if deleted")


class QueueNow(_Message):
    """What the queue as a whole does now."""

    state: QueueState


class QueueEvent(_Message):
    """The queue was paused, drained or let go on."""

    type: Literal["event"]
    seq: Seq = Field(description="one more than that of the event before")
    event: Literal["queue"]
    time: Time
    queue: QueueNow


class ProgressMessage(_Message):
    """How far a running job is; only the latest is told."""

    type: Literal["progress"]
    job: str = Field(description="its id")
    progress: Progress
    segments: Segments
    waiting_for: str | None = Field(description="what keeps it from going on now")


class Positions(_Message):
    """Where queued jobs stand now; those that are not named stand where they stood."""

    type: Literal["positions"]
    positions: dict[str, tuple[int | None, str]] = Field(
        description="by id: `queue_position` and `waiting_for`"
    )


CLIENT: tuple[type[BaseModel], ...] = (Hello, Ping, Pong)
SERVER: tuple[type[BaseModel], ...] = (
    Snapshot,
    JobEvent,
    QueueEvent,
    ProgressMessage,
    Positions,
    Ping,
    Pong,
)


def feed_schema() -> dict[str, Any]:
    """The JSON Schema of all messages: any of ``ClientMessage`` or ``ServerMessage``."""
    models = dict.fromkeys((*CLIENT, *SERVER))
    _, whole = models_json_schema([(model, "serialization") for model in models])
    definitions = whole["$defs"]
    definitions["ClientMessage"] = _any_of(CLIENT)
    definitions["ServerMessage"] = _any_of(SERVER)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Messages of the feed v1.feed.jupyter-export",
        "anyOf": [{"$ref": "#/$defs/ClientMessage"}, {"$ref": "#/$defs/ServerMessage"}],
        "$defs": definitions,
    }


def _any_of(models: tuple[type[BaseModel], ...]) -> dict[str, Any]:
    return {"anyOf": [{"$ref": f"#/$defs/{model.__name__}"} for model in models]}
