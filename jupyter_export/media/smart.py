"""Decide which packets of the sources are copied, and what between them is rendered: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ..spec import ExportSpec, Kind, Quality
from .bitstream import DAMAGED, MISSING, Bitstream
from .effects.base import Picture
from .h264 import pps_of, sps_of
from .shapes import Shapes
from .timeline import Clip, Part, Taken
from .untouched import stretches, touched

if TYPE_CHECKING:
    from ..hardware.encoders import EncoderSettings

__all__ = ["Copying", "Piece", "Streams", "decide", "may_copy", "wanted"]

_KINDS = {Kind.CLIP, Kind.CONCAT, Kind.OVERLAY, Kind.ANNOTATE}
#: Codecs whose packets can be copied, and suffixes of outputs that take both.
_CODECS = {"h264", "hevc"}
_SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv"}
#: Parameter sets of either type have ids up to this that x264 can use.
_MAX_ID = 31
#: Of an `avcC` record.
_MAX_SETS = 31
_PROFILES = {66: "baseline", 77: "main", 100: "high"}


@dataclass(frozen=True)
class Streams:
    """What smart rendering knows beside the facts of the plan."""

    of: Mapping[str, Bitstream]
    """By the place in the spec of the range that it describes."""
    joins: EncoderSettings
    """How software encodes at the quality of the export."""


@dataclass(frozen=True)
class Piece:
    """A part of the timeline, or a stretch of one."""

    part: Part
    copied: bool


@dataclass(frozen=True)
class Copying:
    """What is copied."""

    pieces: tuple[Piece, ...]
    encoder: EncoderSettings
    """For what is rendered."""
    streams: Mapping[str, Bitstream]
    """Of the ranges from which something is copied, by their places in the spec."""
    notes: tuple[str, ...] = ()

    @property
    def sets(self) -> tuple[bytes, ...]:
        """All H.264 parameter sets of what is copied."""
        streams = [s for s in self.streams.values() if not s.hevc]
        return tuple(dict.fromkeys(u for stream in streams for u in stream.sets))


def wanted(spec: ExportSpec, taken: Taken) -> bool:
    """Whether to look at the packets of a range at all."""
    return may_copy(spec, taken.facts.video.codec)


def may_copy(spec: ExportSpec, codec: str) -> bool:
    """Whether something of a source in `codec` could be copied, as far as the spec tells."""
    return (
        _asked(spec)
        and spec.segment_encoding.quality is not Quality.LOSSLESS
        and codec in _CODECS
        and codec == spec.encoding.codec
    )


def _asked(spec: ExportSpec) -> bool:
    suffix = PurePosixPath(spec.output).suffix.lower()
    return spec.encoding.smart and spec.kind in _KINDS and suffix in _SUFFIXES


def decide(
    spec: ExportSpec,
    parts: Sequence[Part],
    rate: Fraction | None,
    shapes: Shapes,
    after: Mapping[str, Picture],
    encoder: EncoderSettings,
    streams: Streams | None,
) -> Copying:
    """Which stretches of `parts` are copied, and why the others are not.

    `after` are the shapes after the effects of each range, by its place in the spec; `encoder` is
    used where nothing is copied. Without `streams`, nothing is.
    """
    nothing = Copying(tuple(Piece(p, copied=False) for p in parts), encoder, {})
    if streams is None or not _asked(spec):
        return nothing
    chosen: dict[str, Bitstream] = {}
    reasons: dict[str, str] = {}
    harmless: dict[str, str] = {}
    """Why files were rendered that could have been copied if the export were another."""
    spoilt: dict[str, str] = {}
    """Why not all is copied of files of which something is."""
    for clip in {c.taken.field: c for p in parts for c in p.clips}.values():
        field = clip.taken.field
        stream = streams.of.get(field)
        why = _obstacle(spec, clip, shapes, after[field], stream)
        if not why and stream is not None:
            alone = [p for p in parts if [c.taken.field for c in p.clips] == [field]]
            if whole := _nothing(spec, alone, rate, stream):
                harmless.setdefault(_name(clip.taken), whole)
                continue
            why = _apart(stream, chosen)
            if not why:
                chosen[field] = stream
                if stream.doubt in (DAMAGED, MISSING):
                    spoilt[_name(clip.taken)] = stream.doubt
        if why:
            reasons.setdefault(_name(clip.taken), why)
    reasons = reasons if chosen else harmless | reasons
    pieces = tuple(_pieces(spec, parts, rate, chosen))
    told = tuple(f"Not all of {name} is copied: {why}." for name, why in spoilt.items())
    made = Copying(pieces, encoder, chosen, _notes(spec, reasons) + told)
    why = _as_a_whole(made, encoder)
    if why:
        return replace(nothing, notes=_notes(spec, dict.fromkeys(map(_name, _files(parts)), why)))
    if not chosen or all(p.copied for p in pieces):
        return made
    joins = _joins(streams.joins, made)
    if joins is None:
        why = "all ids of parameter sets are taken in the source"
        return replace(nothing, notes=_notes(spec, dict.fromkeys(map(_name, _files(parts)), why)))
    notes = made.notes
    if encoder.hardware:
        notes += (f"What joins copied video is encoded in software ({joins.name}).",)
    return replace(made, encoder=joins, notes=notes)


def _obstacle(
    spec: ExportSpec, clip: Clip, shapes: Shapes, after: Picture, stream: Bitstream | None
) -> str:
    """Why no packet of `clip` can be in the output; empty where some can."""
    video, picture = clip.taken.facts.video, shapes.picture
    codec = "ffv1" if spec.encoding.quality is Quality.LOSSLESS else str(spec.encoding.codec)
    size = video.width, video.height
    if video.codec != codec:
        return f"the source is {video.codec} and the output {codec}"
    if video.turn != "none" or video.mirror:
        return "the source is turned or mirrored and the output upright"
    if video.sample_aspect != 1:
        return "the source has no square pixels"
    if (after.width, after.height) != size or (picture.width, picture.height) != size:
        return f"the output is {picture.width}×{picture.height} and the source {size[0]}×{size[1]}"
    if video.pix_fmt != picture.pix_fmt:
        return f"the source has {video.pix_fmt} pictures and the output {picture.pix_fmt}"
    if video.interlaced:
        return "the source is interlaced"
    if video.colour != shapes.colour:
        return "the colours of the source are not those of the output"
    if not clip.every:
        return "its frames are shown at another rate or speed"
    if stream is None:
        return "the packets of the source were not looked at"
    return stream.problem or (stream.doubt if not stream.units else "")


def _nothing(
    spec: ExportSpec, parts: Sequence[Part], rate: Fraction | None, stream: Bitstream
) -> str:
    """Why nothing of `parts` is copied although it could be; empty where something is."""
    if any(copied for part in parts for _, _, copied in stretches(spec, part, rate, stream)):
        return ""
    if any(touched(spec, part, rate) for part in parts):
        return "effects touch every group of pictures"
    return "no group of pictures lies wholly in the range"


def _apart(stream: Bitstream, chosen: Mapping[str, Bitstream]) -> str:
    """Why packets of `stream` cannot be in one track with those of `chosen`."""
    why = "its parameter sets are not those of the other sources"
    for other in chosen.values():
        if stream.hevc:
            if (stream.sets, stream.length) != (other.sets, other.length):
                return why
            continue
        taken = {_key(u): u for u in other.sets}
        if any(taken.get(_key(u), u) != u for u in stream.sets):
            return why
    return ""


def _key(unit: bytes) -> tuple[int, int]:
    """The type and the id of an H.264 parameter set."""
    type = unit[0] & 31
    return type, sps_of(unit).id if type == 7 else pps_of(unit).id


def _as_a_whole(made: Copying, encoder: EncoderSettings) -> str:
    """Why it is better to render everything; empty where it is not."""
    copied = sum(p.part.count for p in made.pieces if p.copied)
    rendered = sum(p.part.count for p in made.pieces if not p.copied)
    if not copied or not rendered:
        return ""
    if any(s.hevc for s in made.streams.values()):
        return "HEVC is only copied where nothing of the output is rendered"
    if encoder.hardware and rendered > copied:
        return f"little can be copied, and {encoder.name} is faster than joins in software"
    return ""


def _joins(settings: EncoderSettings, made: Copying) -> EncoderSettings | None:
    """`settings` for what is between copies, with a parameter-set id that is free; None where
    there is none.

    Profile and reordering follow the copies: whatever plays these plays the joins, and a decoder
    need not hold back more frames on the way. Where a source does not say how many, the joins do:
    a decoder that saw only these first would guess too few, and drop what comes late.
    """
    used = {_key(u)[1] for u in made.sets}
    sequences = [u for u in made.sets if u[0] & 31 == 7]
    free = next((id for id in range(_MAX_ID + 1) if id not in used), None)
    if free is None or len(sequences) >= _MAX_SETS:
        return None
    streams = made.streams.values()
    parameters = [settings.options.get("x264-params", ""), f"sps-id={free}"]
    reorder = max(s.reorder for s in streams)
    if reorder == 0:
        parameters.append("bframes=0")
    elif reorder == 1:
        parameters.append("b-pyramid=none")
    if reorder and not all(s.declared for s in streams):
        parameters.append("bframes=3" + (":b-pyramid=normal" if reorder > 1 else ""))
    options = {
        **settings.options,
        "profile": _PROFILES[max(s.profile for s in streams)],
        "x264-params": ":".join(filter(None, parameters)),
    }
    return replace(settings, options=options)


def _pieces(
    spec: ExportSpec,
    parts: Sequence[Part],
    rate: Fraction | None,
    chosen: Mapping[str, Bitstream],
) -> Iterator[Piece]:
    for part in parts:
        stream = chosen.get(part.clips[0].taken.field)
        if stream is None or len(part.clips) > 1 or part.mix is not None:
            yield Piece(part, copied=False)
            continue
        for i, j, copied in stretches(spec, part, rate, stream):
            firsts, start = (part.firsts[0] + i,), part.start + i
            yield Piece(replace(part, firsts=firsts, count=j - i, start=start), copied)


def _files(parts: Sequence[Part]) -> list[Taken]:
    return list({c.taken.facts.path: c.taken for p in parts for c in p.clips}.values())


def _name(taken: Taken) -> str:
    return PurePosixPath(taken.facts.path).name


def _notes(spec: ExportSpec, reasons: Mapping[str, str]) -> tuple[str, ...]:
    if len({s.path for s in spec.sources}) == 1:
        return tuple(f"Rendered: {why}." for why in dict.fromkeys(reasons.values()))
    return tuple(f"{name} was rendered: {why}." for name, why in reasons.items())
