"""Cut an export into segments: a pure function of the spec and the facts about its sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from ..errors import SpecError
from ..spec import Compare, Effect, ExportSpec
from .animation import animated_picture, animated_rate, animation_recipe, check_length
from .bitstream import Bitstream
from .chapters import Chapter, chapters_of
from .cut import cut
from .effects import effect
from .effects.base import Picture
from .facts import Colour, SourceFacts
from .recipe import (
    AnimationRecipe,
    CopyRecipe,
    EncoderRecipe,
    MixRecipe,
    SegmentRecipe,
    StrandRecipe,
    digest,
    versions,
)
from .shapes import Shapes, checked, remarks, shapes_of, steps_of, upright_picture
from .smart import Copying, Streams, decide
from .sound import AudioPlan, plan_audio
from .stamps import Stamps
from .timeline import Clip, Part, Taken, clip_of, output_rate, parts_of

if TYPE_CHECKING:
    from ..hardware.encoders import EncoderSettings

__all__ = ["AudioPlan", "Plan", "Segment", "make_plan"]

#: Ticks that a frame may be shown in MP4, by FFmpeg's muxer (movenc.c).
_LONGEST = 2**31 - 1
#: Frames per second to reckon with where the rate varies.
_USUAL_RATE = Fraction(30)


class _Plan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Segment(_Plan):
    """One piece of the output timeline."""

    id: str
    """The digest of its recipe; of what is rendered, the name of its file."""
    kind: Literal["copy", "render"]
    """What is copied needs no work before everything is put together."""
    frames: int
    start: int
    """Where it begins in the output, in the plan's time base."""
    sources: tuple[int, ...]
    """For each strand of the recipe its file in the plan's sources."""
    recipe: SegmentRecipe | CopyRecipe


class Plan(_Plan):
    """The whole export."""

    sources: tuple[SourceFacts, ...]
    suffix: str
    """Of the output; it decides the container."""
    segments: tuple[Segment, ...]
    audio: AudioPlan | None
    chapters: tuple[Chapter, ...]
    time_base: Fraction
    """Of the output's video."""
    duration: int
    """Of the output's video, in `time_base`."""
    total_frames: int
    rate: Fraction | None
    picture: Picture
    animation: AnimationRecipe | None = None
    """How the segments become a moving picture; None where they stay as they are."""
    colour: Colour
    parameter_sets: tuple[str, ...]
    """Those of H.264 that copied packets refer to, in hexadecimal digits."""
    encoder: str | None
    """The name of what encodes the output; None where everything is copied."""
    notes: tuple[str, ...] = ()


def make_plan(
    spec: ExportSpec,
    sources: Sequence[SourceFacts],
    taken: Sequence[Taken],
    encoder: EncoderSettings,
    *,
    streams: Streams | None = None,
    segment_seconds: float = 8.0,
) -> Plan:
    """The plan of an export.

    `taken` are the spec's sources, and after them what it compares with; their files are
    `sources`. Only with `streams` packets are copied.

    Raises:
        SpecError: an effect or a transition cannot be done, or a frame is shown for too long.
    """
    limits = spec.container.animation
    alone = len(taken) == 1 and not taken[0].spec.speed and limits is None
    rate = output_rate(taken, spec.encoding.fps, alone=alone)
    if limits is not None and rate is not None:
        rate = animated_rate(rate, spec.encoding, limits)
    clips = [clip_of(t, rate) for t in taken]
    compared = clips.pop() if spec.compare else None
    upright = {t.field: upright_picture(t.facts) for t in taken}
    after = {
        t.field: checked(t.spec.effects, upright[t.field], f"{t.field}.effects") for t in taken
    }
    leading = clips[0].taken

    def shapes_for(encoder: EncoderSettings) -> Shapes:
        return shapes_of(spec, sources, after[leading.field], encoder.pix_fmt)

    shapes = shapes_for(encoder)
    checked(spec.effects, shapes.canvas, "effects")
    if limits is not None:
        smaller = animated_picture(shapes.canvas, spec.encoding, limits)
        shapes = replace(shapes, picture=smaller)
    sounding = clips
    if compared is not None and spec.compare is not None:
        layout = spec.compare.layout
        if layout == "before_then_after":
            sounding = [compared, *clips]
            parts = parts_of(sounding, spec.transition, rate)
        else:
            parts = [_together(compared, clips[0], layout)]
    else:
        parts = parts_of(clips, spec.transition, rate)
    base = 1 / rate if rate else _own_base(leading)
    joined = shapes if streams is None else shapes_for(streams.joins)
    copying = decide(spec, parts, rate, joined, after, encoder, streams)
    if copying.streams:
        shapes, encoder = joined, copying.encoder
    recipe_encoder = EncoderRecipe(
        name=encoder.name,
        options=encoder.options,
        threads=encoder.thread_count,
        thread_type=encoder.thread_type,
        gop=encoder.gop_size(rate or _USUAL_RATE),
        hardware=encoder.hardware,
    )
    planner = _Planner(spec, shapes, upright, recipe_encoder, rate, base)
    seconds = min([segment_seconds, *(effect(e.type).segment_seconds for e in _effects(spec))])
    segments = tuple(_segments(planner, copying, seconds, rate))
    rendering = encoder.name if any(s.kind == "render" for s in segments) else None
    total = sum(part.count for part in parts)
    if limits is not None and rate is not None:
        check_length(spec, total / rate, limits)
    first = taken[0].times
    return Plan(
        sources=tuple(sources),
        suffix=PurePosixPath(spec.output).suffix.lower(),
        segments=segments,
        audio=plan_audio(spec, sounding, parts, rate),
        chapters=chapters_of(spec, clips, parts),
        time_base=base,
        duration=total if rate else first.end - first.pts[0],
        total_frames=total,
        rate=rate,
        picture=shapes.picture,
        animation=None if limits is None else animation_recipe(spec, limits),
        colour=shapes.colour,
        parameter_sets=tuple(u.hex() for u in copying.sets),
        encoder=limits.encoder if limits is not None else rendering,
        notes=(*remarks(sources, shapes), *copying.notes, *_of_effects(spec)),
    )


def _own_base(taken: Taken) -> Fraction:
    """The source's own time base, in which every time of its frames stays exact."""
    base = taken.facts.video.time_base
    length, at = taken.times.longest
    if length > _LONGEST:
        raise SpecError(
            f"The frame at {float((at - taken.facts.origin) * base):g} s would be shown for "
            f"{float(length * base):g} s: more than MP4 can count in ticks of {base} s.",
            "Set encoding.fps; or, if its times are damaged, export what lies before and after it "
            "(start, end).",
            field="encoding.fps",
        )
    return base


def _of_effects(spec: ExportSpec) -> Iterator[str]:
    for entry in _effects(spec):
        yield from effect(entry.type).remarks(entry)


def _segments(
    planner: _Planner, copying: Copying, seconds: float, rate: Fraction | None
) -> Iterator[Segment]:
    for piece in copying.pieces:
        if piece.copied:
            yield planner.copied(piece.part, copying.streams)
        else:
            for i, j in cut(piece.part, seconds, rate):
                yield planner.segment(piece.part, i, j)


def _together(before: Clip, after: Clip, layout: Literal["side_by_side", "wipe"]) -> Part:
    """Both at once, as long as the later one lasts; the other one waits on its last frame."""
    count = len(after.shown)
    shown = (*before.shown[:count], *before.shown[-1:] * (count - len(before.shown)))
    mix = MixRecipe(type=layout, length=count if layout == "wipe" else 1)
    return Part((Clip(before.taken, shown, every=False), after), (0, 0), count, 0, mix)


def _effects(spec: ExportSpec) -> list[Effect]:
    every = [e for _, source in spec.every_source() for e in source.effects]
    return [e for e in (*every, *spec.effects) if not isinstance(e, Compare)]


class _Planner:
    """Makes segments; holds what they all share."""

    def __init__(
        self,
        spec: ExportSpec,
        shapes: Shapes,
        upright: dict[str, Picture],
        encoder: EncoderRecipe,
        rate: Fraction | None,
        base: Fraction,
    ) -> None:
        self._spec = spec
        self._shapes = shapes
        self._upright = upright
        self._encoder = encoder
        self._rate = rate
        self._base = base

    def segment(self, part: Part, i: int, j: int) -> Segment:
        """The frames `i` to `j` of `part`."""
        strands = tuple(
            self._strand(clip, first + i, first + j)
            for clip, first in zip(part.clips, part.firsts, strict=True)
        )
        stamps, begin, end = self._stamps(part, i, j)
        effects = steps_of(
            self._spec.effects,
            self._shapes.canvas,
            float(begin * self._base),
            float(end * self._base),
        )
        mix = part.mix
        if mix is not None and mix.type != "side_by_side":
            mix = mix.model_copy(update={"offset": i})
        recipe = SegmentRecipe(
            strands=strands,
            mix=mix,
            canvas=self._shapes.canvas,
            effects=effects,
            start=begin * self._base if effects else None,
            rate=self._rate,
            time_base=self._base,
            stamps=Stamps.of(stamps),
            picture=self._shapes.picture,
            colour=self._shapes.colour,
            encoder=self._encoder,
            versions=versions(),
        )
        return Segment(
            id=digest(recipe),
            kind="render",
            frames=j - i,
            start=begin,
            sources=tuple(clip.taken.index for clip in part.clips),
            recipe=recipe,
        )

    def copied(self, part: Part, streams: Mapping[str, Bitstream]) -> Segment:
        """All of `part`, which is of one clip, as it is in its source."""
        (clip,), (first,) = part.clips, part.firsts
        stream = streams[clip.taken.field]
        stamps, begin, _ = self._stamps(part, 0, part.count)
        recipe = CopyRecipe(
            source=clip.taken.facts.fingerprint,
            stream=clip.taken.facts.video.index,
            shown=Stamps.of(clip.shown[first : first + part.count]),
            stamps=Stamps.of(stamps),
            time_base=self._base,
            delay=stream.delay,
            bytes=sum(stream.sizes[first : first + part.count]),
        )
        return Segment(
            id=digest(recipe),
            kind="copy",
            frames=part.count,
            start=begin,
            sources=(clip.taken.index,),
            recipe=recipe,
        )

    def _stamps(self, part: Part, i: int, j: int) -> tuple[Sequence[int], int, int]:
        """The time stamps from 0, and where the segment begins and ends in the output."""
        if self._rate is not None:
            return range(j - i), part.start + i, part.start + j
        clip, first = part.clips[0], part.firsts[0]
        shown, zero = clip.shown, clip.shown[0]
        stop = shown[first + j] if first + j < len(shown) else clip.taken.times.end
        begin = shown[first + i]
        return [pts - begin for pts in shown[first + i : first + j]], begin - zero, stop - zero

    def _strand(self, clip: Clip, i: int, j: int) -> StrandRecipe:
        taken = clip.taken
        start, end = clip.seconds(i, j)
        return StrandRecipe(
            source=taken.facts.fingerprint,
            video=taken.facts.video,
            origin=taken.facts.origin,
            shown=Stamps.of(clip.shown[i:j]),
            steps=steps_of(
                taken.spec.effects, self._upright[taken.field], float(start), float(end)
            ),
            picture=self._shapes.strand,
        )
