"""What a worker has of the machine: its parent's life, cores, memory, time, sizes of files."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

__all__ = [
    "COMPUTE_DEVICES",
    "bind_to_parent",
    "flush_c_streams",
    "has_compute_device",
    "keep_freed_memory",
    "lift_memory_limit",
    "limit_cpu",
    "limit_files",
    "limit_memory",
    "lower_priority",
    "resident_bytes",
    "return_freed_memory",
]

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = "500"

#: What says that CUDA, or ROCm, may be used: they reserve addresses for all memory there is.
COMPUTE_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/kfd"))

#: Bytes of address space that a worker always has: libraries reserve far more than they use.
_LEAST_MEMORY = 16 * 2**30
_CORE_HOUR = 3600

#: Numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: Bytes of a piece of memory that goes back to the kernel at once when it is freed (the most that
#: glibc takes), and of free memory that is kept.
_KEPT_PIECE, _KEPT_BYTES = 32 * 2**20, 2**30


def bind_to_parent(parent: int) -> None:
    """End this process when its parent ends, however that ends (Linux).

    The kernel sends the signal when the *thread* that started this process exits. Elsewhere the
    end of the input pipe serves.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            # It was gone before the kernel was told.
            os._exit(0)


def lower_priority(niceness: int, scheduling: str) -> None:
    """Let everything else go first; what the system refuses is logged and done without.

    Of all the ways only the idle class keeps a notebook as quick as with no export running.
    """
    if hasattr(os, "setpriority"):
        try:
            if os.getpriority(os.PRIO_PROCESS, 0) < niceness:
                os.setpriority(os.PRIO_PROCESS, 0, niceness)
        except OSError as error:
            logger.warning("action=set-niceness reason=%r", error)
    if sys.platform == "linux":
        classes = {"idle": os.SCHED_IDLE, "batch": os.SCHED_BATCH}
        if os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
            # Whoever started this process is in a real-time class; no export belongs there.
            classes["normal"] = os.SCHED_OTHER
        try:
            if scheduling in classes:
                os.sched_setscheduler(0, classes[scheduling], os.sched_param(0))
        except OSError as error:
            logger.warning("action=set-scheduling-class reason=%r", error)
        # When memory runs out, the kernel shall end an export rather than a notebook's kernel.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


def limit_memory(limit: int) -> None:
    """Give this process at most `limit` bytes of address space.

    0 is as much as the machine has memory, and at least 16 GiB: what asks for more is a file that
    lies about its size. It then meets a `MemoryError`, instead of the machine running out. Where
    there is a GPU to compute on, 0 sets no limit.
    """
    if sys.platform == "win32" or (limit <= 0 and has_compute_device()):
        return
    if limit <= 0:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        limit = max(_LEAST_MEMORY, memory)
    _limit("RLIMIT_AS", limit, lower_only=True)


def has_compute_device() -> bool:
    """Whether CUDA or ROCm may be used here."""
    return any(device.exists() for device in COMPUTE_DEVICES)


def lift_memory_limit() -> None:
    """Take the limit of the address space away again: CUDA reserves addresses for all memory."""
    if sys.platform == "win32":
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def limit_files(limit: int) -> None:
    """Let no file of this process grow beyond `limit` bytes (0: any size), and dump no core.

    A core has in it what the user sees and hears.
    """
    if sys.platform == "win32":
        return
    _limit("RLIMIT_CORE", 0)
    if limit > 0:
        _limit("RLIMIT_FSIZE", limit, lower_only=True)


def limit_cpu(seconds: int) -> None:
    """From now on leave this process so many seconds of the processor, of all threads together.

    0 is one hour for each core. The kernel ends it then with SIGXCPU.
    """
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = seconds or _CORE_HOUR * (os.cpu_count() or 1)
    _limit("RLIMIT_CPU", int(used.ru_utime + used.ru_stime) + seconds + 1)


def _limit(name: str, limit: int, *, lower_only: bool = False) -> None:
    """Set a limit, which can be raised again up to what was allowed to this process.

    With `lower_only`, a lower one that whoever started the server has set stays.
    """
    import resource

    number: int = getattr(resource, name)
    try:
        soft, hard = resource.getrlimit(number)
        for other in (hard, soft) if lower_only else (hard,):
            if other != resource.RLIM_INFINITY:
                limit = min(limit, other)
        resource.setrlimit(number, (limit, hard))
    except (OSError, ValueError) as error:
        logger.warning("action=limit name=%s reason=%r", name, error)


def resident_bytes(pid: int | None = None) -> int:
    """How much memory this process holds now (Linux), or has held at most (elsewhere).

    Of another process, `pid`, it is known on Linux only; else, and when it has ended, it is 0.
    """
    if sys.platform == "win32":
        return 0
    try:
        pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        if pid is not None:
            return 0
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def keep_freed_memory() -> None:
    """Let pictures be made of memory that others were freed from, not of the kernel's (glibc).

    It would give back and clear megabytes with every frame: a twentieth of an export's time.
    `return_freed_memory` is for the end of the work.
    """
    if (mallopt := _of_glibc("mallopt")) is not None:
        mallopt(_MMAP_THRESHOLD, _KEPT_PIECE)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


def return_freed_memory() -> None:
    """Give the kernel back what nothing uses (glibc)."""
    if (trim := _of_glibc("malloc_trim")) is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def flush_c_streams() -> None:
    """Write out what C libraries have buffered for standard output."""
    if sys.platform != "win32":
        ctypes.CDLL(None).fflush(None)
