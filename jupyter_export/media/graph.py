"""libavfilter graphs for whole-picture changes: turn upright, square the pixels, scale, convert.

Filters get their arguments as keywords from typed values, never as a string with user text.
"""

from __future__ import annotations

import av.filter
from av.filter.context import FilterContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from .effects.base import Picture
from .facts import Colour, VideoFacts
from .tone import BT709, DEEP_RGB, is_hdr, is_wide, table

__all__ = ["Convert", "buffer", "matrix_of", "rgb_arguments", "upright", "working_colour"]

_FULL = 2
_RGB_SPACE = 0
_UNSPECIFIED = 2
#: Matrices that swscale takes a frame with.
_KNOWN_SPACES = {_RGB_SPACE, 1, _UNSPECIFIED, 4, 5, 6, 7, 9}
#: Code points of the matrix (ISO/IEC 23091-2) by swscale's names.
_MATRIX = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_HD_LINES = 720
#: A shape is kept by stretching up to so many pixels: sides are rounded to even numbers.
_ROUNDING = 2
_TABLE = "haldclut"
_SCALER = {"flags": "bicubic+accurate_rnd+full_chroma_int"}
_Chain = list[tuple[str, dict[str, str]]]
_TURNS: dict[str, _Chain] = {
    "none": [],
    "clockwise": [("transpose", {"dir": "clock"})],
    "counterclockwise": [("transpose", {"dir": "cclock"})],
    "half": [("hflip", {}), ("vflip", {})],
}


def working_colour(own: Colour, wanted: Colour) -> Colour:
    """What samples mean on the way from a source of `own` to an output of `wanted`.

    RGB becomes BT.709; so does what is HDR or of a wide gamut, where the output is not.
    """
    if own.space == _RGB_SPACE or _mapped(own, wanted):
        return BT709
    return own


class Convert:
    """A graph from frames as they come to frames of one shape; rebuilt when the input changes.

    With `turn`, the source's rotation and sample aspect are applied. What has another shape than
    the target is letterboxed, what is transparent is flattened over black. `own` and `colour` are
    what the samples mean before and after.
    """

    def __init__(
        self, video: VideoFacts, target: Picture, *, turn: bool, own: Colour, colour: Colour
    ) -> None:
        self.video = video
        self.target = target
        self.turn = turn
        self.own = own
        self.colour = colour
        self._shape: tuple[int | str, ...] | None = None
        self._graph: av.filter.Graph | None = None
        self._source: FilterContext | None = None
        self._sink: FilterContext | None = None

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """The converted frame, with its time stamp kept."""
        # Nothing but matrix and range is to be converted, and those are named to swscale: it
        # refuses frames with tags that it does not know (reserved, logarithmic, YCgCo).
        frame.color_primaries = frame.color_trc = _UNSPECIFIED
        if frame.colorspace not in _KNOWN_SPACES:
            frame.colorspace = _UNSPECIFIED
        shape = (
            *(frame.width, frame.height, frame.format.name),
            *(int(frame.colorspace), int(frame.color_range)),
        )
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
        nodes = [buffer(graph, frame)]
        nodes += [graph.add(name, **arguments) for name, arguments in chain]
        nodes.append(graph.add("buffersink"))
        graph.link_nodes(*nodes)
        names = [name for name, _ in chain]
        if _TABLE in names:
            colours = table(self.own, self.video.peak)
            second = buffer(graph, colours)
            second.link_to(nodes[1 + names.index(_TABLE)], 0, 1)
            graph.configure()
            second.push(colours)
            second.push(None)
        else:
            graph.configure()
        self._graph, self._source, self._sink = graph, nodes[0], nodes[-1]

    def _chain(self, frame: VideoFrame) -> _Chain:
        target, video = self.target, self.video
        width, height, format = frame.width, frame.height, frame.format.name
        natural = width, height
        chain: _Chain = []
        if _transparent(frame.format):
            if not format.startswith(("yuva", "gbrap")):
                format = "gbrap"
                chain.append(("format", {"pix_fmts": format}))
            # Straight alpha, as WebM, ProRes and PNG have it; black is what is left at 0.
            chain.append(("premultiply", {"inplace": "1"}))
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
        chain += self._scaled(format, (width, height), inner)
        if inner != (target.width, target.height):
            x, y = (target.width - inner[0]) // 4 * 2, (target.height - inner[1]) // 4 * 2
            place = {"w": str(target.width), "h": str(target.height), "x": str(x), "y": str(y)}
            chain.append(("pad", place))
        return chain

    def _scaled(self, format: str, size: tuple[int, int], inner: tuple[int, int]) -> _Chain:
        """From `format` and `size` to the target's format and `inner`; nothing if that is all."""
        wanted = self.target.pix_fmt
        resized = {"w": str(inner[0]), "h": str(inner[1])}
        if _mapped(self.own, self.colour):
            return [
                ("scale", resized | _SCALER | self._into(format) | {"out_range": "pc"}),
                ("format", {"pix_fmts": DEEP_RGB}),
                (_TABLE, {"clut": "first", "interp": "tetrahedral"}),
                ("scale", _SCALER | {"in_range": "pc"} | self._out_of(wanted)),
                ("format", {"pix_fmts": wanted}),
            ]
        colours = self._colours(format)
        if size == inner and format == wanted and not colours:
            return []
        return [("scale", resized | _SCALER | colours), ("format", {"pix_fmts": wanted})]

    def _colours(self, format: str) -> dict[str, str]:
        """Arguments of the scale filter; none where the samples keep their meaning."""
        before, after = self._into(format), self._out_of(self.target.pix_fmt)
        if _is_rgb(format) or _is_rgb(self.target.pix_fmt):
            return before | after
        same = self.own.space == self.colour.space
        if same:
            # Named all the same: what swscale assumes of a frame with tags may differ from what
            # it assumes of the result.
            after["out_color_matrix"] = before["in_color_matrix"]
        same = before["in_color_matrix"] == after["out_color_matrix"]
        same = same and before["in_range"] == after["out_range"]
        return {} if same and format == self.target.pix_fmt else before | after

    def _into(self, format: str) -> dict[str, str]:
        if _is_rgb(format):
            return {"in_range": "tv" if self.own.range == 1 else "pc"}
        full = self.own.range == _FULL or format.startswith("yuvj")
        lines = min(self.video.width, self.video.height)
        return {
            "in_color_matrix": matrix_of(self.own, lines),
            "in_range": "pc" if full else "tv",
        }

    def _out_of(self, format: str) -> dict[str, str]:
        if _is_rgb(format):
            return {"out_range": "pc"}
        full = self.colour.range == _FULL or format.startswith("yuvj")
        lines = min(self.target.width, self.target.height)
        return {
            "out_color_matrix": matrix_of(self.colour, lines),
            "out_range": "pc" if full else "tv",
        }


def upright(video: VideoFacts, pix_fmt: str, wanted: Colour) -> Convert:
    """The graph that gives square pixels, the right way up, in `pix_fmt`, on the way to `wanted`.

    What its samples mean is `working_colour`.
    """
    target = Picture(width=video.upright_width, height=video.upright_height, pix_fmt=pix_fmt)
    colour = working_colour(video.colour, wanted)
    return Convert(video, target, turn=True, own=video.colour, colour=colour)


def buffer(graph: av.filter.Graph, frame: VideoFrame) -> FilterContext:
    """A source of frames like `frame`.

    It is told their colours, too, which PyAV's own `add_buffer` leaves out: FFmpeg would warn of
    frames that differ from what was announced.
    """
    return graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base=str(frame.time_base or "1/1000"),
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
    )


def matrix_of(colour: Colour, lines: int) -> str:
    """swscale's name; what is not said is BT.709 in high definition, BT.601 below."""
    return _MATRIX.get(colour.space, "bt709" if lines >= _HD_LINES else "bt601")


def _mapped(own: Colour, wanted: Colour) -> bool:
    """Whether colours are brought to SDR BT.709."""
    return (is_wide(own) and not is_wide(wanted)) or (is_hdr(own) and not is_hdr(wanted))


def _is_rgb(format: str) -> bool:
    return VideoFormat(format).is_rgb


def _transparent(format: VideoFormat) -> bool:
    return any(component.is_alpha for component in format.components)


def rgb_arguments(colour: Colour, lines: int) -> dict[str, str]:
    """Arguments of the scale filter that gives RGB of `colour`, whose source has so many lines."""
    return {
        "in_color_matrix": matrix_of(colour, lines),
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
