"""What a worker can be asked to do: thin steps over the media engine, JSON in and out."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import CacheLost, SourceUnreadable
from ..hardware.encoders import options
from ..media.assemble import assemble
from ..media.audio import render_audio
from ..media.cache import SegmentCache
from ..media.facts import SourceFacts
from ..media.index import frame_times
from ..media.plan import Plan, make_plan
from ..media.probe import probe
from ..media.reader import Reader
from ..media.render import render_segment
from ..media.still import still
from ..paths import resolve_source
from ..spec import ExportSpec, parse
from .context import TaskContext

__all__ = ["TASKS"]

Params = dict[str, Any]

INSPECTED_SECONDS = 10.0


def inspect(params: Params, context: TaskContext) -> dict[str, Any]:
    """Whether the spec's source can be used at all: ``{root, spec, allow_hidden}``."""
    source, spec = _source(params)
    # Its first seconds tell: a look at hours of film would keep whoever submits waiting.
    make_plan_of(params, spec, source, "libx264", only=INSPECTED_SECONDS)
    return {
        "duration": source.duration,
        "width": source.video.upright_width,
        "height": source.video.upright_height,
        "frames": None,
    }


def plan(params: Params, context: TaskContext) -> dict[str, Any]:
    """Cut the export into segments: ``{root, spec, allow_hidden, encoder, cache,
    segment_seconds}``. The plan stays in the cache; its id is what the other tasks get."""
    source, spec = _source(params)
    made = make_plan_of(params, spec, source, params["encoder"])
    return {
        "plan": _cache(params).put_plan(made.model_dump_json()),
        "segments": [{"id": s.id, "kind": s.kind, "frames": s.frames} for s in made.segments],
        "audio": {"id": made.audio.id} if made.audio and made.audio.id else None,
        "total_frames": made.total_frames,
        "notes": list(made.notes),
    }


def render(params: Params, context: TaskContext) -> dict[str, Any]:
    """Render one segment into the cache, unless it is there: ``{plan, index, cache}``."""
    made, cache = _plan(params)
    segment = made.segments[params["index"]]
    found = cache.find(segment.id)
    if found is not None:
        return {"reused": True, "frames": found.frames}
    _check_unchanged(made.source)

    def on_frame(count: int) -> None:
        context.check()
        context.progress({"frames": count})

    with _reader(made.source) as reader:
        damaged = reader.damaged
        entry = cache.put(
            segment.id,
            lambda target: render_segment(segment.recipe, reader, target, on_frame),
        )
        damaged = reader.damaged - damaged
    return {
        "reused": False,
        "frames": entry.frames,
        "notes": [f"{damaged} damaged frames of the source were concealed."] if damaged else [],
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
    _check_unchanged(made.source)
    source = Path(made.source.path)
    cache.put(track.id, lambda target: render_audio(recipe, source, target, context.check))
    return {"reused": False}


def assemble_part(params: Params, context: TaskContext) -> dict[str, Any]:
    """Write the finished file beside its place: ``{plan, cache, part}``.

    The cache may be emptied at any time: then the result is ``{"missing": [index, …]}``, which
    lists the segments to render again, and nothing is written.
    """
    made, cache = _plan(params)
    missing = [i for i, segment in enumerate(made.segments) if not cache.peek(segment.id)]
    if missing or (made.audio and made.audio.id and not cache.peek(made.audio.id)):
        return {"missing": missing}

    def on_progress(fraction: float) -> None:
        context.check()
        context.progress({"fraction": fraction})

    _check_unchanged(made.source)
    _close_readers()
    return asdict(assemble(made, cache, Path(params["part"]), on_progress))


def one_still(params: Params, context: TaskContext) -> dict[str, Any]:
    """A frame as JPEG in base 64: ``{root, path, allow_hidden, start, width}``."""
    path = resolve_source(Path(params["root"]), params["path"], allow_hidden=params["allow_hidden"])
    return {"jpeg": base64.b64encode(still(path, params["start"], params["width"])).decode()}


def probe_source(params: Params, context: TaskContext) -> dict[str, Any]:
    """The upright size and the length of a video: ``{root, path, allow_hidden}``."""
    path = resolve_source(
        Path(params["root"]), params["path"], allow_hidden=params["allow_hidden"], field="path"
    )
    facts = probe(path, field="path")
    return {
        "width": facts.video.upright_width,
        "height": facts.video.upright_height,
        "duration": facts.duration,
    }


def make_plan_of(
    params: Params,
    spec: ExportSpec,
    source: SourceFacts,
    encoder: str,
    *,
    only: float | None = None,
) -> Plan:
    """The plan of a spec whose source has been probed; of its first `only` seconds, if given."""
    if spec.encoding.quality == "lossless":
        encoder = "ffv1"
    times = frame_times(source, spec.sources[0].start, spec.sources[0].end, only=only)
    return make_plan(
        spec,
        source,
        times,
        options(encoder, spec.encoding.quality),
        segment_seconds=params.get("segment_seconds", 8.0),
    )


def _source(params: Params) -> tuple[SourceFacts, ExportSpec]:
    spec = parse(params["spec"])
    path = resolve_source(
        Path(params["root"]),
        spec.sources[0].path,
        allow_hidden=params.get("allow_hidden", False),
    )
    return probe(path), spec


def _check_unchanged(source: SourceFacts) -> None:
    """Refuse to mix two versions of a file in one export."""
    path = Path(source.path)
    try:
        info = path.stat()
        same = (info.st_size, info.st_mtime_ns) == (
            source.fingerprint.size,
            source.fingerprint.mtime_ns,
        )
    except OSError:
        same = False
    if not same:
        raise SourceUnreadable(
            f"{path.name!r} was changed or removed while it was being exported.",
            "Wait until nothing writes it, then retry.",
            field="sources[0].path",
        )


_open: dict[tuple[str, str, int], Reader] = {}
"""The reader of the last segment: the next one of the same source goes on where it stopped."""


@contextlib.contextmanager
def _reader(source: SourceFacts) -> Iterator[Reader]:
    key = source.path, source.fingerprint.model_dump_json(), source.video.index
    reader = _open.pop(key, None)
    _close_readers()
    if reader is None:
        reader = Reader(Path(source.path), source.video.index)
    try:
        yield reader
    except BaseException:
        reader.close()  # where it stands is unknown
        raise
    _open[key] = reader


def _close_readers() -> None:
    for reader in _open.values():
        reader.close()
    _open.clear()


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
}
