"""The workers' real tasks, with a stand-in for effects that take GPU memory.

How much an export takes is in its project: ``2000``, or ``2000-late`` for one whose estimate is
not known before its plan, or ``2000-oom`` for one that runs out of memory beside others, or
``2000-never`` for one that always does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jupyter_export.errors import OutOfMemory
from jupyter_export.workers.tasks import TASKS as REAL

PEAK_MIB = 1500
SEEN = "GPU_TASKS_SEEN"
"""In the environment: the file in which every rendering worker tells what it sees."""


def _vram(spec: dict[str, Any], *, early: bool) -> dict[str, Any]:
    mib, _, how = (spec["project"] or "0").partition("-")
    if not int(mib) or (early and how == "late"):
        return {}
    return {"vram": {"mib": int(mib), "key": f"test {mib} {how}"}}


def inspect(params: dict[str, Any], context: Any) -> dict[str, Any]:
    return {**REAL["inspect"](params, context), **_vram(params["spec"], early=True)}


def plan(params: dict[str, Any], context: Any) -> dict[str, Any]:
    found = _vram(params["spec"], early=False)
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
        raise OutOfMemory("It took 9 GB.", "Use scale 2.")
    return {**REAL["render"](params, context), "vram_peak_mib": PEAK_MIB if device else 0}


def _tell(*what: str) -> None:
    with Path(os.environ[SEEN]).open("a") as file:
        file.write(" ".join([what[0], str(os.getpid()), *what[1:]]) + "\n")


TASKS = {**REAL, "inspect": inspect, "plan": plan, "render": render}
