"""Decode ranges of one source, in order at no extra cost: the decoder stays where it stopped."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..errors import SourceUnreadable
from .index import seek_before
from .open import limit_decoder, open_source

__all__ = ["Reader"]

#: How far ahead, in seconds, decoding on is preferred to seeking.
_DECODE_ON = Fraction(1)


class Reader:
    """Reads frames of one video track. Not thread-safe; one range at a time."""

    def __init__(self, path: Path, stream_index: int) -> None:
        """Open the file.

        Raises:
            SourceMissing: there is no such file.
            SourceUnreadable: it cannot be opened.
        """
        self.path = path
        self.damaged = 0
        """Packets that could not be decoded so far."""
        self._exit = contextlib.ExitStack()
        self._container: InputContainer = self._exit.enter_context(open_source(path))
        stream = self._container.streams[stream_index]
        assert isinstance(stream, VideoStream)
        self._stream = stream
        limit_decoder(stream)
        self._prime()
        # AVI has no presentation times; those that FFmpeg makes up are in decoding order.
        name = self._container.format.name
        self._in_decoding_order = name == "avi" and stream.codec_context.name in {"h264", "hevc"}
        self._frames: Iterator[VideoFrame] | None = None
        self._held: VideoFrame | None = None
        self._position: int | None = None

    def close(self) -> None:
        """Close the file."""
        self._frames = None
        self._held = None
        self._exit.close()

    def _prime(self) -> None:
        """Show the decoder the stream's first packet, whatever is read later.

        In H.264 only that one names the encoder's version (an SEI message), and FFmpeg's decoder
        needs it to undo what old versions of x264 did wrong in 4:4:4 video: without it, everything
        after a seek is garbage.
        """
        if self._stream.codec_context.name == "h264":
            with contextlib.suppress(av.FFmpegError):
                self._stream.codec_context.decode(next(self._container.demux(self._stream)))

    def frames(self, first: int, stop: int) -> Iterator[VideoFrame]:
        """The frames with ``first <= pts < stop``, in order of their time stamps.

        Raises:
            SourceUnreadable: none of them can be decoded.
        """
        frames = self._at(first)
        count = 0
        for frame in frames:
            if frame.pts is None or frame.pts < first:
                continue
            if frame.pts >= stop:
                self._held, self._position = frame, stop
                break
            count += 1
            yield frame
        else:
            self._frames = None
        if not count:
            raise SourceUnreadable(
                f"No frame of {self.path.name!r} can be decoded between "
                f"{self._seconds(first):.3f} s and {self._seconds(stop):.3f} s.",
                "The file is damaged there: choose another range, or get the file again.",
            )

    def _at(self, first: int) -> Iterator[VideoFrame]:
        """Frames from `first` or a little before it: decoded on, or from a keyframe."""
        assert self._stream.time_base is not None
        near = _DECODE_ON / self._stream.time_base
        if (
            self._frames is not None
            and self._position is not None
            and 0 <= first - self._position <= near
        ):
            return self._resume()
        self._held = None
        seek_before(self._container, self._stream, first)
        self._stream.codec_context.flush_buffers()
        self._frames = self._decode()
        return self._frames

    def _resume(self) -> Iterator[VideoFrame]:
        assert self._frames is not None
        if self._held is not None:
            held, self._held = self._held, None
            yield held
        # Not `yield from`: closing this generator must leave the decoder's one open.
        for frame in self._frames:  # noqa: UP028
            yield frame

    def _decode(self) -> Iterator[VideoFrame]:
        packets = self._container.demux(self._stream)
        times: list[int] = []
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:  # the end of what can be read
                packet = None
            try:
                frames = self._stream.codec_context.decode(packet)
            except av.EOFError:
                return
            except av.FFmpegError:
                self.damaged += 1
                frames = []
            if self._in_decoding_order:
                if packet is not None and packet.size and packet.pts is not None:
                    heapq.heappush(times, packet.pts)
                for frame in frames:
                    frame.pts = heapq.heappop(times) if times else frame.pts
            yield from frames
            if packet is None or not packet.size:
                return

    def _seconds(self, pts: int) -> float:
        assert self._stream.time_base is not None
        return float((pts - (self._stream.start_time or 0)) * self._stream.time_base)
