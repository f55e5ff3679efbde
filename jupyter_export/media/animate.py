"""Turn finished segments into a moving picture: a GIF with a palette of its own, or a WebP."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.filter
from av.container import OutputContainer
from av.filter.context import FilterContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..spec import OUTPUT_SUFFIXES
from .assemble import Assembled, settled
from .cache import SegmentCache
from .graph import rgb_arguments
from .open import created, open_segment, writing
from .plan import Plan
from .recipe import AnimationRecipe

__all__ = ["animate"]

_Filter = tuple[str, dict[str, str]]
#: The part of the work that finding the palette takes, and then finding each pixel's colour.
_PALETTE_PART = 0.4


def animate(
    plan: Plan, cache: SegmentCache, part: Path, on_progress: Callable[[float], None]
) -> Assembled:
    """Write the moving picture of `plan` to `part`, looped for ever, and flush it to the disk.

    `on_progress` gets the finished fraction; what it raises ends the work.

    Raises:
        DiskFull, OutputError: `part` cannot be written.
        CacheLost: a segment has gone.
    """
    recipe = plan.animation
    assert recipe is not None
    if recipe.encoder == "gif":
        palette = _palette(plan, cache, lambda done: on_progress(_PALETTE_PART * done))
        frames = _coloured(plan, cache, palette, recipe)
        begun, format, options = _PALETTE_PART, "pal8", {}
    else:
        frames = _rgb(plan, cache)
        begun, format = 0.0, "bgra"
        options = {"quality": str(recipe.quality), "lossless": "0"}
    count = 0
    with writing(part), _opened(part, plan) as container:
        stream = container.add_stream(recipe.encoder, rate=plan.rate, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = plan.picture.width, plan.picture.height
        stream.pix_fmt = format
        stream.codec_context.time_base = plan.time_base
        for count, frame in enumerate(frames, 1):
            frame.pts, frame.time_base = count - 1, plan.time_base
            container.mux(stream.encode(frame))
            on_progress(begun + (1 - begun) * count / plan.total_frames)
        container.mux(stream.encode(None))
    return settled(part, count, float(plan.duration * plan.time_base))


@contextlib.contextmanager
def _opened(part: Path, plan: Plan) -> Iterator[OutputContainer]:
    options = {"loop": "0", "fflags": "+bitexact"}
    with created(part) as address:
        container = av.open(address, "w", format=OUTPUT_SUFFIXES[plan.suffix], options=options)
        try:
            yield container
        except BaseException:
            with contextlib.suppress(Exception):
                container.close()
            raise
        container.close()


def _decoded(plan: Plan, cache: SegmentCache) -> Iterator[VideoFrame]:
    """All frames of the segments, numbered from 0 in the plan's time base."""
    number = 0
    for segment in plan.segments:
        with open_segment(cache.path(segment.id)) as container:
            for frame in container.decode(video=0):
                frame.pts, frame.time_base = number, plan.time_base
                number += 1
                yield frame


class _Graph:
    """A chain of filters from segments' frames, through RGB, with other inputs at its end."""

    def __init__(self, plan: Plan, last: _Filter | None, *others: VideoFrame) -> None:
        picture = plan.picture
        lines = plan.sources[plan.segments[0].sources[0]].video.upright_height
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=VideoFormat(picture.pix_fmt),
            time_base=plan.time_base,
        )
        nodes = [
            source,
            graph.add("scale", **rgb_arguments(plan.colour, lines)),
            graph.add("format", pix_fmts="bgra"),
            *([graph.add(last[0], **last[1])] if last else []),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*nodes)
        inputs = []
        for i, other in enumerate(others, 1):
            added = graph.add_buffer(
                width=other.width, height=other.height, format=other.format, time_base=Fraction(1)
            )
            added.link_to(nodes[-2], 0, i)
            inputs.append(added)
        graph.configure()
        self._graph = graph
        self.source: FilterContext = source
        self.sink: FilterContext = nodes[-1]
        for added, other in zip(inputs, others, strict=True):
            other.pts, other.time_base = 0, Fraction(1)
            added.push(other)
            added.push(None)

    def push(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """What comes out after `frame`; None is the end."""
        self.source.push(frame)
        while True:
            try:
                result = self.sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(result, VideoFrame)
            yield result


def _palette(plan: Plan, cache: SegmentCache, on_progress: Callable[[float], None]) -> VideoFrame:
    """The colours that all frames together are closest to (a median cut), as 16×16 pixels."""
    assert plan.animation is not None
    graph = _Graph(plan, ("palettegen", {"max_colors": str(plan.animation.colours)}))
    for count, frame in enumerate(_decoded(plan, cache), 1):
        for _ in graph.push(frame):
            pass  # it comes after the last one
        on_progress(count / plan.total_frames)
    return next(graph.push(None))


def _coloured(
    plan: Plan, cache: SegmentCache, palette: VideoFrame, recipe: AnimationRecipe
) -> Iterator[VideoFrame]:
    # Only the rectangle that changes is dithered anew: what stands still does not flicker.
    how = {"dither": recipe.dither, "bayer_scale": "3", "diff_mode": "rectangle"}
    graph = _Graph(plan, ("paletteuse", how), palette)
    for frame in _decoded(plan, cache):
        yield from graph.push(frame)
    yield from graph.push(None)


def _rgb(plan: Plan, cache: SegmentCache) -> Iterator[VideoFrame]:
    graph = _Graph(plan, None)
    for frame in _decoded(plan, cache):
        yield from graph.push(frame)
