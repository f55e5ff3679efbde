"""Every setting, once: a trait (`c.ExportApp.<name>`) and an environment variable.

The variable is ``JUPYTER_EXPORT_`` and the trait's name in capitals; lists are separated by
commas. A trait set in a configuration file or on the command line wins over the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_data_dir
from traitlets import Bool, Enum, Float, HasTraits, Int, List, TraitError, TraitType, Unicode

from .errors import SpecError

__all__ = ["ENV_PREFIX", "Settings", "environment_name"]

ENV_PREFIX = "JUPYTER_EXPORT_"


class Settings(HasTraits):
    """What an administrator or user can set; `ExportApp` and the command line share it."""

    max_concurrent_exports = Int(
        3,
        min=1,
        help="How many exports run at once, not counting those on a GPU: neither holds up the "
        "other.",
    ).tag(config=True)

    gpu_exports_per_device = Int(
        2,
        min=1,
        help="How many exports use one GPU at once, of all users together, if its memory allows.",
    ).tag(config=True)

    gpu_headroom_mib = Int(
        512, min=0, help="GPU memory, in MiB, that exports leave free on each device."
    ).tag(config=True)

    nvenc_sessions = Int(
        8,
        min=0,
        help="NVENC sessions on the whole machine, as GeForce drivers count them; 0 is no limit.",
    ).tag(config=True)

    nvenc_sessions_per_gpu = Int(
        0, min=0, help="NVENC sessions on one GPU; 0 is no limit of its own."
    ).tag(config=True)

    encoding_cores = Int(
        0,
        min=0,
        help="Segments that are encoded in software at once, of all users together; 0 is one per "
        "core, and never fewer than this server alone may run.",
    ).tag(config=True)

    lease_dir = Unicode(
        help="Where exports of all users agree on GPUs and cores; by default "
        "`/run/jupyter-export` if an administrator made it, else a folder of this user alone. A "
        "local disk."
    ).tag(config=True)

    force_cpu = Bool(False, help="Never use a hardware encoder, nor a GPU for upscaling.").tag(
        config=True
    )

    encoder_priority = List(
        Enum(["nvenc", "qsv", "amf", "vaapi", "videotoolbox", "software"]),
        ["nvenc", "qsv", "amf", "vaapi", "videotoolbox", "software"],
        help="Which encoders to prefer, first to last; a family left out is never used, except "
        "software, which is always the last resort.",
    ).tag(config=True)

    probe_timeout = Float(
        15.0,
        min=0.1,
        help="Seconds until a trial encode counts as hanging; 4 where no GPU is in sight, not "
        "counting what it waits for a core.",
    ).tag(config=True)

    data_dir = Unicode(
        help="Where jobs, hardware report and, unless set apart, segments are kept; by default "
        "`jupyter_export` in Jupyter's data directory. A local disk is best."
    ).tag(config=True)

    cache_dir = Unicode(
        help="Where finished segments are kept until their export is published; by default "
        "`segments` in `data_dir`. Safe to delete while no export runs."
    ).tag(config=True)

    cache_bytes = Int(
        20 * 2**30, min=0, help="How large the segment cache may grow; live exports come on top."
    ).tag(config=True)

    cache_days = Float(
        30.0,
        min=0.0,
        help="Segments that no export has used for so long are removed; 0 keeps them.",
    ).tag(config=True)

    keep_jobs = Int(
        100_000,
        min=1,
        help="How many finished jobs are remembered; the oldest are forgotten, with their logs, "
        "but not their outputs.",
    ).tag(config=True)

    keep_jobs_days = Float(
        365.0, min=0.0, help="How long finished jobs are remembered; 0 is no limit of age."
    ).tag(config=True)

    segment_seconds = Float(
        8.0, min=0.5, max=600.0, help="Least length of a segment: the work a crash can lose."
    ).tag(config=True)

    segment_workers = Int(
        0, min=0, help="Segments of one export that render at once; 0 is one per four cores."
    ).tag(config=True)

    worker_niceness = Int(10, min=0, max=19, help="Niceness of worker processes.").tag(config=True)

    worker_scheduling = Enum(
        ["idle", "batch", "normal"],
        "idle",
        help="Linux scheduling class of workers. `idle` keeps the notebook as quick as with no "
        "export running; where other users' programs keep all cores busy, choose `batch`.",
    ).tag(config=True)

    worker_memory_limit = Int(
        0,
        min=0,
        help="Address space of a worker in bytes; 0 is as much as the machine has memory, at least "
        "16 GiB, and no limit where there is a GPU to compute on: CUDA reserves far more than it "
        "uses. A worker that holds a GPU has none in any case.",
    ).tag(config=True)

    worker_cpu_seconds = Int(
        0,
        min=0,
        help="Processor time, of all its threads together, that a worker may take for one piece of "
        "work, such as a segment; 0 is one hour for each core.",
    ).tag(config=True)

    worker_file_limit = Int(
        2**40, min=0, help="How many bytes a file may have that a worker writes; 0 sets no limit."
    ).tag(config=True)

    worker_jail = Enum(
        ["auto", "on", "off"],
        "auto",
        help="Linux: lock workers in with Landlock and seccomp, so that even a codec that a "
        "crafted file has taken over reads only libraries, the root folder and models, writes "
        "only segments (the one that assembles the file: the root folder, too), and has no "
        "network. `auto`: where the kernel can and no GPU computes; `on`: there, too, and where "
        "the kernel cannot, nothing is exported.",
    ).tag(config=True)

    worker_idle_seconds = Float(
        300.0, min=1.0, help="A worker without work ends after this long."
    ).tag(config=True)

    worker_stuck_seconds = Float(
        900.0,
        min=0.0,
        help="A worker whose task takes no step for so long (not a frame, not a piece of a frame "
        "that is upscaled) is ended and counts as lost; 0 lets it be.",
    ).tag(config=True)

    max_attempts = Int(
        3, min=1, help="How often a job is tried when its error can pass by itself."
    ).tag(config=True)

    max_lost_workers = Int(
        3, min=1, help="After this many dead workers a job fails: its file crashes the codec."
    ).tag(config=True)

    retry_base_seconds = Float(
        2.0, min=0.0, help="The longest wait before the first retry; it doubles each time."
    ).tag(config=True)

    stop_grace_seconds = Float(
        2.0, min=0.0, help="How long a stopping server waits for workers before it ends them."
    ).tag(config=True)

    allow_hidden = Bool(
        False, help="Let exports read and write hidden files, as the contents manager may."
    ).tag(config=True)

    provenance = Bool(
        True,
        help="Write beside each output, as `<output>.export.json`, what it was made of; `jupyter "
        "export run` takes that file and makes it again.",
    ).tag(config=True)

    models_dir = Unicode(
        help="Where upscaling models are kept; by default `models` in `data_dir`. Compatible "
        "`.pth` and `.safetensors` files put there can be used by their names."
    ).tag(config=True)

    models_url = Unicode(
        "https://github.com/xinntao/Real-ESRGAN/releases/download",
        help="Where `jupyter export models pull` gets the published models; a mirror has them "
        "under the same `tag/file`.",
    ).tag(config=True)

    upscale_backend = Enum(
        ["engine", "openvino", "realesrgan"],
        "engine",
        help="What upscales: the engine of this package; the engine with the package `openvino`, "
        "which does the network's work on the processor (a GPU is used as always); or, slower, the "
        "package `realesrgan`.",
    ).tag(config=True)

    upscale_memory = Int(
        0,
        min=0,
        help="MiB of memory that the inside of an upscaling network may take; pictures are cut "
        "to fit. 0 is 2048 on a GPU and 512 on the CPU.",
    ).tag(config=True)

    dask_scheduler = Unicode(
        help="Address of the scheduler of a Dask cluster that renders segments, such as "
        "`tls://dask.example.org:8786`; empty: all is rendered on this machine."
    ).tag(config=True)

    dask_cluster = Unicode(
        help="Instead of an address: `module:function`, a function that gives a cluster, such as "
        "one of dask-gateway or dask-jobqueue."
    ).tag(config=True)

    dask_allow_unencrypted = Bool(
        False,
        help="Let segments go to a Dask cluster without TLS: whoever reaches its ports can then "
        "run anything on its machines.",
    ).tag(config=True)

    dask_tls_ca = Unicode(
        help="File of the authority that has signed the cluster's certificates; by default Dask's "
        "own configuration says where this and the next two are."
    ).tag(config=True)

    dask_tls_cert = Unicode(help="File of this server's certificate for the cluster.").tag(
        config=True
    )

    dask_tls_key = Unicode(help="File of the key of that certificate.").tag(config=True)

    dask_paths = List(
        Unicode(),
        help="Where the workers of the cluster see folders of this machine, each as "
        "`/here=/there`; a folder not listed is where it is here.",
    ).tag(config=True)

    dask_store = Unicode(
        help="Where the cluster shares no files with this machine: an object store for sources "
        "and segments, as an fsspec address such as `s3://bucket/exports`."
    ).tag(config=True)

    dask_resources = List(
        Unicode(),
        ["nvenc:NVENC=1", "gpu:GPU=1"],
        help="What a segment takes of a Dask worker's resources: one encoded by NVENC (`nvenc`), "
        "upscaled on a GPU (`gpu`), or any other (`cpu`).",
    ).tag(config=True)

    dask_segments = Int(
        0,
        min=0,
        help="How many segments of this server are on the cluster at once; 0 is twice as many as "
        "its workers have threads.",
    ).tag(config=True)

    dask_least_frames = Int(
        1500,
        min=0,
        help="Exports with fewer frames to render stay on this machine.",
    ).tag(config=True)

    dask_patience = Float(
        30.0,
        min=0.0,
        help="Seconds until segments are rendered on this machine because the cluster does not "
        "answer.",
    ).tag(config=True)

    keep_alive_hours = Float(
        24.0,
        min=0.0,
        help="For so many hours after somebody last used the server, running and waiting exports "
        "keep it from being shut down as idle, by JupyterHub's culler or by Jupyter itself; 0: "
        "not at all. What is paused keeps nothing alive.",
    ).tag(config=True)

    max_queued = Int(10_000, min=1, help="How many jobs may wait at once.").tag(config=True)

    submits_per_minute = Int(
        600, min=0, help="How many exports may be submitted in a minute; 0 is no limit."
    ).tag(config=True)

    max_previews = Int(
        16,
        min=1,
        help="How many previews, probes and estimates may be asked for at once; they are made one "
        "after another.",
    ).tag(config=True)

    max_feed_clients = Int(
        1000, min=1, help="How many clients (pages, kernels, programs) may follow the feed at once."
    ).tag(config=True)

    max_request_bytes = Int(
        2**20,
        min=4096,
        help="How large the body of a request may be; a spec with ten thousand keyframes is about "
        "half of the default.",
    ).tag(config=True)

    log_format = Enum(
        ["text", "json"],
        "text",
        help="`json` writes each line of our log as a JSON object, with `job`, `attempt` and "
        "`action` as members, to standard error instead of into Jupyter's log.",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.apply_environment(os.environ, skip=frozenset(kwargs))

    def apply_environment(
        self, environment: Mapping[str, str], *, skip: frozenset[str] = frozenset()
    ) -> None:
        """Take what the environment sets, except the traits named in `skip`.

        Raises:
            SpecError: a variable has a value that its setting cannot take.
        """
        for name, trait in Settings.class_own_traits().items():
            text = environment.get(environment_name(name))
            if text is None or name in skip:
                continue
            try:
                setattr(self, name, _value(trait, text))
            except (TraitError, ValueError) as error:
                raise SpecError(
                    f"{environment_name(name)}={text!r} cannot be used: {error}",
                    f"The setting: {trait.help}",
                ) from None

    def environment(self) -> dict[str, str]:
        """The variables that give another process the same settings."""
        return {environment_name(n): _text(getattr(self, n)) for n in Settings.class_own_traits()}

    @property
    def data_path(self) -> Path:
        """The folder of the store."""
        return Path(self.data_dir) if self.data_dir else Path(jupyter_data_dir(), "jupyter_export")

    @property
    def cache_path(self) -> Path:
        """The folder of the segments."""
        return Path(self.cache_dir) if self.cache_dir else self.data_path / "segments"

    @property
    def models_path(self) -> Path:
        """The folder of the upscaling models."""
        return Path(self.models_dir) if self.models_dir else self.data_path / "models"

    @property
    def segment_width(self) -> int:
        """How many segments of one export render at once."""
        return self.segment_workers or max(1, (os.cpu_count() or 1) // 4)


def environment_name(trait: str) -> str:
    """``force_cpu`` → ``JUPYTER_EXPORT_FORCE_CPU``."""
    return ENV_PREFIX + trait.upper()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return ",".join(value) if isinstance(value, list) else str(value)


def _value(trait: TraitType[Any, Any], text: str) -> Any:
    if isinstance(trait, Bool):
        if text.lower() not in {"0", "1", "false", "true", "no", "yes", ""}:
            raise ValueError("use 1 or 0")
        return text.lower() in {"1", "true", "yes"}
    if isinstance(trait, List):
        return [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(trait, Int):
        return int(text)
    if isinstance(trait, Float):
        return float(text)
    return text
