"""Plan the output's audio track: copied, or rendered by a recipe.

Copied packets cannot begin in the middle of one. MP4 and QuickTime files hide what lies before
the range (an edit list); Matroska and WebM can only hide what the track itself declares to be its
decoder's delay. So between MP4 files AAC is copied from anywhere, and between Matroska files AAC
and Opus are copied from their beginning; everything else is encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import cast

from pydantic import BaseModel, ConfigDict

from ..spec import Container, ExportSpec, Quality
from .facts import AudioFacts
from .recipe import AudioCodec, AudioPart, AudioPiece, AudioRecipe, digest, versions
from .timeline import Clip, Part, pieces_of

__all__ = ["AudioPlan", "plan_audio"]

#: Sampling frequencies in Hz: of AAC (ISO/IEC 14496-3, table 1.18), of Opus the one that all of
#: its decoders give (RFC 6716).
_RATES = {
    "aac": {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000},
    "opus": {48000},
}
#: Bits per second of each of the first two channels, and of each further one, at which it is
#: transparent for most material.
_BIT_RATES = {"aac": (96_000, 48_000), "opus": (64_000, 48_000), "flac": (0, 0)}
#: Layouts that every codec has.
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
#: Seconds of sound before the first frame that a Matroska file may begin with: what its decoder
#: swallows, and the rounding of its time stamps.
_MOST_DELAY = Fraction(3, 100)


class AudioPlan(BaseModel):
    """The output's audio track."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None
    """Name of the rendered file; None where packets are copied."""
    sources: tuple[int | None, ...]
    """Per part the file in the plan's sources; None is silence. One, where packets are copied."""
    facts: AudioFacts
    """Of the first track that sounds."""
    start: Fraction
    """Of copied packets: seconds on the source's clock at the output's time 0."""
    end: Fraction
    recipe: AudioRecipe | None


def plan_audio(
    spec: ExportSpec, clips: Sequence[Clip], parts: Sequence[Part], rate: Fraction | None
) -> AudioPlan | None:
    """The track for `clips`, which sound one after another as `parts` show them; None if no
    source has sound, or none is wanted."""
    wanted = spec.encoding.audio
    facts = next((c.taken.facts.audio for c in clips if c.taken.facts.audio), None)
    if facts is None or wanted == "none" or not spec.container.audio:
        return None
    if wanted == "auto" and len(clips) == 1 and clips[0].every:
        clip = clips[0]
        start = _clock(clip, clip.taken.times.pts[0])
        end = start + _length(clip, rate)
        if _copies(facts, clip, start, spec.container):
            sources = (clip.taken.index,)
            return AudioPlan(
                id=None, sources=sources, facts=facts, start=start, end=end, recipe=None
            )
    codec = _codec(spec)
    # Nobody's sound loses a channel to that of another.
    channels = max(c.taken.facts.audio.channels for c in clips if c.taken.facts.audio)
    rates = _RATES.get(codec, {facts.sample_rate})
    first, further = _BIT_RATES[codec]
    layout = _LAYOUTS.get(channels, "stereo" if channels < 6 else "5.1")
    count = {name: n for n, name in _LAYOUTS.items()}[layout]
    recipe = AudioRecipe(
        parts=tuple(_part(clip, parts, rate) for clip in clips),
        sample_rate=facts.sample_rate if facts.sample_rate in rates else 48000,
        codec=codec,
        layout=layout,
        bit_rate=first * min(2, count) + further * max(0, count - 2),
        versions=versions(),
    )
    return AudioPlan(
        id=digest(recipe),
        sources=tuple(c.taken.index if c.taken.facts.audio else None for c in clips),
        facts=facts,
        start=Fraction(0),
        end=Fraction(0),
        recipe=recipe,
    )


def _codec(spec: ExportSpec) -> AudioCodec:
    codec: str = spec.encoding.audio
    if codec == "auto":
        lossless = spec.encoding.quality is Quality.LOSSLESS
        codec = "flac" if lossless else spec.container.audio[0]
    return cast("AudioCodec", codec)


def _copies(facts: AudioFacts, clip: Clip, start: Fraction, to: Container) -> bool:
    """Whether the packets from `start` (on the source's clock) are right in the file `to`."""
    source = clip.taken.facts.format
    if source.startswith("mov") and to.format in ("mp4", "mov"):
        return facts.codec == "aac" and facts.profile == "LC"
    if source.startswith("matroska") and to.format in ("matroska", "webm"):
        known = facts.codec in to.audio and facts.codec in ("aac", "opus")
        return known and facts.start is not None and facts.start >= start - _MOST_DELAY
    return False


def _part(clip: Clip, parts: Sequence[Part], rate: Fraction | None) -> AudioPart:
    """What sounds while `clip` is shown, with the fades of its transitions."""
    facts = clip.taken.facts
    overlap = fade_in = fade_out = Fraction(0)
    for part in parts:
        if part.mix is None or rate is None:
            continue
        seconds = part.count / rate
        if part.mix.type == "dissolve" and part.clips[-1] is clip:
            overlap = seconds
        elif part.mix.type == "fade_in" and part.clips[0] is clip:
            fade_in = seconds
        elif part.mix.type == "fade_out" and part.clips[0] is clip:
            fade_out = seconds
    offset = facts.origin * facts.video.time_base
    length = _length(clip, rate)
    pieces: tuple[AudioPiece, ...]
    if clip.every:
        start = _clock(clip, clip.taken.times.pts[0])
        pieces = (AudioPiece(start=start, end=start + length, rate=Fraction(1)),)
    else:
        pieces = tuple(
            AudioPiece(start=p.start + offset, end=p.end + offset, rate=p.rate)
            for p in pieces_of(clip.taken)
        )
    return AudioPart(
        source=facts.fingerprint if facts.audio else None,
        audio=facts.audio,
        pieces=pieces if facts.audio else (),
        length=length,
        fade_in=fade_in,
        fade_out=fade_out,
        overlap=overlap,
    )


def _clock(clip: Clip, pts: int) -> Fraction:
    return pts * clip.taken.facts.video.time_base


def _length(clip: Clip, rate: Fraction | None) -> Fraction:
    """Seconds of output, transitions included."""
    if rate is not None:
        return len(clip.shown) / rate
    times = clip.taken.times
    return (times.end - times.pts[0]) * clip.taken.facts.video.time_base
