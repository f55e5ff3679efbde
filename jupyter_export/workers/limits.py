"""What the kernel holds a worker to: its parent's life, its share of the cores, its memory."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
from pathlib import Path

__all__ = [
    "bind_to_parent",
    "flush_c_streams",
    "limit_memory",
    "lower_priority",
    "resident_bytes",
]

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = "500"


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
    """Give this process at most `limit` bytes of address space; 0 sets no limit."""
    if limit <= 0 or sys.platform == "win32":
        return
    import resource

    try:
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    except (OSError, ValueError) as error:
        logger.warning("action=limit-memory reason=%r", error)


def resident_bytes() -> int:
    """How much memory this process holds now (Linux), or has held at most (elsewhere)."""
    if sys.platform == "win32":
        return 0
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def flush_c_streams() -> None:
    """Write out what C libraries have buffered for standard output."""
    if sys.platform != "win32":
        ctypes.CDLL(None).fflush(None)
