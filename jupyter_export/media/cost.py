"""What an export takes on a machine of reference, in seconds and bytes: pure functions of its plan.

These are the defaults of an estimate. They are never right by themselves: a server learns from its
finished exports by which factors its own machine differs (`jupyter_export.queue.speeds`). Nothing
here may decide how an export is cut: a plan must not change between attempts.

The machine of reference has 2 cores (of 2023, with AVX-512). Per megapixel of 4:2:0 video, medians
over the clips of the tests: decoding of H.264 1.6 ms; x264 2.8, 10 and 32 ms for the presets of
fast, balanced and quality; the other encoders relative to that as in their makers' own tables.
Bits per pixel, and the time of software encoders, are those of footage of 0.1 bits per pixel at the
source. Of other footage the bits are in proportion to that, as motion and detail ask for them at
both ends, and the time grows with a power of the bits: slower presets look for more. A picture that
is shrunk has more detail in every pixel. What a source is really like, its first export tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from fractions import Fraction
from typing import Any

from ..spec import ExportSpec, Quality
from .cache import SegmentCache
from .effects import effect
from .facts import SourceFacts
from .plan import Plan, Segment
from .recipe import CopyRecipe, SegmentRecipe, StepRecipe, StrandRecipe

__all__ = [
    "BYTES_PER_SECOND",
    "Work",
    "key_of",
    "lively",
    "outcome",
    "segment_work",
    "shared_work",
    "source_of",
]

#: Milliseconds per megapixel.
_DECODE_MS = {"h264": 1.6, "hevc": 2.2, "av1": 2.5, "vp9": 2.5, "ffv1": 6.0, "mpeg2video": 1.0}
_USUAL_DECODE_MS = 2.5
_MIX_MS = 3.0
_ENCODE_MS = {
    "libx264": (2.8, 10.0, 32.0),
    "libx265": (9.0, 30.0, 110.0),
    "libsvtav1": (6.0, 14.0, 40.0),
    "ffv1": (9.0, 9.0, 9.0),
    "gif": (25.0, 25.0, 25.0),
    "libwebp_anim": (60.0, 60.0, 60.0),
}
_LIVELY = (0.35, 0.45, 0.5)
_SHRUNK = 0.27
_SCALE_MS = 2.5
_HARDWARE_MS = (1.5, 2.0, 4.0)
_BITS = {
    "h264": (0.16, 0.2, 0.35),
    "hevc": (0.11, 0.14, 0.26),
    "av1": (0.1, 0.13, 0.24),
    "ffv1": (5.0, 5.0, 5.0),
    "gif": (2.5, 2.5, 2.5),
    "libwebp_anim": (0.8, 0.8, 0.8),
}
_QUALITIES = (Quality.FAST, Quality.BALANCED, Quality.QUALITY)
_REFERENCE_BITS = 0.1
_FIXED_SECONDS = 0.35
_FRAME_SECONDS = 6e-6
_SOUND_SECONDS = 0.012
"""Per second of sound that is encoded."""
BYTES_PER_SECOND = 120e6
"""Of joining: read, written, hashed, and moved once more for an index at the beginning."""
_USUAL_SOUND_BITS = 128_000
_FLAC_BITS = 700_000


@dataclass(frozen=True)
class Work:
    """Seconds on the machine of reference, by what is done in them; and bytes."""

    fixed: float = 0.0
    decode: float = 0.0
    effects: float = 0.0
    encode: float = 0.0
    write: float = 0.0
    coded: float = 0.0
    """Bytes that are encoded."""

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def to_json(self) -> list[float]:
        """For the pipes and for the store."""
        return [round(value, 6) for value in astuple(self)]


def segment_work(segment: Segment, plan: Plan, quality: Quality) -> Work:
    """What rendering a segment takes; nothing where it is copied."""
    recipe = segment.recipe
    if not isinstance(recipe, SegmentRecipe):
        return Work()
    frames = segment.frames
    decode = effects = 0.0
    for strand in recipe.strands:
        ms = _DECODE_MS.get(strand.video.codec, _USUAL_DECODE_MS)
        stored = strand.video.width, strand.video.height
        decode += ms * _megapixels(*stored)
        if not strand.steps and stored != (strand.picture.width, strand.picture.height):
            effects += _SCALE_MS * _megapixels(*stored)
        effects += 1e3 * _seconds(strand.steps)
    effects += 1e3 * _seconds(recipe.effects)
    width, height = recipe.picture.width, recipe.picture.height
    if recipe.mix is not None:
        effects += _MIX_MS * _megapixels(width, height)
    encoder = plan.encoder or recipe.encoder.name
    # What joins copies can be another encoder than that of the plan, but never another codec.
    encode = _per_quality(_ENCODE_MS.get(encoder, _HARDWARE_MS), quality)
    size = _megapixels(width, height)
    if plan.animation is not None:
        encode += _per_quality(_ENCODE_MS["ffv1"], quality)
    bits = _per_quality(_BITS.get(_codec(encoder), _BITS["h264"]), quality)
    if _codec(encoder) not in {"ffv1", "gif"}:
        rich = max(
            _richness(plan.sources[i], plan.rate) * _shrunk(strand, size)
            for i, strand in zip(segment.sources, recipe.strands, strict=True)
        )
        bits *= rich
        if not recipe.encoder.hardware:
            encode *= rich ** lively(quality)
    return Work(
        decode=decode * frames / 1e3,
        effects=effects * frames / 1e3,
        encode=encode * size * frames / 1e3,
        coded=bits * size * 1e6 * frames / 8,
    )


def shared_work(plan: Plan, size: float) -> Work:
    """What all of it takes beside rendering, if the output has so many bytes."""
    seconds = float(plan.duration * plan.time_base)
    sound = seconds * _SOUND_SECONDS if plan.audio is not None and plan.audio.recipe else 0.0
    return Work(
        fixed=_FIXED_SECONDS + plan.total_frames * _FRAME_SECONDS,
        write=sound + size / BYTES_PER_SECOND,
    )


def copied_bytes(segments: Iterable[Segment]) -> int:
    """Bytes of the packets that are copied."""
    return sum(s.recipe.bytes for s in segments if isinstance(s.recipe, CopyRecipe))


def sound_bytes(plan: Plan) -> float:
    """Bytes of the sound."""
    if plan.audio is None:
        return 0.0
    recipe = plan.audio.recipe
    if recipe is not None:
        bits = _FLAC_BITS if recipe.codec == "flac" else recipe.bit_rate
    else:
        known = [plan.sources[i].audio_bits for i in plan.audio.sources if i is not None]
        bits = max((bits for bits in known if bits), default=_USUAL_SOUND_BITS)
    return bits / 8 * float(plan.duration * plan.time_base)


def lively(quality: Quality) -> float:
    """The power of its bits with which the time of encoding in software grows."""
    return _per_quality(_LIVELY, quality)


def source_of(plan: Plan) -> str:
    """Names what is exported, whatever is done to it: its detail is learnt, too."""
    return " ".join(sorted({source.fingerprint.ends[:16] for source in plan.sources[:4]}))


def key_of(spec: ExportSpec, plan: Plan) -> str:
    """What exports are called whose times are alike but for their size and length."""
    devices = {
        step.params["device"]
        for segment in plan.segments
        if isinstance(segment.recipe, SegmentRecipe)
        for strand in segment.recipe.strands
        for step in (*strand.steps, *segment.recipe.effects)
        if "device" in step.params
    }
    upscaled = [f"upscaled on {device}" for device in sorted(devices)]
    quality = spec.encoding.quality.value
    return " ".join([spec.kind.value, plan.encoder or "copy", quality, *upscaled])


def outcome(spec: ExportSpec, plan: Plan, cache: SegmentCache) -> dict[str, Any]:
    """What the export of `plan` would be, and take: all that an estimate rests on, as JSON.

    Segments that are in `cache` count as reused.
    """
    kinds = {"copied": 0, "rendered": 0, "reused": 0}
    total = Work()
    known = copied_bytes(plan.segments) + sound_bytes(plan)
    for segment in plan.segments:
        entry = None if segment.kind == "copy" else cache.peek(segment.id)
        if entry is not None and plan.animation is None:
            known += entry.bytes
        if segment.kind == "copy":
            kinds["copied"] += 1
        elif entry is not None:
            kinds["reused"] += 1
        else:
            kinds["rendered"] += 1
            total += segment_work(segment, plan, spec.encoding.quality)
    return {
        "key": key_of(spec, plan),
        "source": source_of(plan),
        "lively": lively(spec.encoding.quality),
        "frames": plan.total_frames,
        "duration": float(plan.duration * plan.time_base),
        "width": plan.picture.width,
        "height": plan.picture.height,
        "encoder": plan.encoder,
        "segments": {**kinds, "total": len(plan.segments)},
        "work": (total + shared_work(plan, total.coded + known)).to_json(),
        "known_bytes": known,
        "notes": list(plan.notes),
    }


def _seconds(steps: Iterable[StepRecipe]) -> float:
    return sum(effect(step.type).seconds(step.params, step.picture) for step in steps)


def _megapixels(width: int, height: int) -> float:
    return width * height / 1e6


def _per_quality(values: tuple[float, ...], quality: Quality) -> float:
    return values[_QUALITIES.index(quality)] if quality in _QUALITIES else values[1]


def _codec(encoder: str) -> str:
    known = {"libx264": "h264", "libx265": "hevc", "libsvtav1": "av1"}
    return known.get(encoder, encoder.partition("_")[0] if encoder not in _BITS else encoder)


def _richness(source: SourceFacts, rate: Fraction | None) -> float:
    """How much more than usual a source has to be said about it."""
    if not source.duration:
        return 1.0
    pixels = source.video.width * source.video.height * source.duration * float(rate or 30)
    sound = (source.audio_bits or 0) * source.duration
    bits = max(0.0, source.fingerprint.size * 8 - sound) / pixels
    return float(min(4.0, max(0.05, bits / _REFERENCE_BITS)))


def _shrunk(strand: StrandRecipe, megapixels: float) -> float:
    """How much more detail each pixel has than in the source."""
    if strand.steps:
        return 1.0
    stored = _megapixels(strand.video.width, strand.video.height)
    return float((stored / megapixels) ** _SHRUNK)
