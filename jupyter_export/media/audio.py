"""The output's audio: a range of a track, exact to the sample, encoded or copied."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.filter
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import InputContainer

from ..errors import EncoderFailed
from .open import SEGMENT_FORMAT, open_source, writing
from .recipe import AudioRecipe

__all__ = ["SHIFT", "copied_packets", "render_audio"]

#: Encoded audio files begin this many seconds late: NUT has no negative time stamps, and an
#: AAC encoder's first packet lies before 0.
SHIFT = 1

#: Seconds decoded before the range, so that the decoder has settled when it begins.
_PRE_ROLL = Fraction(1, 2)

#: The sample format that each encoder takes.
_FORMATS = {"aac": "fltp", "flac": "s16"}


def render_audio(
    recipe: AudioRecipe, source: Path, target: Path, on_packet: Callable[[], None]
) -> int:
    """Write the range of `recipe` to `target`; its time 0 stands at `SHIFT` seconds.

    A track that begins late or has holes is filled with silence, so that it stays in sync.
    `on_packet` is called for each packet; what it raises ends the work.

    Returns:
        The number of packets; 0 when the source has no audio in the range.

    Raises:
        DiskFull, OutputError: `target` cannot be written.
        EncoderFailed: the audio encoder stopped.
    """
    count = 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(writing(target))
        container = stack.enter_context(open_source(source))
        output = av.open(f"file:{target}", "w", format=SEGMENT_FORMAT)
        stack.callback(output.close)
        stream = output.add_stream(recipe.codec, rate=recipe.sample_rate)
        assert isinstance(stream, AudioStream)
        context = stream.codec_context
        context.layout = recipe.layout
        if recipe.codec == "aac":
            context.bit_rate = recipe.bit_rate
        context.format = _FORMATS[recipe.codec]
        context.flags |= int(Flags.global_header)
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

        for frame in _trimmed(container, recipe):
            frame.pts = (frame.pts or 0) + SHIFT * recipe.sample_rate
            write(frame)
        if count:
            write(None)
    return count


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
        container.seek(int((start - _PRE_ROLL) / base), stream=stream, backward=True)
    before: av.Packet[AudioStream] | None = None
    begun = False
    try:
        for packet in container.demux(stream):
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


def _trimmed(container: InputContainer, recipe: AudioRecipe) -> Iterator[AudioFrame]:
    """Frames of exactly the range; their time stamps count samples from 0."""
    stream = container.streams[recipe.audio.index]
    assert isinstance(stream, AudioStream)
    stream.codec_context.thread_type = "AUTO"
    graph: _Graph | None = None
    for frame in _decoded(container, stream, recipe.start - _PRE_ROLL, recipe.end):
        assert frame.pts is not None and frame.time_base is not None
        offset = frame.pts * frame.time_base - recipe.start
        frame.pts = round(offset * frame.sample_rate)
        frame.time_base = Fraction(1, frame.sample_rate)
        shape = frame.sample_rate, frame.format.name, frame.layout.name
        if graph is None:
            graph = _Graph(shape, recipe)
        elif graph.shape != shape:
            break  # a track that changes its form in the middle ends here
        yield from graph.push(frame)
    if graph is not None:
        yield from graph.push(None)


def _decoded(
    container: InputContainer, stream: AudioStream, start: Fraction, end: Fraction
) -> Iterator[AudioFrame]:
    assert stream.time_base is not None
    with contextlib.suppress(av.FFmpegError):
        container.seek(int(start / stream.time_base), stream=stream, backward=True)
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            packet = None
        with contextlib.suppress(av.FFmpegError):
            for frame in stream.codec_context.decode(packet):
                if frame.pts is None or frame.time_base is None:
                    continue
                if frame.pts * frame.time_base >= end:
                    return
                yield frame
        if packet is None or not packet.size:
            return


class _Graph:
    """Resample, fill holes with silence, cut to the sample."""

    def __init__(self, shape: tuple[int, str, str], recipe: AudioRecipe) -> None:
        self.shape = shape
        rate, format, layout = shape
        length = round((recipe.end - recipe.start) * recipe.sample_rate)
        graph = av.filter.Graph()
        source = graph.add_abuffer(
            sample_rate=rate, format=format, layout=layout, time_base=Fraction(1, rate)
        )
        nodes = [
            source,
            graph.add(
                "aresample",
                out_sample_rate=str(recipe.sample_rate),
                **{"async": "1"},
                first_pts="0",
            ),
            graph.add(
                "aformat",
                sample_fmts="fltp",
                sample_rates=str(recipe.sample_rate),
                channel_layouts=recipe.layout,
            ),
            graph.add("atrim", start_pts="0", end_pts=str(length)),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        self._graph, self._source, self._sink = graph, source, nodes[-1]

    def push(self, frame: AudioFrame | None) -> Iterator[AudioFrame]:
        with contextlib.suppress(av.EOFError):
            self._source.push(frame)
        while True:
            try:
                result = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(result, AudioFrame)
            yield result
