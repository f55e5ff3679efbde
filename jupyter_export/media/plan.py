"""Cut an export into segments: a pure function of the spec and the facts about its source."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from fractions import Fraction
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from ..errors import SpecError
from ..spec import Crop, Encoding, ExportSpec, Quality
from .effects.base import Picture
from .effects.crop import PLANAR_8BIT
from .facts import AudioFacts, Colour, FrameTimes, SourceFacts
from .path import Path
from .recipe import AudioRecipe, CropRecipe, EncoderRecipe, SegmentRecipe, digest, versions

if TYPE_CHECKING:
    from ..hardware.encoders import EncoderSettings

__all__ = ["AudioPlan", "Plan", "Segment", "make_plan"]

#: A group of pictures longer than this many segment lengths is cut inside.
_LONGEST = 2
#: AAC's sampling frequencies in Hz (ISO/IEC 14496-3, table 1.18).
_AAC_RATES = {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000}
#: Bits per second and channel, at which AAC-LC is transparent for most material.
_AAC_BIT_RATE = 96_000
#: Deeper formats that FFV1 takes as they are.
_DEEP = {f"yuv{chroma}p{bits}le" for chroma in (420, 422, 444) for bits in (10, 12)}
#: Frames per second to reckon with where the rate varies.
_USUAL_RATE = Fraction(30)
_RGB_SPACE = 0
_BT709 = 1


class _Plan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Segment(_Plan):
    """One piece of the output timeline."""

    id: str
    """The digest of its recipe: the name of its file."""
    kind: Literal["render"]
    frames: int
    start: int
    """Where it begins in the output, in the plan's time base."""
    recipe: SegmentRecipe


class AudioPlan(_Plan):
    """The output's audio track: packets copied, or rendered by a recipe."""

    id: str | None
    """Name of the rendered file; None where packets are copied."""
    facts: AudioFacts
    start: Fraction
    """Seconds on the source's clock at the output's time 0."""
    end: Fraction
    recipe: AudioRecipe | None


class Plan(_Plan):
    """The whole export."""

    source: SourceFacts
    suffix: str
    """Of the output; it decides the container."""
    segments: tuple[Segment, ...]
    audio: AudioPlan | None
    time_base: Fraction
    """Of the output's video."""
    duration: int
    """Of the output's video, in `time_base`."""
    total_frames: int
    rate: Fraction | None
    picture: Picture
    notes: tuple[str, ...] = ()


def make_plan(
    spec: ExportSpec,
    source: SourceFacts,
    times: FrameTimes,
    encoder: EncoderSettings,
    *,
    segment_seconds: float = 8.0,
    field: str = "sources[0]",
) -> Plan:
    """The plan of an export of one range of one source.

    Segments begin at the first keyframe after each multiple of `segment_seconds` of the
    *source's* time, so that moving the start of a clip leaves the later segments as they were.

    Raises:
        SpecError: a crop leaves the picture.
    """
    crop = next(iter(spec.sources[0].effects), None)
    pix_fmt = encoder.pix_fmt or _own_pix_fmt(source, crop)
    if pix_fmt == "yuv420p" and source.video.pix_fmt.startswith("yuvj") and encoder.pix_fmt:
        pix_fmt = "yuvj420p"  # the same samples; the name carries the full range
    if crop is not None:
        _check_inside(crop, source, field)
    picture = _picture(source, spec.encoding, crop, pix_fmt)
    recipe_encoder = EncoderRecipe(
        name=encoder.name,
        options=encoder.options,
        threads=encoder.thread_count,
        thread_type=encoder.thread_type,
        gop=encoder.gop_size(times.rate or _USUAL_RATE),
        hardware=encoder.hardware,
    )
    base = 1 / times.rate if times.rate else source.video.time_base
    segments = []
    for first, stop, count, position in _ranges(times, source, segment_seconds):
        recipe = SegmentRecipe(
            source=source.fingerprint,
            video=source.video,
            origin=source.origin,
            first=first,
            stop=stop,
            rate=times.rate,
            steps=tuple(_steps(crop, source, first, stop, pix_fmt)),
            picture=picture,
            colour=_colour(source),
            encoder=recipe_encoder,
            versions=versions(),
        )
        start = position if times.rate else first - times.pts[0]
        segments.append(
            Segment(id=digest(recipe), kind="render", frames=count, start=start, recipe=recipe)
        )
    total = len(times.pts)
    return Plan(
        source=source,
        suffix=PurePosixPath(spec.output).suffix.lower(),
        segments=tuple(segments),
        audio=_audio(spec, source, times, base),
        time_base=base,
        duration=total if times.rate else times.end - times.pts[0],
        total_frames=total,
        rate=times.rate,
        picture=picture,
        notes=source.notes,
    )


def _ranges(
    times: FrameTimes, source: SourceFacts, seconds: float
) -> Iterator[tuple[int, int, int, int]]:
    """``(first pts, end pts, frames, frames before)`` of each segment."""
    step = max(1, round(Fraction(seconds) / source.video.time_base))
    starts = [times.pts[0]]
    while True:
        begin = starts[-1]
        # The next line of the grid, counted from the source's own beginning.
        line = source.origin + ((begin - source.origin) // step + 1) * step
        i = bisect_left(times.keyframes, line)
        next_key = times.keyframes[i] if i < len(times.keyframes) else times.end
        if next_key - begin > _LONGEST * step:
            j = bisect_left(times.pts, line + step)
            next_key = min(next_key, times.pts[j] if j < len(times.pts) else times.end)
        if next_key >= times.end:
            break
        starts.append(next_key)
    for first, stop in zip(starts, [*starts[1:], times.end], strict=True):
        a, b = bisect_left(times.pts, first), bisect_left(times.pts, stop)
        yield first, stop, b - a, a


def _steps(
    crop: Crop | None, source: SourceFacts, first: int, stop: int, pix_fmt: str
) -> Iterator[CropRecipe]:
    if crop is None:
        return
    base = source.video.time_base
    path = Path(
        tuple(k.time for k in crop.keyframes),
        tuple((k.x, k.y, k.width, k.height) for k in crop.keyframes),
        crop.interpolation,
    ).between(float((first - source.origin) * base), float((stop - source.origin) * base))
    yield CropRecipe(
        times=path.times,
        points=path.points,  # type: ignore[arg-type]  # four values each, made above
        interpolation=path.interpolation,
        size=crop.size,
        pix_fmt=pix_fmt if pix_fmt in PLANAR_8BIT else "yuv420p",
        filter="bicubic",
    )


def _check_inside(crop: Crop, source: SourceFacts, field: str) -> None:
    width, height = source.video.upright_width, source.video.upright_height
    slack = 1.0  # a pixel: rounding, and pictures cut to even sides
    for i, key in enumerate(crop.keyframes):
        over = max(-key.x, -key.y, key.x + key.width - width, key.y + key.height - height)
        if over > slack:
            raise SpecError(
                f"At {key.time:g} s the crop of {key.width:g}×{key.height:g} at "
                f"({key.x:g}, {key.y:g}) leaves the {width}×{height} picture by {over:g} pixels.",
                "Move it inside, or make it smaller.",
                field=f"{field}.effects[0].keyframes[{i}]",
            )


def _picture(source: SourceFacts, encoding: Encoding, crop: Crop | None, pix_fmt: str) -> Picture:
    width, height = crop.size if crop else (source.video.upright_width, source.video.upright_height)
    if encoding.size is not None:
        width, height = encoding.size
    return Picture(width=width, height=height, pix_fmt=pix_fmt)


def _own_pix_fmt(source: SourceFacts, crop: Crop | None) -> str:
    """For lossless output: the source's own format, as far as the steps and FFV1 can take it."""
    own = source.video.pix_fmt.replace("yuvj", "yuv")
    if own in PLANAR_8BIT or (crop is None and own in _DEEP):
        return own
    return "yuv420p"


def _colour(source: SourceFacts) -> Colour:
    colour = source.video.colour
    if colour.space == _RGB_SPACE:
        return Colour(range=1, space=_BT709, primaries=_BT709, transfer=_BT709)
    return colour


def _audio(
    spec: ExportSpec, source: SourceFacts, times: FrameTimes, base: Fraction
) -> AudioPlan | None:
    facts = source.audio
    wanted = spec.encoding.audio
    if facts is None or wanted == "none":
        return None
    video = source.video.time_base
    start = times.pts[0] * video
    length = len(times.pts) * base if times.rate else (times.end - times.pts[0]) * video
    end = start + length
    # Only MP4 hides what a packet has before the range (an edit list), so only it is exact.
    to_mp4 = not spec.output.lower().endswith(".mkv")
    raw = source.format.startswith("mov") and facts.codec == "aac" and facts.profile == "LC"
    if wanted == "auto" and raw and to_mp4:
        return AudioPlan(id=None, facts=facts, start=start, end=end, recipe=None)
    recipe = AudioRecipe(
        source=source.fingerprint,
        audio=facts,
        start=start,
        end=end,
        sample_rate=facts.sample_rate if facts.sample_rate in _AAC_RATES else 48000,
        codec="flac" if spec.encoding.quality is Quality.LOSSLESS and wanted == "auto" else "aac",
        layout=_layout(facts.channels),
        bit_rate=_AAC_BIT_RATE * min(2, facts.channels) + 48_000 * max(0, facts.channels - 2),
        versions=versions(),
    )
    return AudioPlan(id=digest(recipe), facts=facts, start=start, end=end, recipe=recipe)


def _layout(channels: int) -> str:
    """A layout that AAC has, for every number of channels."""
    return {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(channels, "stereo")
