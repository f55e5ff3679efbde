"""Render one segment: decode, effects, encode, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from pathlib import Path

from av.video.frame import VideoFrame

from .effects.base import Step
from .effects.crop import PLANAR_8BIT, CropStep
from .encode import encode_segment
from .graph import Convert, upright
from .path import Path as MotionPath
from .pipe import in_thread
from .reader import Reader
from .recipe import CropRecipe, SegmentRecipe

__all__ = ["render_segment"]


def render_segment(
    recipe: SegmentRecipe, reader: Reader, target: Path, on_frame: Callable[[int], None]
) -> int:
    """Render `recipe` from its source into the segment file `target`.

    `on_frame` is called with the number of frames so far; what it raises ends the work.

    Returns:
        The number of frames written.

    Raises:
        SourceUnreadable: nothing can be decoded in the range.
        EncoderFailed, DiskFull, OutputError: as `encode_segment`.
    """
    decoded = in_thread(reader.frames(recipe.first, recipe.stop), "decode")
    finished = _process(decoded, recipe)
    if recipe.steps:
        finished = in_thread(finished, "effects")
    try:
        return encode_segment(
            finished,
            target,
            encoder=recipe.encoder,
            picture=recipe.picture,
            colour=recipe.colour,
            time_base=recipe.time_base,
            rate=recipe.rate or Fraction(30),
            on_frame=on_frame,
        )
    finally:
        finished.close()
        decoded.close()


def _process(
    frames: Iterator[VideoFrame], recipe: SegmentRecipe
) -> Generator[VideoFrame, None, None]:
    """Every frame, upright, through the steps, in the picture and time base of the output."""
    video = recipe.video
    steps = [make_step(step) for step in recipe.steps]
    first_fmt = recipe.picture.pix_fmt if not steps else _step_input(recipe)
    straighten = upright(video, first_fmt) if steps else None
    finish = Convert(video, recipe.picture, turn=not steps)
    origin, base = recipe.origin, video.time_base
    for frame in frames:
        assert frame.pts is not None
        time = (frame.pts - origin) * base
        stamp = _stamp(frame.pts, recipe)
        if straighten is not None:
            frame = straighten(frame)
        for step in steps:
            frame = step(frame, time)
        frame = finish(frame)
        frame.pts = stamp
        frame.time_base = recipe.time_base
        yield frame


def make_step(recipe: CropRecipe) -> Step:
    """The effect that a recipe describes."""
    path = MotionPath(recipe.times, recipe.points, recipe.interpolation)
    return CropStep(path, recipe.size, recipe.pix_fmt, recipe.filter)


def _step_input(recipe: SegmentRecipe) -> str:
    """The format in which the steps get their frames: as the source has it, in 8 bits."""
    own = recipe.video.pix_fmt
    if own in PLANAR_8BIT:
        return own
    chroma = "444" if "444" in own else "422" if "422" in own else "420"
    return f"yuv{chroma}p"


def _stamp(pts: int, recipe: SegmentRecipe) -> int:
    offset = pts - recipe.first
    if recipe.rate is None:
        return offset
    return round(offset * recipe.video.time_base * recipe.rate)
