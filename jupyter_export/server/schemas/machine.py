"""The queue, its limits, the hardware, and whether all is well."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from ...health import Level
from ...queue.choice import QueueState
from .base import Answer, Time
from .jobs import Problem

__all__ = [
    "Automatic",
    "Check",
    "Cluster",
    "Gpu",
    "Hardware",
    "Health",
    "Leases",
    "Limits",
    "Queue",
    "Torch",
    "TriedDecoder",
    "TriedEncoder",
]


class Limits(Answer):
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


class Queue(Answer):
    """What the queue as a whole does."""

    state: QueueState
    running: int
    queued: int
    limit: int = Field(description="how many exports run at once")
    notice: str | None = Field(description="what users should know of their jobs' database")


class Leases(Answer):
    """Where servers agree on GPUs and cores."""

    directory: str | None
    shared: bool = Field(description="with other users of the machine")
    notice: str | None = Field(description="what an administrator should know")
    cores: int = Field(description="segments that are encoded in software at once, of all users")
    cores_by: str | None = Field(description="who has allotted the cores; null: nobody")


class Cluster(Answer):
    """The Dask cluster that renders segments of large exports."""

    address: str = Field(description="of its scheduler, or the function that gives the cluster")
    workers: int
    threads: int = Field(description="segments that it renders at once")
    segments: int = Field(description="those of this server that it has now")
    problem: str | None = Field(description="why nothing goes there")


class Check(Answer):
    """How it stands with one part."""

    name: str
    level: Level = Field(description="notice: it works, but somebody should know; failed: not")
    detail: str
    advice: str


class Health(Answer):
    """Whether exports work on this server; if not, `problem` says why, and the rest is missing."""

    status: Literal["ok", "refused"] = Field(description="refused: the queue is not there at all")
    ready: bool = Field(description="no check failed: exports can be submitted and will run")
    checks: list[Check]
    version: str
    root: str | None = Field(description="the folder that paths are relative to")
    problem: Problem | None
    leading: bool | None = Field(
        default=None, description="false: another server on the same store starts the jobs"
    )
    epoch: str | None = Field(default=None, description="names the job store")
    seq: int | None = Field(default=None, description="the number of its latest event")
    journal_mode: str | None = Field(
        default=None, description="wal, or delete where the store is on a network filesystem"
    )
    filesystem: str | None = Field(default=None, description="of the store, such as ext4 or nfs4")
    queue: Queue | None = None
    leases: Leases | None = None
    cluster: Cluster | None = None
