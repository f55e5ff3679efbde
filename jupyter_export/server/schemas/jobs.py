"""Jobs, projects, estimates, and what is known of a source."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from ...job import State
from ...spec import ExportSpec
from .base import Answer, Time

__all__ = [
    "Encoder",
    "Error",
    "Estimate",
    "Job",
    "Jobs",
    "Parts",
    "Probe",
    "Problem",
    "Progress",
    "Project",
    "Projects",
    "Segments",
]


class Progress(Answer):
    """How far the present attempt is; it never goes back within an attempt."""

    phase: str
    frames: int
    total_frames: int | None
    percent: Annotated[float, Field(ge=0, le=100)]
    fps: float | None = Field(description="frames rendered per second, lately")
    eta_s: float | None = Field(description="seconds left")


class Segments(Answer):
    """How the segments of the plan came to be."""

    copied: int
    rendered: int
    reused: int
    total: int


class Encoder(Answer):
    """What encodes a job, and why."""

    name: str
    reason: str


class Error(BaseModel):
    """What went wrong, and what to do about it."""

    type: str
    title: str
    detail: str
    advice: str
    field: str | None = Field(description="the place in the spec at fault")


class Problem(Error):
    """RFC 9457 problem details; further members depend on the type, such as `job`."""

    status: int


class GpuMemory(Answer):
    """What an export takes of a GPU's memory."""

    reserved_mib: int = Field(description="held while it works, or waited for")
    peak_mib: int | None = Field(description="what it was measured to take at most, if it was")


class Job(Answer):
    """One export."""

    id: str
    kind: str
    project: str | None
    state: State
    paused: bool
    cancel_requested: bool
    output: str = Field(description="relative to the server's root")
    priority: int
    queue_position: int | None = Field(description="1 is next")
    waiting_for: str | None = Field(description="why it does not start, or go on, yet")
    progress: Progress
    segments: Segments
    encoder: Encoder | None
    gpu_memory: GpuMemory | None = Field(description="null: none, or not known yet")
    error: Error | None
    notes: list[str]
    result: dict[str, Any] | None
    attempt: int
    not_before: Time | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    spec: ExportSpec


class Jobs(Answer):
    """A page of jobs."""

    jobs: list[Job]
    next: str | None = Field(default=None, description="`before` of the next page; null at the end")


class Parts(Answer):
    """What the seconds of an estimate are made of."""

    fixed: float = Field(description="planning, starting")
    decode: float
    effects: float
    encode: float
    write: float = Field(description="sound, joining, moving the index to the front")


class Estimate(Answer):
    """What an export would take and be; nothing is queued."""

    seconds: float = Field(description="from its start, if nothing else runs")
    examples: int = Field(
        description="how many finished exports of this kind, encoder and quality that rests on; "
        "0: on this machine's other exports, or on a machine of reference"
    )
    parts: Parts
    bytes: int = Field(description="of the output")
    frames: int
    duration: float = Field(description="of the output, in seconds")
    width: int
    height: int
    encoder: Encoder
    segments: Segments
    vram_mib: int | None = Field(description="GPU memory that would be reserved")
    refusal: Problem | None = Field(description="why it would not be taken in, and what would be")
    notes: list[str]


class Project(Answer):
    """The jobs under one name."""

    name: str
    jobs: int
    state: State = Field(description="of its latest job")
    complete: bool = Field(description="its latest job is completed")


class Projects(Answer):
    """All projects."""

    projects: list[Project]


class Probe(Answer):
    """A video as it is shown: upright, with square pixels."""

    width: int
    height: int
    duration: float | None = Field(description="in seconds, as its container has it")
