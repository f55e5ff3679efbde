"""A chain of libavfilter's filters that works on one frame at a time."""

from __future__ import annotations

from fractions import Fraction

import av.filter
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

__all__ = ["Filters"]


class Filters:
    """Filters in a row, each a name and its arguments; one frame in, one frame out.

    The result has the frame's colour tags and time stamp.
    """

    def __init__(self, chain: list[tuple[str, dict[str, str]]]) -> None:
        self.chain = chain
        self._shape: tuple[int, int, str] | None = None
        self._graph: av.filter.Graph
        self._source: FilterContext
        self._sink: FilterContext

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """The filtered frame; `frame` stays as it is."""
        shape = frame.width, frame.height, frame.format.name
        if shape != self._shape:
            self._build(frame)
            self._shape = shape
        self._source.push(frame)
        result = self._sink.pull()
        assert isinstance(result, VideoFrame)
        result.colorspace, result.color_range = frame.colorspace, frame.color_range
        result.pts = frame.pts
        if frame.time_base is not None:
            result.time_base = frame.time_base
        return result

    def _build(self, frame: VideoFrame) -> None:
        graph = av.filter.Graph()
        graph.threads = 1
        nodes = [
            graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base or Fraction(1, 1000),
            )
        ]
        nodes += [graph.add(name, **arguments) for name, arguments in self.chain]
        nodes.append(graph.add("buffersink"))
        graph.link_nodes(*nodes).configure()
        self._graph, self._source, self._sink = graph, nodes[0], nodes[-1]
