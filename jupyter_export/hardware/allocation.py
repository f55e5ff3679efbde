"""How much of the machine this process may use: affinity, control groups, SLURM."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Allocation", "allocation", "allotted_gpus"]

_CGROUPS = Path("sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """The cores that this process shares with others, and who those others are."""

    cores: int
    pool: str
    """The same for all processes that share these cores: leases are summed by it."""
    by: str = ""
    """Who has allotted them, in words; empty when it is the whole machine."""


def allocation(environment: Mapping[str, str] | None = None, root: Path = Path("/")) -> Allocation:
    """The smallest of what the machine has, and what this process was given of it.

    Exports of two SLURM jobs, or of two containers with a CPU limit, do not share cores, even if
    they share the directory of leases.
    """
    environment = os.environ if environment is None else environment
    found = [Allocation(cores=os.cpu_count() or 1, pool="cpu")]
    if hasattr(os, "sched_getaffinity"):
        mask = sorted(os.sched_getaffinity(0))
        name = hashlib.sha256(repr(mask).encode()).hexdigest()[:16]
        pool = f"cpu:affinity-{name}"
        found.append(Allocation(cores=len(mask), pool=pool, by="the CPU affinity"))
    job = environment.get("SLURM_JOB_ID", "")
    granted = environment.get("SLURM_CPUS_PER_TASK") or environment.get("SLURM_CPUS_ON_NODE", "")
    if job and granted.isdigit() and int(granted) > 0:
        found.append(Allocation(cores=int(granted), pool=f"cpu:slurm-{job}", by=f"SLURM job {job}"))
    if (limit := _cgroup_limit(root)) is not None:
        found.append(limit)
    # Of equals the first: an affinity to all cores is the whole machine.
    return min(found, key=lambda one: one.cores)


def allotted_gpus(environment: Mapping[str, str] | None = None, present: int = 0) -> str | None:
    """What this process may see of the `present` GPUs, in CUDA's way of writing; None: all.

    SLURM says it in variables of its own where its configuration leaves CUDA's alone. Its numbers
    are those of the whole node: where a control group hides all others, as many GPUs are present
    as it has allotted, and they are numbered anew.
    """
    environment = os.environ if environment is None else environment
    if (by_cuda := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        return by_cuda
    for name in ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        if (by_slurm := environment.get(name)) is not None:
            return None if len(by_slurm.split(",")) == present and by_slurm else by_slurm
    return None


def _cgroup_limit(root: Path) -> Allocation | None:
    """The tightest CPU limit of the control groups that this process is in."""
    lines = _read(root / "proc/self/cgroup").splitlines()
    limits: list[tuple[float, Path]] = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            base = root / _CGROUPS
            for folder in _upwards(base, path):
                quota = re.match(r"(\d+) (\d+)", _read(folder / "cpu.max"))
                if quota:
                    limits.append((int(quota[1]) / int(quota[2]), folder))
        elif "cpu" in controllers.split(","):
            base = root / _CGROUPS / "cpu"
            for folder in _upwards(base, path):
                granted = _read(folder / "cpu.cfs_quota_us").strip()
                period = _read(folder / "cpu.cfs_period_us").strip()
                if granted.isdigit() and period.isdigit() and int(period) > 0:
                    limits.append((int(granted) / int(period), folder))
    if not limits:
        return None
    cores, folder = min(limits, key=lambda one: one[0])
    # Inside a container the group is named "/", so its name tells nothing: its inode does.
    return Allocation(
        cores=max(1, int(cores)),
        pool=f"cpu:group-{folder.stat().st_ino}",
        by="a CPU limit of the container or service",
    )


def _upwards(base: Path, path: str) -> list[Path]:
    folder = base / path.lstrip("/")
    folders = [folder, *folder.parents]
    return [one for one in folders if one == base or base in one.parents]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
