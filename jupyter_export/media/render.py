"""Render one segment: decode, effects, mix, encode, each in a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from fractions import Fraction
from functools import cache
from pathlib import Path

from av.video.frame import VideoFrame

from .effects import effect
from .effects.base import Ahead, Step
from .effects.drawing import joined
from .encode import encode_segment
from .facts import Colour
from .graph import Convert, upright, working_colour
from .interlace import deinterlaced
from .mix import mixed
from .pipe import in_thread
from .reader import Reader
from .recipe import SegmentRecipe, StepRecipe, StrandRecipe

__all__ = ["render_segment", "segment_frames"]

_USUAL_RATE = Fraction(30)


def render_segment(
    recipe: SegmentRecipe,
    readers: Sequence[Reader],
    target: Path,
    on_frame: Callable[[int], None],
) -> int:
    """Render `recipe` into the segment file `target`; `readers` are those of its strands.

    `on_frame` is called with the number of frames so far; what it raises ends the work.

    Returns:
        The number of frames written.

    Raises:
        SourceUnreadable: nothing can be decoded in the range.
        EncoderFailed, DiskFull, OutputError: as `encode_segment`.
    """
    with closing(segment_frames(recipe, readers)) as frames:
        return encode_segment(
            _stamped(frames, recipe),
            target,
            encoder=recipe.encoder,
            picture=recipe.picture,
            colour=recipe.colour,
            time_base=recipe.time_base,
            rate=recipe.rate or _USUAL_RATE,
            on_frame=on_frame,
        )


def segment_frames(
    recipe: SegmentRecipe, readers: Sequence[Reader]
) -> Generator[VideoFrame, None, None]:
    """The pictures of the segment as the encoder gets them, without time stamps of their own.

    A picture that is shown several times is the same object.
    """
    with ExitStack() as stack:
        strands = []
        for strand, reader in zip(recipe.strands, readers, strict=True):
            decoded = in_thread(_decoded(reader, strand), "decode")
            stack.enter_context(closing(decoded))
            made = _strand(decoded, strand, recipe.colour, reader.damaged)
            if strand.steps or not _as_it_is(strand):
                made = in_thread(made, "effects")
                stack.enter_context(closing(made))
            strands.append(made)
        frames = _finished(mixed(strands, recipe.mix), recipe)
        if recipe.mix is not None or recipe.effects:
            frames = in_thread(frames, "mix")
            stack.enter_context(closing(frames))
        yield from frames


def _as_it_is(strand: StrandRecipe) -> bool:
    """Whether the source's pictures have the strand's shape already."""
    video, picture = strand.video, strand.picture
    return (picture.width, picture.height, picture.pix_fmt) == (
        video.width,
        video.height,
        video.pix_fmt,
    )


def make_step(recipe: StepRecipe) -> Step:
    """The effect that a recipe describes."""
    return effect(recipe.type).make(recipe.params, recipe.picture)


def _stamped(frames: Iterator[VideoFrame], recipe: SegmentRecipe) -> Iterator[VideoFrame]:
    for frame, stamp in zip(frames, recipe.stamps.values(), strict=True):
        frame.pts = stamp
        frame.time_base = recipe.time_base
        yield frame


def _decoded(reader: Reader, strand: StrandRecipe) -> Iterator[VideoFrame]:
    """The source's frames, deinterlaced where they are interlaced."""
    first, stop = strand.shown.first, strand.shown.last + 1
    if not strand.video.interlaced:
        return reader.frames(first, stop)
    return deinterlaced(reader.frames(first, stop, around=True), first, stop)


def _strand(
    frames: Iterator[VideoFrame], strand: StrandRecipe, colour: Colour, damaged: set[int]
) -> Iterator[VideoFrame]:
    """Every frame that `strand` shows, upright, through its steps, in the strand's shape."""
    video = strand.video
    steps = joined([make_step(step) for step in strand.steps])
    turn, own = not steps, video.colour
    if steps:
        steps.insert(0, _whole(upright(video, strand.steps[0].picture.pix_fmt, colour)))
        own = working_colour(own, colour)
    steps.append(_whole(Convert(video, strand.picture, turn=turn, own=own, colour=colour)))
    timed: Iterator[tuple[VideoFrame, Fraction]] = (
        (frame, (pts - strand.origin) * video.time_base)
        for frame, pts in _shown(frames, strand, damaged)
    )
    for step in steps:
        timed = _through(step, timed)
    for result, _ in timed:
        yield result


def _whole(convert: Convert) -> Step:
    return lambda frame, time: convert(frame)


def _through(
    step: Step, frames: Iterator[tuple[VideoFrame, Fraction]]
) -> Iterator[tuple[VideoFrame, Fraction]]:
    """Every frame as `step` makes it; one that comes again (the same object) is not made again."""
    begin, late = (step.begin, 1) if isinstance(step, Ahead) else (_at_once(step), 0)
    waiting: deque[tuple[Callable[[], VideoFrame], Fraction]] = deque()
    last: VideoFrame | None = None
    for frame, time in frames:
        if frame is not last:
            last = frame
            finish = cache(begin(frame, time))
        waiting.append((finish, time))
        if len(waiting) > late:
            done, when = waiting.popleft()
            yield done(), when
    for done, when in waiting:
        yield done(), when


def _at_once(step: Step) -> Callable[[VideoFrame, Fraction], Callable[[], VideoFrame]]:
    def begin(frame: VideoFrame, time: Fraction) -> Callable[[], VideoFrame]:
        made = step(frame, time)
        return lambda: made

    return begin


def _shown(
    frames: Iterator[VideoFrame], strand: StrandRecipe, damaged: set[int]
) -> Iterator[tuple[VideoFrame, int]]:
    """For every frame of the segment the source's frame and its time stamp.

    Where one could not be decoded, the one before it stays, so that nothing moves in time; its
    time stamp is added to `damaged`.
    """
    held: VideoFrame | None = None
    held_at = 0
    coming = next(frames, None)
    for pts in strand.shown.values():
        while coming is not None and coming.pts is not None and coming.pts <= pts:
            held, held_at = coming, coming.pts
            coming = next(frames, None)
        if held is None:
            assert coming is not None and coming.pts is not None  # the reader gives one at least
            held, held_at = coming, coming.pts
            coming = next(frames, None)
        if held_at != pts:
            damaged.add(pts)
        yield held, held_at


def _finished(frames: Iterator[VideoFrame], recipe: SegmentRecipe) -> Iterator[VideoFrame]:
    """Through the effects of the spec, in the encoder's format."""
    steps = joined([make_step(step) for step in recipe.effects])
    finish = None
    if recipe.canvas != recipe.picture:
        # The strands have been brought to the output's colours already.
        video, colour = recipe.strands[0].video, recipe.colour
        finish = Convert(video, recipe.picture, turn=False, own=colour, colour=colour)
    for frame, stamp in zip(frames, recipe.stamps.values(), strict=True):
        result = frame
        if recipe.start is not None:
            time = recipe.start + stamp * recipe.time_base
            for step in steps:
                result = step(result, time)
        yield result if finish is None else finish(result)
