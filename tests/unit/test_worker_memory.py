"""What the worker tells of the GPU memory that an export will take."""

from __future__ import annotations

from pathlib import Path

from support import framing_spec

from jupyter_export.media.plan import Plan
from jupyter_export.media.recipe import SegmentRecipe, StepRecipe
from jupyter_export.spec import parse
from jupyter_export.upscale.catalogue import GENERAL, PUBLISHED
from jupyter_export.upscale.memory import estimate, least
from jupyter_export.upscale.tiles import Layout
from jupyter_export.workers.memory import vram_of
from jupyter_export.workers.planning import make_plan_of


def plan(media: Path) -> Plan:
    spec = framing_spec("bikes_no_audio.mp4", "o.mp4", [(0, 0, 0, 320, 180)], (320, 180))
    return make_plan_of({"root": str(media)}, parse(spec), "libx264")


def upscaled(plan: Plan, device: str, sides: list[int], backend: str = "engine") -> Plan:
    """`plan`, in which the n-th segment enlarges pictures whose shorter side is ``sides[n]``."""
    segments = []
    for segment, side in zip(plan.segments * len(sides), sides, strict=False):
        recipe = segment.recipe
        assert isinstance(recipe, SegmentRecipe)
        picture = recipe.strands[0].picture.model_copy(update={"width": 2 * side, "height": side})
        params = {
            "model": GENERAL,
            "weights": {GENERAL: PUBLISHED[GENERAL].sha256},
            "denoise": None,
            "size": [8 * side, 4 * side],
            "backend": backend,
            "device": device,
            "memory": 2048,
        }
        step = StepRecipe(type="upscale", version=1, params=params, picture=picture)
        strand = recipe.strands[0].model_copy(update={"steps": (step,)})
        changed = recipe.model_copy(update={"strands": (strand,)})
        segments.append(segment.model_copy(update={"recipe": changed}))
    return plan.model_copy(update={"segments": tuple(segments)})


def test_an_export_without_a_gpu_effect_asks_for_no_gpu_memory(media: Path) -> None:
    assert vram_of(plan(media)) is None
    assert vram_of(upscaled(plan(media), "cpu", [180])) is None


def test_the_segment_that_takes_most_counts(media: Path) -> None:
    found = vram_of(upscaled(plan(media), "cuda", [90, 360, 180]))
    assert found is not None
    shape = PUBLISHED[GENERAL].shape
    assert found["mib"] == estimate(shape, 720, 360, (2880, 1440)).total
    assert GENERAL in found["key"] and "720x360" in found["key"]


def test_a_plan_tells_the_least_that_it_can_do_with_and_what_would_need_less(media: Path) -> None:
    found = vram_of(upscaled(plan(media), "cuda", [1080]))
    assert found is not None
    shape = PUBLISHED[GENERAL].shape
    assert found["least_mib"] == least(shape, 2160, 1080, (8640, 4320)).total < found["mib"]
    assert [words for words, _ in found["changes"]] == ["scale 2", "a crop to 1080×540 before it"]
    assert all(mib < found["least_mib"] for _, mib in found["changes"])


def test_the_package_realesrgan_needs_room_for_the_whole_picture_at_once(media: Path) -> None:
    # 4320 lines: more than the engine would take at once.
    found = vram_of(upscaled(plan(media), "cuda", [2160], "realesrgan"))
    engine = vram_of(upscaled(plan(media), "cuda", [2160]))
    assert found is not None and engine is not None
    shape = PUBLISHED[GENERAL].shape
    whole = estimate(shape, 4320, 2160, (17280, 8640), layout=Layout(4320, 1))
    assert found["mib"] == found["least_mib"] == whole.total > engine["mib"]
    assert found["changes"] == [["`upscale_backend` engine", engine["least_mib"]]]
    assert found["key"] != engine["key"]
