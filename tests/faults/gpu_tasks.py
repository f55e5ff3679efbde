"""The workers' real tasks, with a stand-in for effects that take GPU memory.

How much an export takes is in its project: ``2000``, or ``2000-late`` for one whose estimate is
not known before its plan, or ``2000-oom`` for one that runs out of memory beside others, or
``2000-never`` for one that always does, or ``9000-huge`` for one that needs that much whatever
happens, but could do with ``scale 2`` (``9000-huge-late``: known from its plan on), or
``2000-lost`` for one under which the GPU fails, or ``2000-crash`` for one whose driver crashes.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from jupyter_export.errors import GpuFailed, OutOfMemory
from jupyter_export.workers.tasks import TASKS as REAL

PEAK_MIB = 1500
SEEN = "GPU_TASKS_SEEN"
"""In the environment: the file in which every rendering worker tells what it sees."""


def _vram(spec: dict[str, Any], *, early: bool) -> dict[str, Any]:
    mib, _, how = (spec["project"] or "0").partition("-")
    if not int(mib) or (early and how.endswith("late")):
        return {}
    found: dict[str, Any] = {"mib": int(mib), "key": f"test {mib} {how}"}
    if how.startswith("huge"):
        found |= {"least_mib": int(mib), "changes": [["scale 2", 1126], ["a wish", 8000]]}
    if how == "never":
        found |= {"least_mib": 1300, "changes": [["scale 2", 1126], ["a larger crop", 1400]]}
    return {"vram": found}


def inspect(params: dict[str, Any], context: Any) -> dict[str, Any]:
    return {**REAL["inspect"](params, context), **_vram(params["spec"], early=True)}


def plan(params: dict[str, Any], context: Any) -> dict[str, Any]:
    found = {} if params["on_processor"] else _vram(params["spec"], early=False)
    if found:
        _tell("plan", found["vram"]["key"])
    return {**REAL["plan"](params, context), **found}


def render(params: dict[str, Any], context: Any) -> dict[str, Any]:
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    _tell("render", device)
    lines = Path(os.environ[SEEN]).read_text().splitlines()
    planned = [line.split() for line in lines if line.startswith("plan")]
    how = planned[-1][-1] if planned else ""
    tries = sum(line[-1] == how for line in planned)
    if device and (how == "never" or (how == "oom" and tries == 1)):
        raise OutOfMemory("It took 9 GB.", "Use a smaller model.")
    if device and how == "lost":
        raise GpuFailed("The GPU failed: CUDA error: unspecified launch failure.", "Look at it.")
    if device and how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    return {**REAL["render"](params, context), "vram_peak_mib": PEAK_MIB if device else 0}


def _tell(*what: str) -> None:
    with Path(os.environ[SEEN]).open("a") as file:
        file.write(" ".join([what[0], str(os.getpid()), *what[1:]]) + "\n")


def estimate(params: dict[str, Any], context: Any) -> dict[str, Any]:
    return {**REAL["estimate"](params, context), **_vram(params["spec"], early=True)}


TASKS = {**REAL, "inspect": inspect, "plan": plan, "estimate": estimate, "render": render}
