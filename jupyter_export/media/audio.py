"""The output's audio: a range of a track, exact to the sample, encoded or copied."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import InputContainer, OutputContainer

from ..errors import EncoderFailed
from .listen import PRE_ROLL, sound
from .open import SEGMENT_FORMAT, demux, writing
from .recipe import AudioRecipe

__all__ = ["SHIFT", "add_track", "copied_packets", "render_audio"]

#: Encoded audio files begin this many seconds late: NUT has no negative time stamps, and an
#: AAC encoder's first packet lies before 0.
SHIFT = 1

#: For each codec FFmpeg's encoder, and the sample format that it takes.
_ENCODERS = {"aac": ("aac", "fltp"), "opus": ("libopus", "flt"), "flac": ("flac", "s16")}


def render_audio(
    recipe: AudioRecipe,
    sources: Sequence[Path | None],
    target: Path,
    on_packet: Callable[[], None],
) -> int:
    """Write the track of `recipe` to `target`; its time 0 stands at `SHIFT` seconds.

    `sources` are the files of its parts. A track that begins late or has holes is filled with
    silence, so that it stays in sync. `on_packet` is called for each packet; what it raises ends
    the work.

    Returns:
        The number of packets; 0 when no source has sound in its range.

    Raises:
        DiskFull, OutputError: `target` cannot be written.
        EncoderFailed: the audio encoder stopped.
    """
    count = 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(writing(target))
        output = av.open(f"file:{target}", "w", format=SEGMENT_FORMAT)
        stack.callback(output.close)
        stream = add_track(output, recipe)
        context = stream.codec_context
        output.start_encoding()  # the file is there, whether or not it gets a packet

        def write(frame: AudioFrame | None) -> None:
            nonlocal count
            try:
                packets = context.encode(frame)
            except (av.FFmpegError, ValueError) as error:
                raise EncoderFailed(
                    f"The audio encoder failed: {error}.", "Try audio: none.", encoder=recipe.codec
                ) from error
            for packet in packets:
                packet.stream = stream
                output.mux_one(packet)
                count += 1
                on_packet()

        frames = sound(recipe, sources)
        stack.callback(frames.close)
        for frame in frames:
            frame.pts = (frame.pts or 0) + SHIFT * recipe.sample_rate
            write(frame)
        if count:
            write(None)
    return count


def add_track(container: OutputContainer, recipe: AudioRecipe) -> AudioStream:
    """A track of `container` with the encoder of `recipe`, which is not open yet."""
    name, format = _ENCODERS[recipe.codec]
    stream = container.add_stream(name, rate=recipe.sample_rate)
    assert isinstance(stream, AudioStream)
    context = stream.codec_context
    context.layout = recipe.layout
    if recipe.bit_rate:
        context.bit_rate = recipe.bit_rate
    context.format = format
    context.flags |= int(Flags.global_header)
    return stream


def copied_packets(
    container: InputContainer, index: int, start: Fraction, end: Fraction
) -> Iterator[tuple[av.Packet[AudioStream], Fraction]]:
    """The packets that sound in ``[start, end)``, each with its new time in seconds.

    One packet more comes before them: an AAC decoder needs it to be right from the first sample.
    Its negative time makes the muxer write an edit list that hides it.
    """
    stream = container.streams[index]
    assert isinstance(stream, AudioStream)
    base = stream.time_base
    assert base is not None
    with contextlib.suppress(av.FFmpegError):
        container.seek(int((start - PRE_ROLL) / base), stream=stream, backward=True)
    before: av.Packet[AudioStream] | None = None
    begun = False
    try:
        for packet in demux(container, stream):
            if packet.pts is None or not packet.size:
                continue
            time = packet.pts * base
            if time >= end:
                break
            if time + (packet.duration or 0) * base <= start:
                before = packet
                continue
            if not begun and before is not None and before.pts is not None:
                yield before, before.pts * base - start
            begun = True
            yield packet, time - start
    except av.FFmpegError:
        return
