"""Encode frames into a segment file: closed groups of pictures, time stamps from 0."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from .effects.base import Picture
from .facts import Colour
from .open import SEGMENT_FORMAT, writing
from .opening import failed, open_encoder
from .recipe import EncoderRecipe

__all__ = ["encode_segment"]


def encode_segment(
    frames: Iterable[VideoFrame],
    target: Path,
    *,
    encoder: EncoderRecipe,
    picture: Picture,
    colour: Colour,
    time_base: Fraction,
    rate: Fraction,
    on_frame: Callable[[int], None],
) -> int:
    """Write `frames`, whose time stamps count `time_base` from 0, to `target`.

    `on_frame` is called with the number of frames that the encoder has taken so far (it holds
    some back before it writes the first); what it raises ends the work.

    Returns:
        The number of frames.

    Raises:
        DiskFull, OutputError: `target` cannot be written.
        EncoderFailed: the encoder stopped.
        EncoderBusy, EncoderFailed, InternalError: it did not open, as `open_encoder`.
    """
    count = 0
    with writing(target), _container(target) as container:
        stream = container.add_stream(encoder.name, rate=rate)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        _set_up(context, encoder, picture, colour, time_base)
        stream.time_base = time_base

        def write(frame: VideoFrame | None) -> None:
            nonlocal count
            try:
                packets = context.encode(frame)
            except av.FFmpegError as error:
                raise failed(encoder.name, error) from error
            for packet in packets:
                packet.stream = stream
                container.mux_one(packet)
                count += 1

        open_encoder(context, encoder)
        taken = 0
        for taken, frame in enumerate(frames, 1):
            frame.pict_type = PictureType.NONE
            write(frame)
            on_frame(taken)
        write(None)
        on_frame(taken)
    return count


@contextlib.contextmanager
def _container(target: Path) -> Iterator[OutputContainer]:
    container = av.open(f"file:{target}", "w", format=SEGMENT_FORMAT)
    try:
        yield container
    except BaseException:
        # Closing writes a trailer, which fails again where writing just failed.
        with contextlib.suppress(Exception):
            container.close()
        raise
    container.close()


def _set_up(
    context: VideoCodecContext,
    encoder: EncoderRecipe,
    picture: Picture,
    colour: Colour,
    time_base: Fraction,
) -> None:
    context.width, context.height = picture.width, picture.height
    context.pix_fmt = picture.pix_fmt
    context.time_base = time_base
    context.color_range = colour.range
    context.colorspace = colour.space
    context.color_primaries = colour.primaries
    context.color_trc = colour.transfer
    context.gop_size = encoder.gop
    if encoder.thread_type is not None:
        # PyAV's default of slice threads is slow and puts x264 into sliced mode.
        context.thread_type = encoder.thread_type
    if encoder.threads is not None:
        context.thread_count = encoder.threads
    context.flags |= int(Flags.global_header) | int(Flags.closed_gop)
    context.options = dict(encoder.options)
