"""One frame of an export, exactly as the export would render it, as a JPEG."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction

from ..errors import SourceUnreadable
from .effects.base import Picture
from .graph import Convert
from .plan import Plan, Segment
from .reader import Reader
from .recipe import SegmentRecipe
from .render import segment_frames
from .stamps import Stamps
from .tone import BT709

__all__ = ["Shown", "at_time", "jpeg_of", "source_offset"]

_QUALITY = 85

#: Seconds by which a time that was told in decimals may come before the frame that it is of.
_ROUNDING = Fraction(1, 10**6)


@dataclass(frozen=True)
class Shown:
    """What shows at one time of the output."""

    segment: Segment
    recipe: SegmentRecipe
    """Of this frame alone."""
    begin: Fraction
    """Seconds of the output at which it begins to be shown."""
    end: Fraction
    """When the next one does, or the output ends."""


def at_time(plan: Plan, time: Fraction) -> Shown:
    """What shows at `time` seconds of the output. Before the first frame it is that one; after
    the end, the last."""
    ticks = (time + _ROUNDING) / plan.time_base
    segments = plan.segments
    number = max(0, bisect_right([s.start for s in segments], ticks) - 1)
    segment = segments[number]
    recipe = segment.recipe
    assert isinstance(recipe, SegmentRecipe)  # a plan for previews copies nothing
    stamps = list(recipe.stamps.values())
    i = max(0, bisect_right(stamps, ticks - segment.start) - 1)
    if i + 1 < len(stamps):
        stop = segment.start + stamps[i + 1]
    else:
        stop = segments[number + 1].start if number + 1 < len(segments) else plan.duration
    begin, end = (segment.start + stamps[i]) * plan.time_base, stop * plan.time_base
    return Shown(segment, _only(recipe, i), begin, end)


def source_offset(plan: Plan) -> Fraction:
    """When the first frame of the output is shown in its source, in seconds."""
    recipe = plan.segments[0].recipe
    assert isinstance(recipe, SegmentRecipe)
    strand = recipe.strands[0]
    return (strand.shown.first - strand.origin) * strand.video.time_base


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
    video = recipe.strands[0].video
    convert = Convert(video, size, turn=False, own=recipe.colour, colour=BT709)
    image = convert(frame).to_image()  # type: ignore[no-untyped-call]
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
