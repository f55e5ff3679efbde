"""libavfilter graphs for whole-picture changes: turn upright, square the pixels, scale, convert.

Filters get their arguments as keywords from typed values, never as a string with user text.
"""

from __future__ import annotations

import av.filter
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

from .effects.base import Picture
from .facts import Colour, VideoFacts

__all__ = ["Convert", "rgb_arguments", "upright"]

_FULL = 2
_RGB_SPACE = 0
#: Code points of the matrix (ISO/IEC 23091-2) by swscale's names.
_MATRIX = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_HD_LINES = 720
#: A shape is kept by stretching up to so many pixels: sides are rounded to even numbers.
_ROUNDING = 2
_Chain = list[tuple[str, dict[str, str]]]
_TURNS: dict[str, _Chain] = {
    "none": [],
    "clockwise": [("transpose", {"dir": "clock"})],
    "counterclockwise": [("transpose", {"dir": "cclock"})],
    "half": [("hflip", {}), ("vflip", {})],
}


class Convert:
    """A graph from frames as they come to frames of one shape; rebuilt when the input changes.

    With `turn`, the source's rotation and sample aspect are applied. What has another shape than
    the target is letterboxed. `colour` is what the target's samples mean; None keeps the source's.
    """

    def __init__(
        self, video: VideoFacts, target: Picture, *, turn: bool, colour: Colour | None = None
    ) -> None:
        self.video = video
        self.target = target
        self.turn = turn
        self.colour = colour or video.colour
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

    def _chain(self, frame: VideoFrame) -> _Chain:
        target, video = self.target, self.video
        width, height = frame.width, frame.height
        natural = width, height
        chain: _Chain = []
        if self.turn:
            natural = video.upright_width, video.upright_height
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
        inner = _fitted(natural, (target.width, target.height))
        colours = self._colours(frame)
        if (width, height) != inner or frame.format.name != target.pix_fmt or colours:
            size = {"w": str(inner[0]), "h": str(inner[1])}
            flags = {"flags": "bicubic+accurate_rnd+full_chroma_int"}
            # Said in full: what swscale assumes of a frame with tags may differ from what it
            # assumes of the result.
            same = _matrix(self.video.colour, frame.height)
            kept = {"in_color_matrix": same, "out_color_matrix": same}
            rgb = frame.format.name.startswith(("rgb", "gbr", "bgr"))
            chain.append(("scale", size | flags | (colours if rgb else kept | colours)))
            chain.append(("format", {"pix_fmts": target.pix_fmt}))
        if inner != (target.width, target.height):
            x, y = (target.width - inner[0]) // 4 * 2, (target.height - inner[1]) // 4 * 2
            place = {"w": str(target.width), "h": str(target.height), "x": str(x), "y": str(y)}
            chain.append(("pad", place))
        return chain

    def _colours(self, frame: VideoFrame) -> dict[str, str]:
        """Arguments of the scale filter; none where the samples keep their meaning."""
        own, wanted = self.video.colour, self.colour
        if frame.format.name.startswith(("rgb", "gbr", "bgr")) or own.space == _RGB_SPACE:
            if frame.format.name.startswith(("rgb", "gbr", "bgr")):
                return {"out_color_matrix": _matrix(wanted, self.target.height), "out_range": "tv"}
            own = wanted
        arguments = {}
        full = own.range == _FULL or self.video.pix_fmt.startswith("yuvj")
        full_wanted = wanted.range == _FULL or self.target.pix_fmt.startswith("yuvj")
        if full or full_wanted:
            arguments = {
                "in_range": "pc" if full else "tv",
                "out_range": "pc" if full_wanted else "tv",
            }
        before, after = _matrix(own, frame.height), _matrix(wanted, self.target.height)
        if own.space != wanted.space and before != after:
            arguments |= {"in_color_matrix": before, "out_color_matrix": after}
        same = full == full_wanted and "in_color_matrix" not in arguments
        return {} if same and frame.format.name == self.target.pix_fmt else arguments


def upright(video: VideoFacts, pix_fmt: str) -> Convert:
    """The graph that gives square pixels, the right way up, in `pix_fmt`."""
    target = Picture(width=video.upright_width, height=video.upright_height, pix_fmt=pix_fmt)
    return Convert(video, target, turn=True)


def rgb_arguments(colour: Colour, lines: int) -> dict[str, str]:
    """Arguments of the scale filter that gives RGB of `colour`, whose source has so many lines."""
    return {
        "in_color_matrix": _matrix(colour, lines),
        "in_range": "pc" if colour.range == _FULL else "tv",
        "out_range": "pc",
        "flags": "bicubic+accurate_rnd+full_chroma_int",
    }


def _fitted(natural: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """The largest even size of the shape `natural` within `target`."""
    scale = min(target[0] / natural[0], target[1] / natural[1])
    width, height = round(natural[0] * scale / 2) * 2, round(natural[1] * scale / 2) * 2
    if target[0] - width <= _ROUNDING and target[1] - height <= _ROUNDING:
        return target
    return max(2, width), max(2, height)


def _matrix(colour: Colour, height: int) -> str:
    """swscale's name; what is not said is BT.709 in high definition, BT.601 below."""
    return _MATRIX.get(colour.space, "bt709" if height >= _HD_LINES else "bt601")
