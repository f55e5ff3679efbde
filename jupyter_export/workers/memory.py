"""GPU memory of the tasks of one worker: what a plan will take, and what a task has taken."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ..media.effects import effect
from ..media.plan import Plan
from ..media.recipe import SegmentRecipe, StepRecipe
from ..upscale.memory import CONTEXT_MIB

__all__ = ["free_gpu", "peak_mib", "vram_of"]

_MIB = 2**20


def vram_of(plan: Plan) -> dict[str, Any] | None:
    """``{"mib", "key", "least_mib", "changes"}`` of the segment that takes most of a GPU; None if
    none takes any.

    `key` is what such exports are remembered under, for what they are measured to take.
    `least_mib` is what they can do with, slowly, and `changes` are ``[words, MiB]`` of what a user
    can change where even that is too much.
    """
    most: tuple[int, str, list[tuple[StepRecipe, int]]] | None = None
    for segment in plan.segments:
        if not isinstance(segment.recipe, SegmentRecipe):
            continue
        steps = [step for strand in segment.recipe.strands for step in strand.steps]
        found = [
            (step, *taken)
            for step in (*steps, *segment.recipe.effects)
            if (taken := effect(step.type).gpu_memory(step.params, step.picture)) is not None
        ]
        if not found:
            continue
        mib, key = sum(mib for _, mib, _ in found), " + ".join(sorted(key for *_, key in found))
        if most is None or (mib, key) > most[:2]:
            most = mib, key, [(step, mib) for step, mib, _ in found]
    if most is None:
        return None
    mib, key, taken_by = most
    return {"mib": mib, "key": key, **_levers(taken_by)}


def _levers(steps: Sequence[tuple[StepRecipe, int]]) -> dict[str, Any]:
    """What the steps of one segment can do with together, and what makes it less."""
    each = [(effect(s.type).gpu_levers(s.params, s.picture), mib) for s, mib in steps]
    floors = [mib if levers is None else min(mib, levers.least_mib) for levers, mib in each]
    changes = [
        [words, sum(floors) - floor + less]
        for (levers, _), floor in zip(each, floors, strict=True)
        for words, less in (levers.changes if levers is not None else ())
    ]
    return {"least_mib": sum(floors), "changes": changes}


def free_gpu() -> None:
    """Give back what this process's allocator keeps of a GPU for later."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def peak_mib() -> int:
    """The most GPU memory that this process has held since it was last asked, context included;
    0 if it used none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    peak = torch.cuda.max_memory_reserved()
    torch.cuda.reset_peak_memory_stats()
    return -int(-peak // _MIB) + CONTEXT_MIB
