"""Plan the output's audio track: copied, or rendered by a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from pydantic import BaseModel, ConfigDict

from ..spec import ExportSpec, Quality
from .facts import AudioFacts
from .recipe import AudioPart, AudioPiece, AudioRecipe, digest, versions
from .timeline import Clip, Part, pieces_of

__all__ = ["AudioPlan", "plan_audio"]

#: AAC's sampling frequencies in Hz (ISO/IEC 14496-3, table 1.18).
_AAC_RATES = {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000}
#: Bits per second and channel, at which AAC-LC is transparent for most material.
_AAC_BIT_RATE = 96_000


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
    if facts is None or wanted == "none":
        return None
    if len(clips) == 1 and clips[0].every:
        clip = clips[0]
        start = _clock(clip, clip.taken.times.pts[0])
        end = start + _length(clip, rate)
        # Only MP4 hides what a packet has before the range (an edit list), so only it is exact.
        to_mp4 = not spec.output.lower().endswith(".mkv")
        format = clip.taken.facts.format
        raw = format.startswith("mov") and facts.codec == "aac" and facts.profile == "LC"
        if wanted == "auto" and raw and to_mp4:
            sources = (clip.taken.index,)
            return AudioPlan(
                id=None, sources=sources, facts=facts, start=start, end=end, recipe=None
            )
    recipe = AudioRecipe(
        parts=tuple(_part(clip, parts, rate) for clip in clips),
        sample_rate=facts.sample_rate if facts.sample_rate in _AAC_RATES else 48000,
        codec="flac" if spec.encoding.quality is Quality.LOSSLESS and wanted == "auto" else "aac",
        layout=_layout(facts.channels),
        bit_rate=_AAC_BIT_RATE * min(2, facts.channels) + 48_000 * max(0, facts.channels - 2),
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


def _layout(channels: int) -> str:
    """A layout that AAC has, for every number of channels."""
    return {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(channels, "stereo")
