"""Deinterlace: one whole picture for each two fields, the same wherever a segment begins."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import av.filter
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

from .graph import buffer

__all__ = ["deinterlaced"]


def deinterlaced(frames: Iterable[VideoFrame], first: int, stop: int) -> Iterator[VideoFrame]:
    """Progressive pictures for the `frames` with ``first <= pts < stop``, time stamps kept.

    `frames` begin with the neighbour before these and end with the one after them, where there
    are any: bwdif looks at both. Each frame says itself which field is first, and whether it is
    interlaced at all; what is progressive (as film carried with repeated fields) stays as it is.
    """
    filter: _Bwdif | None = None
    for frame in frames:
        shape = frame.width, frame.height, frame.format.name
        if filter is not None and filter.shape != shape:
            yield from _within(filter.rest(), first, stop)
            filter = None
        filter = filter or _Bwdif(frame)
        yield from _within(filter.push(frame), first, stop)
    if filter is not None:
        yield from _within(filter.rest(), first, stop)


def _within(frames: Iterable[VideoFrame], first: int, stop: int) -> Iterator[VideoFrame]:
    return (f for f in frames if f.pts is not None and first <= f.pts < stop)


class _Bwdif:
    """Gives each frame once it has seen the next one."""

    def __init__(self, frame: VideoFrame) -> None:
        self.shape = frame.width, frame.height, frame.format.name
        self._waiting: deque[VideoFrame] = deque()
        graph = av.filter.Graph()
        nodes = [
            buffer(graph, frame),
            graph.add("bwdif", mode="send_frame", parity="auto", deint="interlaced"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        self._graph = graph
        self._source: FilterContext = nodes[0]
        self._sink: FilterContext = nodes[-1]

    def push(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        self._waiting.append(frame)
        self._source.push(frame)
        return self._pull()

    def rest(self) -> Iterator[VideoFrame]:
        if len(self._waiting) == 1:
            # Of one frame alone bwdif makes nothing; shown twice, it is its own neighbour.
            (only,) = self._waiting
            self._source.push(only)
            yield from self._pull()
            return
        self._source.push(None)
        yield from self._pull()

    def _pull(self) -> Iterator[VideoFrame]:
        while self._waiting:
            try:
                result = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(result, VideoFrame)
            # In the order in which they came: bwdif's own time stamps count half ticks.
            source = self._waiting.popleft()
            result.pts = source.pts
            if source.time_base is not None:
                result.time_base = source.time_base
            yield result
