"""What a worker can be asked to do: thin steps over the media engine, JSON in and out."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import CacheLost, WorkersUnfit
from ..media.animate import animate
from ..media.assemble import assemble
from ..media.audio import render_audio
from ..media.cache import Damage, SegmentCache
from ..media.cost import BYTES_PER_SECOND, key_of, outcome, segment_work, shared_work, source_of
from ..media.effects.base import on_processor
from ..media.facts import SourceFacts
from ..media.plan import Plan, Segment
from ..media.preview import at_time, jpeg_of
from ..media.probe import probe
from ..media.recipe import SegmentRecipe, versions
from ..media.render import render_segment
from ..media.smart import may_copy
from ..media.still import still
from ..paths import resolve_source
from ..spec import SpeedRange, parse
from .context import TaskContext
from .memory import free_gpu, peak_mib, vram_of
from .origin import origin_of
from .planning import make_plan_of, whole_bytes
from .previewed import Previewed
from .sources import (
    Readers,
    careful_readers,
    check_unchanged,
    damage_in_words,
    damage_of,
)

__all__ = ["TASKS"]

Params = dict[str, Any]

INSPECTED_SECONDS = 10.0

_AS_IT_IS = SpeedRange(start=0, end=1, rate=1)


def inspect(params: Params, context: TaskContext) -> dict[str, Any]:
    """Whether the spec's sources can be used at all: ``{root, spec, allow_hidden}``."""
    spec = parse(params["spec"])
    # Their first seconds tell: a look at hours of film would keep whoever submits waiting.
    # A transition must find enough of them, though.
    only = INSPECTED_SECONDS
    if (limits := spec.container.animation) is not None:
        # Enough of each to see that it is too long.
        fastest = max(r.rate for _, s in spec.every_source() for r in (*s.speed, _AS_IT_IS))
        only += limits.seconds * fastest
    made = make_plan_of(params, spec, "libx264", only=only + 2 * spec.transition.seconds)
    source = made.sources[0]
    return {
        "bytes": whole_bytes(spec, made, params, only),
        "duration": source.duration,
        "width": source.video.upright_width,
        "height": source.video.upright_height,
        "frames": None,
        "vram": vram_of(made),
        "may_copy": any(may_copy(spec, source.video.codec) for source in made.sources),
    }


def plan(params: Params, context: TaskContext) -> dict[str, Any]:
    """Cut the export into segments: ``{root, spec, allow_hidden, encoder, cache,
    segment_seconds, on_processor}``. The plan stays in the cache; its id is what the other tasks
    get. With `on_processor` effects use no GPU."""
    spec = parse(params["spec"])
    with on_processor(params.get("on_processor", False)):
        made = make_plan_of(params, spec, params["encoder"], copying=True)
    quality = spec.encoding.quality
    return {
        "plan": _cache(params).put_plan(made.model_dump_json()),
        "segments": [
            {
                "id": s.id,
                "kind": s.kind,
                "frames": s.frames,
                "work": segment_work(s, made, quality).to_json(),
            }
            for s in made.segments
        ],
        "work": {
            "key": key_of(spec, made),
            "source": source_of(made),
            "shared": shared_work(made, 0).to_json(),
            "bytes_per_second": BYTES_PER_SECOND,
        },
        "origin": origin_of(spec, made, Path(params["root"])),
        "audio": {"id": made.audio.id} if made.audio and made.audio.id else None,
        "total_frames": made.total_frames,
        "encoder": made.encoder,
        "notes": list(made.notes),
        "vram": vram_of(made),
    }


def estimate(params: Params, context: TaskContext) -> dict[str, Any]:
    """What the export would be and take: what `plan` is given; nothing is written."""
    spec = parse(params["spec"])
    made = make_plan_of(params, spec, params["encoder"], copying=True)
    return {**outcome(spec, made, _cache(params)), "vram": vram_of(made)}


def render(params: Params, context: TaskContext) -> dict[str, Any]:
    """Render one segment into the cache, unless it is there: ``{plan, index, cache}``.

    Not for segments of the kind ``copy``: only `assemble_part` reads these.
    """
    made, cache = _plan(params)
    segment = made.segments[params["index"]]
    sources = [made.sources[i] for i in segment.sources]
    return _rendered(segment, sources, made.sources, cache, context)


def render_alone(params: Params, context: TaskContext) -> dict[str, Any]:
    """Render one segment without its plan, on another machine: ``{segment, sources, cache}``.

    `sources` are those of the segment's strands, with their places on this machine.

    Raises:
        WorkersUnfit: the libraries here are others than those that the segment was planned with.
    """
    segment = Segment.model_validate(params["segment"])
    sources = [SourceFacts.model_validate(source) for source in params["sources"]]
    recipe = segment.recipe
    assert isinstance(recipe, SegmentRecipe)
    differing = {
        name: here
        for name in {*recipe.versions, *versions()}
        if (here := versions().get(name)) != recipe.versions.get(name)
    }
    if differing:
        name, here = min(differing.items())
        raise WorkersUnfit(
            f"has {name} {here or 'missing'}, but the server plans with "
            f"{recipe.versions.get(name, 'none')}",
            always=True,
        )
    return _rendered(segment, sources, sources, _cache(params), context)


def _rendered(
    segment: Segment,
    sources: Sequence[SourceFacts],
    unchanged: Sequence[SourceFacts],
    cache: SegmentCache,
    context: TaskContext,
) -> dict[str, Any]:
    recipe = segment.recipe
    assert isinstance(recipe, SegmentRecipe)
    found = cache.find(segment.id)
    if found is not None:
        notes = damage_in_words(sources, found.damage)
        return {"reused": True, "frames": found.frames, "notes": notes}
    check_unchanged(unchanged)

    def on_frame(count: int) -> None:
        context.check()
        context.progress({"frames": count})

    found_damage: tuple[Damage, ...] = ()

    def heard(_: int) -> None:
        on_frame(segment.frames)

    def make(target: Path) -> int:
        nonlocal found_damage
        with _readers.of(sources) as readers:
            for reader in readers:
                reader.damaged.clear()
                reader.unsure = False
            count = render_segment(recipe, readers, target, on_frame)
            found_damage = damage_of(readers)
            unsure = any(reader.unsure for reader in readers)
        if unsure:
            with careful_readers(sources) as readers:
                count = render_segment(recipe, readers, target, heard)
                found_damage = damage_of(readers)
        return count

    entry = cache.put(segment.id, make, lambda: found_damage)
    return {
        "reused": False,
        "frames": entry.frames,
        "bytes": entry.bytes,
        "notes": damage_in_words(sources, entry.damage),
        "vram_peak_mib": peak_mib(),
    }


def audio(params: Params, context: TaskContext) -> dict[str, Any]:
    """Render the audio track into the cache, unless it is there: ``{plan, cache}``."""
    made, cache = _plan(params)
    track = made.audio
    if track is None or track.id is None or track.recipe is None:
        return {"reused": True}
    recipe = track.recipe
    if cache.find(track.id) is not None:
        return {"reused": True}
    check_unchanged(made.sources)
    files = [None if i is None else Path(made.sources[i].path) for i in track.sources]
    cache.put(track.id, lambda target: render_audio(recipe, files, target, context.check))
    return {"reused": False}


def assemble_part(params: Params, context: TaskContext) -> dict[str, Any]:
    """Write the finished file beside its place: ``{plan, cache, part}``.

    The cache may be emptied at any time: then the result is ``{"missing": [index, …]}``, which
    lists the segments to render again, and nothing is written.
    """
    made, cache = _plan(params)
    missing = [
        i for i, s in enumerate(made.segments) if s.kind == "render" and not cache.peek(s.id)
    ]
    if missing or (made.audio and made.audio.id and not cache.peek(made.audio.id)):
        return {"missing": missing}

    def on_progress(fraction: float) -> None:
        context.check()
        context.progress({"fraction": fraction})

    check_unchanged(made.sources)
    _readers.close()
    write = assemble if made.animation is None else animate
    return asdict(write(made, cache, Path(params["part"]), on_progress))


def one_still(params: Params, context: TaskContext) -> dict[str, Any]:
    """A frame as JPEG in base 64: ``{root, path, allow_hidden, start, width}``."""
    path = resolve_source(Path(params["root"]), params["path"], allow_hidden=params["allow_hidden"])
    return {"jpeg": base64.b64encode(still(path, params["start"], params["width"])).decode()}


def probe_source(params: Params, context: TaskContext) -> dict[str, Any]:
    """The upright size and the length of a video: ``{root, path, allow_hidden}``."""
    path = resolve_source(
        Path(params["root"]), params["path"], allow_hidden=params["allow_hidden"], field="path"
    )
    facts = probe(path, field="")
    return {
        "width": facts.video.upright_width,
        "height": facts.video.upright_height,
        "duration": facts.duration,
    }


def preview(params: Params, context: TaskContext) -> dict[str, Any]:
    """A frame of an export as JPEG in base 64: ``{root, spec, allow_hidden, time, width, show}``.

    `show` is "result", "before", or the field of an effect, whose picture is then shown as it is
    given to it, at a time of its own clock; see `jupyter_export.media.views`.
    """
    made, offset = _previewed.plan(params, parse(params["spec"]))
    context.check()
    shown = at_time(made, Fraction(params["time"]) - offset)
    sources = [made.sources[i] for i in shown.segment.sources]
    try:
        with _previewed.readers.of(sources) as readers:
            data = jpeg_of(shown.recipe, readers, params["width"])
    finally:
        free_gpu()  # exports wait for it, and the next frame may be minutes away
    return {
        "jpeg": base64.b64encode(data).decode(),
        "time": float(shown.begin + offset),
        "next": float(shown.end + offset),
        "duration": float(made.duration * made.time_base),
        "width": made.picture.width,
        "height": made.picture.height,
    }


_readers = Readers()
_previewed = Previewed()


def _cache(params: Params) -> SegmentCache:
    return SegmentCache(Path(params["cache"]))


def _plan(params: Params) -> tuple[Plan, SegmentCache]:
    cache = _cache(params)
    return _parsed(cache.plan_path(params["plan"])), cache


@lru_cache(maxsize=2)
def _parsed(path: Path) -> Plan:
    try:
        return Plan.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise CacheLost(
            "The plan of the export has gone from the segment cache.", "Retry: it is made again."
        ) from None


TASKS: dict[str, Callable[[Params, TaskContext], dict[str, Any]]] = {
    "inspect": inspect,
    "plan": plan,
    "estimate": estimate,
    "render": render,
    "render_alone": render_alone,
    "audio": audio,
    "assemble": assemble_part,
    "still": one_still,
    "probe": probe_source,
    "preview": preview,
}
