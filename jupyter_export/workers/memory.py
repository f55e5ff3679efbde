"""GPU memory of the tasks of one worker: what a plan will take, and what a task has taken."""

from __future__ import annotations

import sys
from typing import Any

from ..media.effects import effect
from ..media.plan import Plan
from ..media.recipe import SegmentRecipe
from ..upscale.memory import CONTEXT_MIB

__all__ = ["peak_mib", "vram_of"]

_MIB = 2**20


def vram_of(plan: Plan) -> dict[str, Any] | None:
    """``{"mib", "key"}`` of the segment that takes most of a GPU; None if none takes any.

    `key` is what such exports are remembered under, for what they are measured to take.
    """
    most: tuple[int, str] | None = None
    for segment in plan.segments:
        if not isinstance(segment.recipe, SegmentRecipe):
            continue
        steps = [step for strand in segment.recipe.strands for step in strand.steps]
        found = [
            taken
            for step in (*steps, *segment.recipe.effects)
            if (taken := effect(step.type).gpu_memory(step.params, step.picture)) is not None
        ]
        if found:
            total = sum(mib for mib, _ in found), " + ".join(sorted(key for _, key in found))
            most = total if most is None else max(most, total)
    return None if most is None else {"mib": most[0], "key": most[1]}


def peak_mib() -> int:
    """The most GPU memory that this process has held since it was last asked, context included;
    0 if it used none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    peak = torch.cuda.max_memory_reserved()
    torch.cuda.reset_peak_memory_stats()
    return -int(-peak // _MIB) + CONTEXT_MIB
