"""One frame of an export, exactly as the export would render it, as a JPEG."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import closing
from fractions import Fraction

from ..errors import SourceUnreadable
from .effects.base import Picture
from .graph import Convert
from .plan import Plan, Segment
from .reader import Reader
from .recipe import SegmentRecipe
from .render import segment_frames
from .stamps import Stamps

__all__ = ["at_time", "jpeg_of"]

_QUALITY = 85


def at_time(plan: Plan, time: float) -> tuple[Segment, SegmentRecipe, Fraction]:
    """What shows at `time` seconds of the output: its segment, a recipe for that frame alone, and
    when exactly the frame begins. Before the first frame it is that one; after the end, the last.
    """
    ticks = Fraction(time) / plan.time_base
    segments = plan.segments
    segment = segments[max(0, bisect_right([s.start for s in segments], ticks) - 1)]
    recipe = segment.recipe
    assert isinstance(recipe, SegmentRecipe)  # a plan for previews copies nothing
    stamps = list(recipe.stamps.values())
    i = max(0, bisect_right(stamps, ticks - segment.start) - 1)
    return segment, _only(recipe, i), (segment.start + stamps[i]) * plan.time_base


def jpeg_of(recipe: SegmentRecipe, readers: Sequence[Reader], width: int) -> bytes:
    """The first frame of `recipe`, at most `width` pixels wide.

    Raises:
        SourceUnreadable: it cannot be decoded.
    """
    with closing(segment_frames(recipe, readers)) as frames:
        frame = next(frames, None)
        if frame is None:
            raise SourceUnreadable("This frame cannot be decoded.", "Choose another time.")
    shrink = min(1.0, width / frame.width)
    size = Picture(
        width=max(2, round(frame.width * shrink)),
        height=max(2, round(frame.height * shrink)),
        pix_fmt="rgb24",
    )
    facts = recipe.strands[0].video.model_copy(
        update={"colour": recipe.colour, "pix_fmt": frame.format.name}
    )
    image = Convert(facts, size, turn=False)(frame).to_image()  # type: ignore[no-untyped-call]
    data = io.BytesIO()
    image.save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()


def _only(recipe: SegmentRecipe, i: int) -> SegmentRecipe:
    """The recipe of frame `i` alone."""
    stamps = list(recipe.stamps.values())
    strands = tuple(
        strand.model_copy(update={"shown": Stamps.of([list(strand.shown.values())[i]])})
        for strand in recipe.strands
    )
    mix = recipe.mix
    if mix is not None and mix.type != "side_by_side":
        mix = mix.model_copy(update={"offset": mix.offset + i})
    start = recipe.start
    if start is not None:
        start += stamps[i] * recipe.time_base
    return recipe.model_copy(
        update={"strands": strands, "mix": mix, "start": start, "stamps": Stamps.of([0])}
    )
