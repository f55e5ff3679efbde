"""Bodies and queries."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StrictBool, StrictInt

from ...job import State
from .base import Priority, ProjectName, Request

__all__ = [
    "EstimateBody",
    "HoursQuery",
    "JobsQuery",
    "LimitsBody",
    "PreviewBody",
    "PriorityBody",
    "ProbeQuery",
    "ProjectQuery",
    "RefreshQuery",
    "SubmitBody",
]


class SubmitBody(Request):
    """A new export."""

    spec: dict[str, Any]
    """An `ExportSpec`; checked by `spec.parse`, whose messages say what to do."""
    priority: Priority = 0
    allow_duplicate: StrictBool = Field(
        default=False, description="also while the project has a live job of this kind"
    )


class PreviewBody(Request):
    """Which frame of which export."""

    spec: dict[str, Any]
    """An `ExportSpec`."""
    time: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)] = Field(
        default=0.0, description="seconds of the output; with a field in `show`, of its clock"
    )
    show: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        default="result",
        description="result; before: without what changes only the looks; or the field of an "
        "effect, such as sources[0].effects[1], for the picture that it is given",
    )
    width: Annotated[StrictInt, Field(ge=16, le=3840)] = Field(
        default=1280, description="pixels at most"
    )


class EstimateBody(Request):
    """Which export."""

    spec: dict[str, Any]
    """An `ExportSpec`."""


class PriorityBody(Request):
    """What can be changed of a job."""

    priority: Priority


class ProjectQuery(BaseModel):
    """One project, or all."""

    project: ProjectName | None = None


class JobsQuery(ProjectQuery):
    """Which jobs, and which page of them."""

    state: State | None = None
    before: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="the `next` of the page before: jobs older than that"
    )
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class HoursQuery(ProjectQuery):
    """How far back."""

    hours: Annotated[float, Field(gt=0, le=24 * 366, allow_inf_nan=False)] = 24.0


class RefreshQuery(BaseModel):
    """Whether to look again."""

    refresh: bool = Field(default=False, description="try the encoders again")


class LimitsBody(Request):
    """Limits to change; the others stay."""

    max_concurrent_exports: Annotated[StrictInt, Field(ge=1)] | None = None
    gpu_exports_per_device: Annotated[StrictInt, Field(ge=1)] | None = None
    gpu_headroom_mib: Annotated[StrictInt, Field(ge=0)] | None = None
    nvenc_sessions: Annotated[StrictInt, Field(ge=0)] | None = None
    nvenc_sessions_per_gpu: Annotated[StrictInt, Field(ge=0)] | None = None
    encoding_cores: Annotated[StrictInt, Field(ge=0)] | None = None
    segment_workers: Annotated[StrictInt, Field(ge=0)] | None = None
    max_queued: Annotated[StrictInt, Field(ge=1)] | None = None
    worker_niceness: Annotated[StrictInt, Field(ge=0, le=19)] | None = Field(
        default=None, description="of workers that start from now on"
    )
    worker_scheduling: Literal["idle", "batch", "normal"] | None = Field(
        default=None, description="of workers that start from now on"
    )


class ProbeQuery(BaseModel):
    """Which video."""

    path: str = Field(min_length=1, max_length=4096, description="relative to the root")
