"""Decode sound, exact to the sample: ranges at a speed, one after another, faded and mixed."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.filter.context import FilterContext
from numpy.typing import NDArray

from .open import demux, open_source
from .recipe import AudioPart, AudioPiece, AudioRecipe
from .stretch import Samples, stretched

__all__ = ["PRE_ROLL", "sound"]

#: Seconds decoded before a range, so that the decoder has settled when it begins.
PRE_ROLL = Fraction(1, 2)

#: Seconds; less is a rounding of time stamps, more would be seen.
_HOLE = "0.02"
#: Samples of silence made at once.
_BLOCK = 4096
#: The fastest that one atempo filter should do: beyond, FFmpeg skips samples.
_FASTEST = Fraction(2)


def sound(recipe: AudioRecipe, sources: Sequence[Path | None]) -> Generator[AudioFrame, None, None]:
    """The track as planar float frames, whose time stamps count samples from 0.

    Nothing at all where the only source has no sound in its range.
    """
    if len(recipe.parts) == 1 and _plain(recipe.parts[0]):
        part, path = recipe.parts[0], sources[0]
        assert path is not None
        with open_source(path) as container:
            yield from _piece(container, part, part.pieces[0], recipe)
        return
    track = _Track(recipe)
    for i, (part, path) in enumerate(zip(recipe.parts, sources, strict=True)):
        after = recipe.parts[i + 1].overlap if i + 1 < len(recipe.parts) else Fraction(0)
        yield from track.add(part, path, after)


def _plain(part: AudioPart) -> bool:
    return len(part.pieces) == 1 and part.pieces[0].rate == 1 and not part.fade_in + part.fade_out


class _Track:
    """Puts parts one after another; holds back only what the next one overlaps."""

    def __init__(self, recipe: AudioRecipe) -> None:
        self.recipe = recipe
        self._passed = Fraction(0)
        """Seconds of output before the part."""
        self._written = 0
        self._tail: Samples | None = None

    def add(self, part: AudioPart, path: Path | None, after: Fraction) -> Iterator[AudioFrame]:
        """The frames of `part`, without the last `after` seconds, which wait for the next one."""
        rate = self.recipe.sample_rate
        start = self._passed - part.overlap
        # Rounded on the output's clock, so that errors do not add up.
        first, end = round(start * rate), round((start + part.length) * rate)
        keep = end - round((start + part.length - after) * rate)
        self._passed = start + part.length
        length = end - first
        tail, self._tail = self._tail, None
        held: list[Samples] = []
        at = 0
        for block in _exactly(self._blocks(part, path), length, self._channels):
            block = _faded(block, at, length, part, rate)
            if tail is not None and at < tail.shape[1]:
                n = min(tail.shape[1] - at, block.shape[1])
                rising = (np.arange(at, at + n, dtype=np.float32) + 1) / (tail.shape[1] + 1)
                block[:, :n] = block[:, :n] * rising + tail[:, at : at + n] * (1 - rising)
            at += block.shape[1]
            if keep and at > length - keep:
                n = max(0, block.shape[1] - (at - (length - keep)))
                held.append(block[:, n:])
                block = block[:, :n]
            if block.shape[1]:
                yield self._frame(block)
        if held:
            self._tail = np.concatenate(held, axis=1)

    def _blocks(self, part: AudioPart, path: Path | None) -> Iterator[Samples]:
        """The sound of the part's pieces; each as long as it should be, to the sample."""
        if path is None:
            return
        rate = self.recipe.sample_rate
        passed = Fraction(0)
        with open_source(path) as container:
            for piece in part.pieces:
                end = passed + (piece.end - piece.start) / piece.rate
                length = round(end * rate) - round(passed * rate)
                passed = end
                frames = _piece(container, part, piece, self.recipe)
                blocks: Iterator[NDArray[Any]] = (frame.to_ndarray() for frame in frames)
                if piece.rate < 1:
                    taken = round((piece.end - piece.start) * rate)
                    blocks = stretched(blocks, piece.rate, rate, taken)
                yield from _exactly(blocks, length, self._channels)

    @property
    def _channels(self) -> int:
        return av.AudioLayout(self.recipe.layout).nb_channels

    def _frame(self, block: Samples) -> AudioFrame:
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(block), format="fltp", layout=self.recipe.layout
        )
        frame.sample_rate = self.recipe.sample_rate
        frame.time_base = Fraction(1, self.recipe.sample_rate)
        frame.pts = self._written
        self._written += block.shape[1]
        return frame


def _exactly(blocks: Iterator[NDArray[Any]], length: int, channels: int) -> Iterator[Samples]:
    """`length` samples of `blocks`, with silence after their end."""
    left = length
    for block in blocks:
        if left <= 0:
            break
        block = block[:, :left].copy()
        left -= block.shape[1]
        yield block
    while left > 0:
        n = min(_BLOCK, left)
        left -= n
        yield np.zeros((channels, n), np.float32)


def _faded(block: Samples, at: int, length: int, part: AudioPart, rate: int) -> Samples:
    """`block`, whose first sample is number `at` of the part, under the part's fades."""
    position = np.arange(at, at + block.shape[1], dtype=np.float32)
    if part.fade_in:
        block *= np.clip(position / round(part.fade_in * rate), 0, 1)
    if part.fade_out:
        block *= np.clip((length - position) / round(part.fade_out * rate), 0, 1)
    return block


def _piece(
    container: InputContainer, part: AudioPart, piece: AudioPiece, recipe: AudioRecipe
) -> Iterator[AudioFrame]:
    """Frames of exactly the range; their time stamps count samples from 0."""
    assert part.audio is not None
    stream = container.streams[part.audio.index]
    assert isinstance(stream, AudioStream)
    if not stream.codec_context.is_open:
        stream.codec_context.thread_type = "AUTO"
    graph: _Graph | None = None
    shape: tuple[int, str, str] | None = None
    conform: AudioResampler | None = None
    for frame in _decoded(container, stream, piece.start - PRE_ROLL, piece.end):
        assert frame.pts is not None and frame.time_base is not None
        offset = frame.pts * frame.time_base - piece.start
        frame.pts = round(offset * frame.sample_rate)
        frame.time_base = Fraction(1, frame.sample_rate)
        before, shape = shape, (frame.sample_rate, frame.format.name, frame.layout.name)
        if graph is None:
            graph = _Graph(shape, piece, recipe)
        if shape == graph.shape:
            yield from graph.push(frame)
            continue
        # A broadcast changes from stereo to 5.1 with the programme, for example.
        if conform is None or shape != before:
            rate, format, layout = graph.shape
            conform = AudioResampler(format, layout, rate)
        for fitting in conform.resample(frame):
            yield from graph.push(fitting)
    if graph is not None:
        yield from graph.push(None)


def _decoded(
    container: InputContainer, stream: AudioStream, start: Fraction, end: Fraction
) -> Iterator[AudioFrame]:
    assert stream.time_base is not None
    # Not before its beginning: of an AVI file nothing more could be read.
    target = max(int(start / stream.time_base), stream.start_time or 0)
    with contextlib.suppress(av.FFmpegError):
        container.seek(target, stream=stream, backward=True)
    stream.codec_context.flush_buffers()
    packets = demux(container, stream)
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
    """Resample, fill holes with silence, cut to the sample, change the speed."""

    def __init__(self, shape: tuple[int, str, str], piece: AudioPiece, recipe: AudioRecipe) -> None:
        self.shape = shape
        rate, format, layout = shape
        length = round((piece.end - piece.start) * recipe.sample_rate)
        graph = av.filter.Graph()
        source = graph.add_abuffer(
            sample_rate=rate, format=format, layout=layout, time_base=Fraction(1, rate)
        )

        def fit() -> FilterContext:
            return graph.add(
                "aformat",
                sample_fmts="fltp",
                sample_rates=str(recipe.sample_rate),
                channel_layouts=recipe.layout,
            )

        nodes = [
            source,
            graph.add(
                "aresample",
                out_sample_rate=str(recipe.sample_rate),
                # Holes are filled with silence, and what comes too early is cut, where time
                # stamps differ from the samples by more than they are rounded.
                **{"async": "1"},
                min_hard_comp=_HOLE,
                first_pts="0",
            ),
            fit(),
            graph.add("atrim", start_pts="0", end_pts=str(length)),
            *(graph.add("atempo", tempo=f"{float(t):.12f}") for t in _tempos(piece.rate)),
            fit(),  # atempo has interleaved samples alone
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        self._graph, self._source, self._sink = graph, source, nodes[-1]

    def push(self, frame: AudioFrame | None) -> Iterator[AudioFrame]:
        """What comes out after `frame`; None is the end."""
        with contextlib.suppress(av.EOFError):
            self._source.push(frame)
        while True:
            try:
                result = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(result, AudioFrame)
            yield result


def _tempos(rate: Fraction) -> Iterator[Fraction]:
    """`rate` as a product of what one filter does well; nothing for what is slowed down."""
    while rate > _FASTEST:
        yield _FASTEST
        rate /= _FASTEST
    if rate > 1:
        yield rate
