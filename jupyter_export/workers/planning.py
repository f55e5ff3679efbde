"""From a task's parameters to a plan, and how large its output will be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..hardware.encoders import options
from ..media.bitstream import bitstream
from ..media.cost import segment_work
from ..media.plan import Plan, make_plan
from ..media.shapes import depth_of
from ..media.smart import Streams, wanted
from ..spec import Codec, ExportSpec, Kind, Quality
from .origin import facts_of
from .sources import Looks, look_at

__all__ = ["make_plan_of", "whole_bytes"]


def make_plan_of(
    params: dict[str, Any],
    spec: ExportSpec,
    encoder: str,
    *,
    only: float | None = None,
    copying: bool = False,
    looks: Looks | None = None,
) -> Plan:
    """The plan of `spec`; of the first `only` seconds of each of its sources, if given.

    Without `copying`, everything is rendered. `looks` remember what was seen of the sources.
    """
    quality = spec.segment_encoding.quality
    joins = "libx265" if spec.encoding.codec is Codec.HEVC else "libx264"
    if quality == "lossless":
        encoder = joins = "ffv1"
    sources, taken = look_at(params, spec, only=only, looks=looks)
    bits = depth_of(spec, sources)
    streams = None
    if copying:
        found = {t.field: bitstream(t.facts, t.times) for t in taken if wanted(spec, t)}
        streams = Streams(found, options(joins, quality, bits=bits))
    return make_plan(
        spec,
        sources,
        taken,
        options(encoder, quality, bits=bits),
        streams=streams,
        segment_seconds=params.get("segment_seconds", 8.0),
    )


def whole_bytes(spec: ExportSpec, made: Plan, params: dict[str, Any], only: float) -> float:
    """About how large the output will be, from the plan of `only` the first seconds."""
    length = looked = original = 0.0
    for source, facts in facts_of(spec, made, Path(params["root"])):
        end = min(filter(None, (source.end, facts.duration)), default=source.start)
        seconds = max(0.0, end - source.start)
        length += seconds
        looked += min(seconds, only)
        original += facts.fingerprint.size * seconds / (facts.duration or seconds or 1.0)
    quality = spec.encoding.quality
    lossless = quality is Quality.LOSSLESS
    coded = sum(segment_work(s, made, quality).coded for s in made.segments)
    total = coded * (length / looked if looked else 1.0)
    # What may be copied is reckoned by what it is now: an export that fits must not be refused.
    copies = spec.encoding.smart and spec.kind not in {Kind.FRAMING, Kind.COMPARE}
    return min(total, original) if copies and not lossless else total
