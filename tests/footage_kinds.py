"""The kinds of export that every class of footage goes through, and FFmpeg's way to the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from footage import CLASSES
from support import ffmpeg

START, END = 0.21, 0.83
"""Between frames of 25 per second: number 6 to 20."""
OTHER = {"path": "other.mp4", "start": 0.0, "end": 0.6}
#: At a constant rate the frames that a varying one leaves out are shown again.
_AT_25 = {"varying rate": 14}


@dataclass(frozen=True)
class Row:
    """A kind of export."""

    spec: Callable[[dict[str, Any]], dict[str, Any]]
    """Of a source."""
    filters: str
    """What makes the same of ``[a]`` (the range of the file as people see it) and ``[b]`` (another
    clip). ``{fade}`` is where a dissolve of 0.2 s begins, in seconds; ``{white}`` and ``{black}``
    are lumas; ``{first}`` is when the first frame is shown, in the file's time."""
    frames: Callable[[int], int]
    """Of the output, for a range of so many frames."""
    untouched: bool = False
    """Whether pictures stay as they are, hence in the source's format."""
    chroma: float = 40
    """The least PSNR in dB of chroma: lower where FFmpeg's filter has a format of its own."""
    exact_count: bool = True
    """Whether FFmpeg's own rounding gives the same number of frames."""
    slack: float = 0.0
    """Seconds by which the edges of a beep are not certain."""
    rate: int = 1
    """Times faster than the source."""
    begins: float = 0.0
    """When the range begins in the output."""


def _clip(source: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "clip", "sources": [source]}


def _crop(source: dict[str, Any]) -> dict[str, Any]:
    box = {"x": 10, "y": 6, "width": 128, "height": 96}
    crop = {"type": "crop", "size": [128, 96], "keyframes": [{"time": 0, **box}]}
    return {"kind": "framing", "sources": [{**source, "effects": [crop]}]}


def _speed(source: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "framing",
        "sources": [{**source, "speed": [{"start": 0, "end": 9, "rate": 2}]}],
        "encoding": {"fps": 25},
    }


def _concat(source: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "concat",
        "sources": [source, OTHER],
        "transition": {"type": "dissolve", "seconds": 0.2},
        "encoding": {"fps": 25},
    }


def _compare(layout: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def spec(source: dict[str, Any]) -> dict[str, Any]:
        effect = {"type": "compare", "layout": layout, "with": OTHER}
        return {
            "kind": "compare",
            "sources": [source],
            "effects": [effect],
            "encoding": {"fps": 25},
        }

    return spec


def _annotate(source: dict[str, Any]) -> dict[str, Any]:
    box = {"kind": "box", "x": 16, "y": 10, "width": 64, "height": 48, "start": 0.22}
    look = {"fill": "#ffffff", "fill_opacity": 1, "stroke_width": 0}
    effect = {"type": "annotation", **box, **look}
    return {"kind": "annotate", "sources": [source], "effects": [effect]}


def _overlay(source: dict[str, Any]) -> dict[str, Any]:
    lit = {"type": "highlight", "shape": "box", "effect": "dim_outside", "strength": 1}
    place = {"time": 0, "x": 48, "y": 34, "radius_x": 32, "radius_y": 24}
    effect = {**lit, "start": 0.42, "keyframes": [place]}
    return {"kind": "overlay", "sources": [{**source, "effects": [effect]}]}


_INSIDE = "between(X/SW,16,79)*between(Y/SH,10,57)"
_BOX = f"{_INSIDE}*gte(T,0.21)"
_OUTSIDE = f"not({_INSIDE})*gte(T,0.42-{{first}})"


def _painted(where: str, luma: str) -> str:
    """Grey of that luma where an expression says so."""
    return (
        f"[a]geq=lum='if({where},{luma},lum(X,Y))'"
        f":cb='if({where},128,cb(X,Y))':cr='if({where},128,cr(X,Y))'"
    )


KINDS: dict[str, Row] = {
    "clip": Row(_clip, "[a]null", lambda n: n, untouched=True),
    "framing, crop": Row(_crop, "[a]crop=128:96:10:6", lambda n: n),
    "framing, speed": Row(
        _speed, "[a]setpts=PTS/2,fps=25", lambda n: n // 2, untouched=True, exact_count=False,
        rate=2, slack=0.02,  # keeping the pitch blurs the beep's edges
    ),
    "concat, dissolve": Row(
        _concat,
        "[a]fps=25,settb=1/25[x];[b]settb=1/25[y];[x][y]xfade=fade:duration=0.2:offset={fade}",
        lambda n: n + 15 - 5, chroma=30,  # xfade works in 4:4:4
    ),
    "compare, side by side": Row(
        _compare("side_by_side"), "[a]fps=25[x];[b][x]hstack=shortest=1", lambda n: n
    ),
    "compare, before then after": Row(
        _compare("before_then_after"), "[a]fps=25,settb=1/25[x];[b]settb=1/25[y];[y][x]concat",
        lambda n: n + 15, begins=0.6,
    ),
    "annotate, in output time": Row(
        _annotate, _painted(_BOX, "{white}"), lambda n: n,
        chroma=30,  # the edges of chroma lie between luma's
    ),
    "overlay, in the source's time": Row(
        _overlay, _painted(_OUTSIDE, "{black}"), lambda n: n, chroma=30
    ),
}  # fmt: skip


def spec_of(kind: str, name: str, output: str, **encoding: Any) -> dict[str, Any]:
    """The export of that kind of the range of a class of footage."""
    source = {"path": CLASSES[name].file, "start": START, "end": END}
    spec = KINDS[kind].spec(source)
    return {**spec, "output": output, "encoding": {**encoding, **spec.get("encoding", {})}}


def count(name: str, kind: str) -> int:
    """Frames of the range as `kind` takes them."""
    own = CLASSES[name].frames
    return own if "fps" not in KINDS[kind].spec({}).get("encoding", {}) else _AT_25.get(name, own)


def write_other(folder: Any) -> None:
    """The clip that ranges are joined to and compared with; it is silent."""
    ffmpeg(
        *("-f", "lavfi", "-i", "mandelbrot=s=160x120:r=25", "-t", 0.6, "-pix_fmt", "yuv420p"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-crf", 10, folder / "other.mp4"),
    )
