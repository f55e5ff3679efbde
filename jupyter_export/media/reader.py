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
from .open import decoder_of, demux, open_source

__all__ = ["Reader"]

#: How far ahead, in seconds, decoding on is preferred to seeking.
_DECODE_ON = Fraction(1)


class Reader:
    """Reads frames of one video track. Not thread-safe; one range at a time."""

    def __init__(self, path: Path, stream_index: int, *, threads: bool = True) -> None:
        """Open the file.

        Threads of a decoder that repair a picture read what others have got so far: without
        `threads`, what they make of damage is always the same.

        Raises:
            SourceMissing: there is no such file.
            SourceUnreadable: it cannot be opened.
        """
        self.path = path
        self.damaged: set[int] = set()
        """Time stamps of the frames that came incomplete; whoever looks for one that did not
        come at all adds it. To be emptied by whoever reports them."""
        self.unsure = False
        """Whether the frames may be others the next time, for damage. Reset by whoever reads."""
        self._spoiled = False
        """Whether there was damage since the last keyframe."""
        self._exit = contextlib.ExitStack()
        self._container: InputContainer = self._exit.enter_context(open_source(path))
        stream = self._container.streams[stream_index]
        assert isinstance(stream, VideoStream)
        self._stream = stream
        self._threads = threads
        self._decoder = decoder_of(stream, threads="AUTO" if threads else "NONE")
        self._prime()
        # AVI has no presentation times; those that FFmpeg makes up are in decoding order.
        name = self._container.format.name
        self._in_decoding_order = name == "avi" and self._decoder.name in {"h264", "hevc"}
        self._frames: Iterator[VideoFrame] | None = None
        self._before: VideoFrame | None = None
        """The last frame before `_position`."""
        self._held: VideoFrame | None = None
        """The first one after it."""
        self._position: int | None = None

    def close(self) -> None:
        """Close the file."""
        self._frames = self._before = self._held = None
        self._exit.close()

    def _prime(self) -> None:
        """Show the decoder the stream's first packet, whatever is read later.

        In H.264 only that one names the encoder's version (an SEI message), and FFmpeg's decoder
        needs it to undo what old versions of x264 did wrong in 4:4:4 video: without it, everything
        after a seek is garbage.
        """
        if self._decoder.name == "h264":
            with contextlib.suppress(av.FFmpegError):
                self._decoder.decode(next(demux(self._container, self._stream)))

    def frames(self, first: int, stop: int, *, around: bool = False) -> Iterator[VideoFrame]:
        """The frames with ``first <= pts < stop``, in order of their time stamps.

        With `around` also the one before them and the one after them, where there are any.

        Raises:
            SourceUnreadable: none of them can be decoded.
        """
        count = 0
        before: VideoFrame | None = None
        for frame in self._at(first, around=around):
            if frame.pts is None:
                continue
            if frame.pts < first:
                before = frame
                continue
            if around and before is not None and not count:
                yield before
            if frame.pts >= stop:
                self._before, self._held, self._position = before, frame, stop
                if around and count:
                    yield frame
                break
            count += 1
            before = frame
            self.unsure |= self._spoiled and self._threads
            if frame.is_corrupt:
                self.damaged.add(frame.pts)
            yield frame
        else:
            self._frames = None
        if not count:
            raise SourceUnreadable(
                f"No frame of {self.path.name!r} can be decoded between "
                f"{self._seconds(first):.3f} s and {self._seconds(stop):.3f} s.",
                "The file is damaged there: choose another range, or get the file again.",
            )

    def _at(self, first: int, *, around: bool) -> Iterator[VideoFrame]:
        """Frames from `first` or a little before it: decoded on, or from a keyframe.

        With `around` from before it.
        """
        assert self._stream.time_base is not None
        near = _DECODE_ON / self._stream.time_base
        if (
            self._frames is not None
            and self._position is not None
            and 0 <= first - self._position <= near
        ):
            return self._resume(around=around)
        self._before = self._held = None
        seek_before(self._container, self._stream, first - 1 if around else first)
        self._decoder.flush_buffers()
        self._frames = self._decode()
        return self._frames

    def _resume(self, *, around: bool) -> Iterator[VideoFrame]:
        assert self._frames is not None
        # Who has got the frame before may have given it a time stamp of another clock.
        before, held = self._before if around else None, self._held
        self._before = self._held = None
        for frame in (before, held):
            if frame is not None:
                yield frame
        # Not `yield from`: closing this generator must leave the decoder's one open.
        for frame in self._frames:
            yield frame

    def _decode(self) -> Iterator[VideoFrame]:
        packets = demux(self._container, self._stream)
        times: list[int] = []
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:  # the end of what can be read
                packet = None
            try:
                frames = self._decoder.decode(packet)
            except av.EOFError:
                return
            except av.FFmpegError:
                frames = []
                self._spoiled = True
            if self._in_decoding_order:
                if packet is not None and packet.size and packet.pts is not None:
                    heapq.heappush(times, packet.pts)
                for frame in frames:
                    frame.pts = heapq.heappop(times) if times else frame.pts
            for frame in frames:
                self._spoiled = frame.is_corrupt or (self._spoiled and not frame.key_frame)
                yield frame
            if packet is None or not packet.size:
                return

    def _seconds(self, pts: int) -> float:
        assert self._stream.time_base is not None
        return float((pts - (self._stream.start_time or 0)) * self._stream.time_base)
