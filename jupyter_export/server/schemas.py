"""The shapes of what REST takes and gives; OpenAPI is written from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from ..job import State
from ..queue.choice import QueueState
from ..spec import ExportSpec

__all__ = [
    "Encoder",
    "Error",
    "Health",
    "HoursQuery",
    "Job",
    "Jobs",
    "JobsQuery",
    "Limits",
    "LimitsBody",
    "PreviewBody",
    "PriorityBody",
    "Probe",
    "ProbeQuery",
    "Problem",
    "Progress",
    "ProjectQuery",
    "Projects",
    "Queue",
    "RefreshQuery",
    "Segments",
    "SubmitBody",
]

Priority = Annotated[StrictInt, Field(ge=-1000, le=1000, description="higher goes first")]
ProjectName = Annotated[str, Field(min_length=1, max_length=255)]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="ISO 8601, UTC")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SubmitBody(_Request):
    """A new export."""

    spec: dict[str, Any]
    """An `ExportSpec`; checked by `spec.parse`, whose messages say what to do."""
    priority: Priority = 0
    allow_duplicate: StrictBool = Field(
        default=False, description="also while the project has a live job of this kind"
    )


class PreviewBody(_Request):
    """Which frame of which export."""

    spec: dict[str, Any]
    """An `ExportSpec`."""
    time: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)] = Field(
        default=0.0, description="seconds of the output"
    )
    width: Annotated[StrictInt, Field(ge=16, le=3840)] = Field(
        default=1280, description="pixels at most"
    )


class PriorityBody(_Request):
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


class LimitsBody(_Request):
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


class Limits(_Answer):
    """The limits in force, each the setting of its name."""

    max_concurrent_exports: int
    gpu_exports_per_device: int
    gpu_headroom_mib: int
    nvenc_sessions: int
    nvenc_sessions_per_gpu: int
    encoding_cores: int
    segment_workers: int
    max_queued: int
    worker_niceness: int
    worker_scheduling: str


class Progress(_Answer):
    """How far the present attempt is; it never goes back within an attempt."""

    phase: str
    frames: int
    total_frames: int | None
    percent: Annotated[float, Field(ge=0, le=100)]
    fps: float | None = Field(description="frames rendered per second, lately")
    eta_s: float | None = Field(description="seconds left")


class Segments(_Answer):
    """How the segments of the plan came to be."""

    copied: int
    rendered: int
    reused: int
    total: int


class Encoder(_Answer):
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


class Job(_Answer):
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
    error: Error | None
    notes: list[str]
    result: dict[str, Any] | None
    attempt: int
    not_before: Time | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    spec: ExportSpec


class Jobs(_Answer):
    """A page of jobs."""

    jobs: list[Job]
    next: str | None = Field(default=None, description="`before` of the next page; null at the end")


class Project(_Answer):
    """The jobs under one name."""

    name: str
    jobs: int
    state: State = Field(description="of its latest job")
    complete: bool = Field(description="its latest job is completed")


class Projects(_Answer):
    """All projects."""

    projects: list[Project]


class TriedEncoder(BaseModel):
    """Whether one encoder can be used here."""

    name: str
    family: str
    codec: str | None = Field(description="null: several")
    usable: bool
    reason: str = Field(description="why it cannot be used")
    detail: str = Field(description="what FFmpeg or the driver logged")
    lasting: bool = Field(description="false: the answer can change by itself")
    tried: bool = Field(description="false: the settings rule it out")
    qualities: list[str]
    bits: int = Field(description="the most bits per component that it keeps")


class TriedDecoder(BaseModel):
    """Whether NVIDIA's decoder can be used here."""

    name: str
    usable: bool
    reason: str = Field(description="why it cannot be used")
    detail: str = Field(description="what FFmpeg or the driver logged")
    lasting: bool = Field(description="false: the answer can change by itself")
    tried: bool = Field(description="false: the settings rule it out")


class Torch(BaseModel):
    """The installed PyTorch."""

    version: str | None = Field(description="null: it is not installed")
    cuda: str | None = Field(description="the CUDA version that it was built for")
    usable: bool = Field(description="it has computed on the GPU")
    reason: str = Field(description="why it cannot use the GPU")


class Gpu(BaseModel):
    """One graphics device."""

    name: str
    vendor: str
    driver: str | None
    bus: str | None


class ProbeQuery(BaseModel):
    """Which video."""

    path: str = Field(min_length=1, max_length=4096, description="relative to the root")


class Probe(_Answer):
    """A video as it is shown: upright, with square pixels."""

    width: int
    height: int
    duration: float | None = Field(description="in seconds, as its container has it")


class Automatic(BaseModel):
    """What `auto` takes, and why."""

    name: str | None
    reason: str


class Hardware(BaseModel):
    """The encoders and devices of this machine."""

    encoders: list[TriedEncoder]
    nvdec: TriedDecoder
    torch: Torch
    gpus: list[Gpu]
    versions: dict[str, str]
    driver: str | None
    encoder_priority: list[str]
    force_cpu: bool
    auto: Automatic
    probed_at: Time


class Queue(_Answer):
    """What the queue as a whole does."""

    state: QueueState
    running: int
    queued: int
    limit: int = Field(description="how many exports run at once")


class Leases(_Answer):
    """Where servers agree on GPUs and cores."""

    directory: str | None
    shared: bool = Field(description="with other users of the machine")
    notice: str | None = Field(description="what an administrator should know")
    cores: int = Field(description="segments that are encoded in software at once, of all users")
    cores_by: str | None = Field(description="who has allotted the cores; null: nobody")


class Health(_Answer):
    """Whether exports work on this server; if not, `problem` says why, and the rest is missing."""

    status: Literal["ok", "refused"]
    version: str
    root: str | None = Field(description="the folder that paths are relative to")
    problem: Problem | None
    leading: bool | None = Field(
        default=None, description="false: another server on the same store starts the jobs"
    )
    epoch: str | None = Field(default=None, description="names the job store")
    seq: int | None = Field(default=None, description="the number of its latest event")
    journal_mode: str | None = None
    queue: Queue | None = None
    leases: Leases | None = None
