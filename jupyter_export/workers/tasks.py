"""What a worker can be asked to do: thin steps over the media engine, JSON in and out."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import CacheLost, SourceUnreadable
from ..hardware.encoders import options
from ..media.animate import animate
from ..media.assemble import assemble
from ..media.audio import render_audio
from ..media.bitstream import bitstream
from ..media.cache import SegmentCache
from ..media.interrupt import checking
from ..media.plan import Plan, make_plan
from ..media.preview import at_time, jpeg_of
from ..media.probe import probe
from ..media.recipe import SegmentRecipe
from ..media.render import render_segment
from ..media.shapes import depth_of
from ..media.smart import Streams, wanted
from ..media.still import still
from ..paths import resolve_source
from ..spec import ExportSpec, SpeedRange, parse
from .context import TaskContext
from .memory import peak_mib, vram_of
from .sources import Readers, check_unchanged, damage, look_at

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
        "duration": source.duration,
        "width": source.video.upright_width,
        "height": source.video.upright_height,
        "frames": None,
        "vram": vram_of(made),
    }


def plan(params: Params, context: TaskContext) -> dict[str, Any]:
    """Cut the export into segments: ``{root, spec, allow_hidden, encoder, cache,
    segment_seconds}``. The plan stays in the cache; its id is what the other tasks get."""
    made = make_plan_of(params, parse(params["spec"]), params["encoder"], copying=True)
    return {
        "plan": _cache(params).put_plan(made.model_dump_json()),
        "segments": [{"id": s.id, "kind": s.kind, "frames": s.frames} for s in made.segments],
        "audio": {"id": made.audio.id} if made.audio and made.audio.id else None,
        "total_frames": made.total_frames,
        "encoder": made.encoder,
        "notes": list(made.notes),
        "vram": vram_of(made),
    }


def render(params: Params, context: TaskContext) -> dict[str, Any]:
    """Render one segment into the cache, unless it is there: ``{plan, index, cache}``.

    Not for segments of the kind ``copy``: only `assemble_part` reads these.
    """
    made, cache = _plan(params)
    segment = made.segments[params["index"]]
    recipe = segment.recipe
    assert isinstance(recipe, SegmentRecipe)
    found = cache.find(segment.id)
    if found is not None:
        return {"reused": True, "frames": found.frames}
    check_unchanged(made.sources)

    def on_frame(count: int) -> None:
        context.check()
        context.progress({"frames": count})

    with (
        checking(context.check),
        _readers.of([made.sources[i] for i in segment.sources]) as readers,
    ):
        for reader in readers:
            reader.damaged.clear()
        entry = cache.put(
            segment.id,
            lambda target: render_segment(recipe, readers, target, on_frame),
        )
        notes = damage([made.sources[i] for i in segment.sources], readers)
    return {
        "reused": False,
        "frames": entry.frames,
        "notes": notes,
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
    """A frame of an export as JPEG in base 64: ``{root, spec, allow_hidden, time, width}``."""
    spec = parse(params["spec"])
    made = _previewed.plan(params, spec)
    segment, recipe, time = at_time(made, params["time"])
    with (
        checking(context.check),
        _previewed.readers.of([made.sources[i] for i in segment.sources]) as readers,
    ):
        data = jpeg_of(recipe, readers, params["width"])
    return {
        "jpeg": base64.b64encode(data).decode(),
        "time": float(time),
        "duration": float(made.duration * made.time_base),
        "width": made.picture.width,
        "height": made.picture.height,
    }


def make_plan_of(
    params: Params,
    spec: ExportSpec,
    encoder: str,
    *,
    only: float | None = None,
    copying: bool = False,
) -> Plan:
    """The plan of `spec`; of the first `only` seconds of each of its sources, if given.

    Without `copying`, everything is rendered.
    """
    quality = spec.segment_encoding.quality
    joins = "libx264"
    if quality == "lossless":
        encoder = joins = "ffv1"
    sources, taken = look_at(params, spec, only=only)
    streams = None
    if copying:
        found = {t.field: bitstream(t.facts, t.times) for t in taken if wanted(spec, t)}
        streams = Streams(found, options(joins, quality))
    return make_plan(
        spec,
        sources,
        taken,
        options(encoder, quality, bits=depth_of(spec, sources)),
        streams=streams,
        segment_seconds=params.get("segment_seconds", 8.0),
    )


class _Previewed:
    """The plan and the files of the last preview: who looks at one frame looks at more."""

    def __init__(self) -> None:
        self.readers = Readers()
        self._made: tuple[str, Plan] | None = None

    def plan(self, params: Params, spec: ExportSpec) -> Plan:
        """The plan of `spec`, made again if it or a source has changed."""
        # Where the output goes and how well it is encoded does not show in a preview.
        asked = spec.model_dump_json(exclude={"output": True, "project": True})
        key = f"{params['root']}\n{params['allow_hidden']}\n{asked}"
        if self._made is not None and self._made[0] == key:
            with contextlib.suppress(SourceUnreadable):
                check_unchanged(self._made[1].sources)
                return self._made[1]
        self.readers.close()
        encoding = spec.encoding.model_copy(update={"smart": False})
        plain = spec.model_copy(update={"encoding": encoding, "output": "preview.mkv"})
        self._made = key, make_plan_of(params, plain, "libx264")
        return self._made[1]


_readers = Readers()
_previewed = _Previewed()


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
    "render": render,
    "audio": audio,
    "assemble": assemble_part,
    "still": one_still,
    "probe": probe_source,
    "preview": preview,
}
