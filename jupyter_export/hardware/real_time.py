"""Keep encoders from taking the machine for themselves."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["not_in_real_time"]


@contextlib.contextmanager
def not_in_real_time() -> Iterator[None]:
    """Keep the scheduling class of this process, whatever the encoder makes of it.

    SVT-AV1 puts all threads of a process that runs as root into a real-time class (SCHED_FIFO):
    everything else on the machine would wait for them.
    """
    if sys.platform != "linux":
        yield
        return
    own = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):  # it has ended
                if os.sched_getscheduler(int(task.name)) in (os.SCHED_FIFO, os.SCHED_RR):
                    os.sched_setscheduler(int(task.name), *own)
