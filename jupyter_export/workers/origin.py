"""What an export is made of, file by file: the part of its provenance that only a worker knows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..media.facts import SourceFacts
from ..media.plan import Plan
from ..media.recipe import SegmentRecipe, versions
from ..spec import ExportSpec, Source

__all__ = ["facts_of", "origin_of"]


def facts_of(spec: ExportSpec, plan: Plan, root: Path) -> Iterator[tuple[Source, SourceFacts]]:
    """Every source of `spec` with what is known about its file."""
    known = {facts.path: facts for facts in plan.sources}
    for _, source in spec.every_source():
        facts = known.get(os.path.realpath(root / source.path))
        if facts is not None:
            yield source, facts


def origin_of(spec: ExportSpec, plan: Plan, root: Path) -> dict[str, Any]:
    """``{"sources", "encoder", "models", "versions"}`` as JSON.

    Sources are named as the spec names them, each with the fingerprint of the file that was found
    there; models are SHA-256 by name; the encoder comes with every setting that changes its
    bytes, None where everything is copied.
    """
    recipes = [s.recipe for s in plan.segments if isinstance(s.recipe, SegmentRecipe)]
    steps = [
        step for r in recipes for step in (*(e for s in r.strands for e in s.steps), *r.effects)
    ]
    models: dict[str, str] = {}
    libraries = dict(versions())
    for step in steps:
        models.update(step.params.get("weights", {}))
        if "torch" in step.params:
            libraries["torch"] = step.params["torch"]
    prints = {s.path: facts.fingerprint for s, facts in facts_of(spec, plan, root)}
    return {
        "sources": [
            {"path": path, **mark.model_dump(mode="json")} for path, mark in prints.items()
        ],
        "encoder": recipes[0].encoder.model_dump(mode="json") if recipes else None,
        "models": models,
        "versions": libraries,
    }
