"""libavfilter graphs for whole-picture changes: turn upright, square the pixels, scale, convert.

Filters get their arguments as keywords from typed values, never as a string with user text.
"""

from __future__ import annotations

import av.filter
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

from .effects.base import Picture
from .facts import VideoFacts

__all__ = ["Convert", "upright"]

_FULL = 2
_RGB_SPACE = 0
_TURNS: dict[str, list[tuple[str, dict[str, str]]]] = {
    "none": [],
    "clockwise": [("transpose", {"dir": "clock"})],
    "counterclockwise": [("transpose", {"dir": "cclock"})],
    "half": [("hflip", {}), ("vflip", {})],
}


class Convert:
    """A graph from frames as they come to frames of one shape; rebuilt when the input changes."""

    def __init__(self, video: VideoFacts, target: Picture, *, turn: bool) -> None:
        self.video = video
        self.target = target
        self.turn = turn
        self._shape: tuple[int, int, str] | None = None
        self._graph: av.filter.Graph | None = None
        self._source: FilterContext | None = None
        self._sink: FilterContext | None = None

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """The converted frame, with its time stamp kept."""
        shape = frame.width, frame.height, frame.format.name
        if shape != self._shape:
            self._build(frame)
            self._shape = shape
        if self._source is None or self._sink is None:
            return frame
        self._source.push(frame)
        result = self._sink.pull()
        assert isinstance(result, VideoFrame)
        result.pts = frame.pts
        if frame.time_base is not None:
            result.time_base = frame.time_base
        return result

    def _build(self, frame: VideoFrame) -> None:
        chain = self._chain(frame)
        if not chain:
            self._graph = self._source = self._sink = None
            return
        graph = av.filter.Graph()
        base = frame.time_base or self.video.time_base
        nodes = [
            graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=base
            )
        ]
        nodes += [graph.add(name, **arguments) for name, arguments in chain]
        nodes.append(graph.add("buffersink"))
        graph.link_nodes(*nodes).configure()
        self._graph, self._source, self._sink = graph, nodes[0], nodes[-1]

    def _chain(self, frame: VideoFrame) -> list[tuple[str, dict[str, str]]]:
        target, video = self.target, self.video
        width, height = frame.width, frame.height
        chain: list[tuple[str, dict[str, str]]] = []
        if self.turn:
            if video.mirror:
                chain.append(("hflip", {}))
            chain += _TURNS[video.turn]
            if video.turn in ("clockwise", "counterclockwise"):
                width, height = height, width
        even = width // 2 * 2, height // 2 * 2
        if (target.width, target.height) == even != (width, height):
            # An odd row or column is dropped: scaling by one pixel would blur the picture.
            chain.append(
                ("crop", {"w": str(even[0]), "h": str(even[1]), "x": "0", "y": "0", "exact": "1"})
            )
            width, height = even
        scales = (width, height) != (target.width, target.height)
        if scales or frame.format.name != target.pix_fmt:
            arguments = {
                "w": str(target.width),
                "h": str(target.height),
                "flags": "bicubic+accurate_rnd+full_chroma_int",
            }
            if video.colour.space == _RGB_SPACE:
                arguments |= {"out_color_matrix": "bt709", "out_range": "tv"}
            elif video.colour.range == _FULL or frame.format.name.startswith("yuvj"):
                arguments |= {"in_range": "pc", "out_range": "pc"}
            chain.append(("scale", arguments))
            chain.append(("format", {"pix_fmts": target.pix_fmt}))
        return chain


def upright(video: VideoFacts, pix_fmt: str) -> Convert:
    """The graph that gives square pixels, the right way up, in `pix_fmt`."""
    target = Picture(width=video.upright_width, height=video.upright_height, pix_fmt=pix_fmt)
    return Convert(video, target, turn=True)
