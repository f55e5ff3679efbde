"""Named points of a job's life, where a test can let a process die or stop.

The environment variable ``JUPYTER_EXPORT_POINTS`` (no setting: nobody but tests has a use for it)
names a folder when the process starts; without it a point is one comparison. A process that
reaches a point looks there for a file of the point's name, removes it, so that this happens once
among all processes, and sends the signal that the file names: ``SIGKILL`` to itself,
``SIGKILL parent`` to the process that started it. ``SIGSEGV always`` leaves the file there;
``stuck`` is no signal: the thread stays at the point for ever; ``held`` keeps every process there
for as long as the file exists. Workers that are locked in (the setting ``worker_jail``) do not
reach the folder.
"""

from __future__ import annotations

import os
import signal
import time
from enum import StrEnum
from pathlib import Path

__all__ = ["Point", "reached"]

_FOLDER = os.environ.get("JUPYTER_EXPORT_POINTS", "")


class Point(StrEnum):
    """The points, in the order of a job's life."""

    SUBMITTED = "submitted"
    """Server: the job is stored; whoever submitted it has no answer yet."""
    CLAIMED = "claimed"
    """Server: an attempt owns the job, and has done nothing."""
    PLAN_KEPT = "plan-kept"
    """Worker: the plan is in the cache; the server has not heard of it."""
    PLANNED = "planned"
    """Server: the plan is recorded."""
    SEGMENT_WRITTEN = "segment-written"
    """Worker: a segment is rendered, under a passing name."""
    SEGMENT_PLACED = "segment-placed"
    """Worker: a segment has its name, and nothing that proves that it is whole."""
    SEGMENT_KEPT = "segment-kept"
    """Worker: a segment counts as finished; the server has not heard of it."""
    PART_WRITTEN = "part-written"
    """Worker: the part file is complete, perhaps only in memory."""
    PART_SYNCED = "part-synced"
    """Worker: the part file is on the disk; the server has not heard of it."""
    INTENDED = "intended"
    """Server: it is recorded that the part file is to be published."""
    RENAMED = "renamed"
    """Server: the output is in its place, as long as the power stays on."""
    PUBLISHED = "published"
    """Server: the output is in its place for good; the job does not know."""
    COMPLETED = "completed"
    """Server: the job is completed; nobody has been told."""
    REQUEUED = "requeued"
    """Server: an attempt that was interrupted has put its job back."""
    RECOVERED = "recovered"
    """Server: the job of a dead server is back in the queue, its part files are still there."""


def reached(point: Point) -> None:
    """Do what a test has asked for at this point; as a rule nothing."""
    if not _FOLDER:
        return
    path = Path(_FOLDER, point)
    try:
        name, _, how = path.read_text().strip().partition(" ")
        if how != "always" and name != "held":
            path.unlink()
    except OSError:
        return  # nobody asked, or another process was here first
    if name == "held":
        while path.exists():
            time.sleep(0.01)
        return
    if name != "stuck":
        os.kill(os.getppid() if how == "parent" else os.getpid(), signal.Signals[name])
    while name == "stuck" or how == "parent":  # whose death ends this process, too
        time.sleep(60)
