"""Every class of footage through every kind of export, against FFmpeg doing the same alone.

The table is the product of `footage.CLASSES` and `KINDS`. A new kind or effect is one more entry:
the spec for a file, and the filters that make the same of ``[a]`` (the range of the file as
people see it) and ``[b]`` (another clip).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from footage import CLASSES, ON, Footage
from support import complaints, export_here, ffmpeg, samples

START, END = 0.21, 0.83
"""Between frames of 25 per second: number 6 to 20."""
OTHER = {"path": "other.mp4", "start": 0.0, "end": 0.6}
_STEP = 0.04


@dataclass(frozen=True)
class Row:
    """A kind of export."""

    spec: Callable[[dict[str, Any]], dict[str, Any]]
    """Of a source."""
    filters: str
    """``{fade}`` is where a dissolve of 0.2 s begins, in seconds; ``{white}`` is its luma."""
    frames: Callable[[int], int]
    """Of the output, for a range of so many frames."""
    untouched: bool = False
    """Whether pictures stay as they are, hence in the source's format."""
    chroma: float = 40
    """The least PSNR in dB of chroma: lower where FFmpeg's filter has a format of its own."""
    exact_count: bool = True
    """Whether FFmpeg's own rounding gives the same number of frames."""
    slack: float = 0.0
    """Seconds by which the beginning of a beep is not certain."""
    flash: Callable[[float], float] = lambda seconds: seconds
    """When the field turns white, which it does so long after the start of the range."""


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


def _compare(source: dict[str, Any]) -> dict[str, Any]:
    effect = {"type": "compare", "layout": "side_by_side", "with": OTHER}
    return {
        "kind": "compare",
        "sources": [source],
        "effects": [effect],
        "encoding": {"fps": 25},
    }


def _annotate(source: dict[str, Any]) -> dict[str, Any]:
    box = {"kind": "box", "x": 16, "y": 10, "width": 64, "height": 48, "start": 0.22}
    look = {"fill": "#ffffff", "fill_opacity": 1, "stroke_width": 0}
    effect = {"type": "annotation", **box, **look}
    return {"kind": "annotate", "sources": [source], "effects": [effect]}


_BOX = "between(X/SW,16,79)*between(Y/SH,10,57)*gte(T,0.21)"

KINDS: dict[str, Row] = {
    "clip": Row(_clip, "[a]null", lambda n: n, untouched=True),
    "framing, crop": Row(_crop, "[a]crop=128:96:10:6", lambda n: n),
    "framing, speed": Row(
        _speed, "[a]setpts=PTS/2,fps=25", lambda n: n // 2, untouched=True, exact_count=False,
        flash=lambda seconds: seconds / 2, slack=0.02,  # keeping the pitch blurs the beep's edge
    ),
    "concat, dissolve": Row(
        _concat,
        "[a]fps=25,settb=1/25[x];[b]settb=1/25[y];[x][y]xfade=fade:duration=0.2:offset={fade}",
        lambda n: n + 15 - 5, chroma=30,  # xfade works in 4:4:4
    ),
    "compare, side by side": Row(_compare, "[a]fps=25[x];[b][x]hstack=shortest=1", lambda n: n),
    "annotate, in output time": Row(
        _annotate,
        f"[a]geq=lum='if({_BOX},{{white}},lum(X,Y))'"
        f":cb='if({_BOX},128,cb(X,Y))':cr='if({_BOX},128,cr(X,Y))'",
        lambda n: n, chroma=30,  # the edges of chroma lie between luma's
    ),
}  # fmt: skip
#: At a constant rate the frames that a varying one leaves out are shown again.
_AT_25 = {"varying rate": 14}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    ffmpeg(
        *("-f", "lavfi", "-i", "mandelbrot=s=160x120:r=25", "-t", 0.6, "-pix_fmt", "yuv420p"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-crf", 10, folder / "other.mp4"),
    )
    return folder


@pytest.mark.parametrize("name", CLASSES)
def test_every_kind_of_export_is_exact_on(name: str, root: Path, tmp_path: Path) -> None:
    footage = CLASSES[name]
    file = footage.write(root)
    _references(name, file, root, tmp_path)
    wrong = []
    for kind, row in KINDS.items():
        source = {"path": file.name, "start": START, "end": END}
        spec = row.spec(source)
        spec["output"] = "o.mkv"
        spec["encoding"] = {"quality": "lossless", **spec.get("encoding", {})}
        done = export_here(spec, root, tmp_path, segment_seconds=0.3)
        try:
            _check(done, name, kind, tmp_path / f"{kind}.mkv")
        except AssertionError as error:
            wrong.append(f"{kind}: {str(error).splitlines()[0]}")
    assert not wrong, f"{name}: " + " | ".join(wrong)


def _references(name: str, file: Path, root: Path, folder: Path) -> None:
    """For each kind what FFmpeg makes of the footage."""
    footage = CLASSES[name]
    split = f"split={len(KINDS)}" + "".join(f"[a{i}]" for i in range(len(KINDS)))
    # The native decoder drops transparency.
    decoder = ("-c:v", "libvpx-vp9") if "alpha" in file.name else ()
    graphs = [
        f"[0:v:0]settb=1/90000,setpts=PTS-STARTPTS,{footage.seen},trim=start={START}:end={END},"
        f"setpts=PTS-STARTPTS,{split}"
    ]
    outputs: list[str | Path] = []
    for i, (kind, row) in enumerate(KINDS.items()):
        format = footage.kept if row.untouched else footage.changed
        white = 255 if footage.range == "pc" else 235
        filters = row.filters.format(fade=(_count(name, kind) - 5) / 25, white=white)
        graphs.append(f"[a{i}]format={format}[c{i}]")
        if "[b]" in filters:
            graphs.append(f"[1:v]{footage.other},format={format}[d{i}]")
        filters = filters.replace("[a]", f"[c{i}]").replace("[b]", f"[d{i}]")
        filters = filters.replace("[x]", f"[x{i}]").replace("[y]", f"[y{i}]")
        graphs.append(f"{filters},format={format}[o{i}]")
        outputs += ["-map", f"[o{i}]", "-c:v", "ffv1", "-fps_mode", "passthrough"]
        outputs += ["-color_range", footage.range]
        outputs.append(folder / f"{kind}.mkv")
    inputs = (*decoder, "-i", file, "-i", root / "other.mp4")
    ffmpeg(*inputs, "-filter_complex", ";".join(graphs), *outputs)


def _count(name: str, kind: str) -> int:
    """Frames of the range as `kind` takes them."""
    own = CLASSES[name].frames
    return own if "fps" not in KINDS[kind].spec({}).get("encoding", {}) else _AT_25.get(name, own)


def _check(done: Any, name: str, kind: str, reference: Path) -> None:
    footage, row = CLASSES[name], KINDS[kind]
    assert complaints(done.path) == ""
    ours, times = _frames(done.path)
    theirs, _ = _frames(reference)
    frames = row.frames(_count(name, kind))
    assert len(ours) == frames == done.result["frames"]
    assert not row.exact_count or len(theirs) == frames
    assert abs(len(theirs) - frames) <= 1
    for k, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        scores = [_psnr(p, q) for p, q in zip(a, b, strict=True)]
        assert scores[0] >= 40, f"frame {k}: {scores}"
        assert min(scores) >= min(row.chroma, footage.chroma), f"frame {k}: {scores}"
    if footage.frames == 15:
        assert np.allclose(times, np.arange(frames) / 25, atol=0.0015)
        assert abs(done.result["duration"] - frames / 25) < 0.001
    else:
        assert abs(done.result["duration"] - (times[-1] + _STEP)) < 1.5 * _STEP
    notes = " ".join(done.plan["notes"])
    assert footage.note in notes
    assert "bits per component" not in notes or footage.kept != footage.changed
    if footage.sound:
        _check_sound(done.path, footage, row, ours, times)


def _check_sound(
    path: Path, footage: Footage, row: Row, frames: list[list[np.ndarray]], times: np.ndarray
) -> None:
    heard, start = samples(path)
    loud = np.flatnonzero(np.abs(heard) > 0.03)
    assert len(loud), "no sound"
    beep = start + loud[0] / 48000
    first = 0.28 if footage.frames == 11 else 0.24
    # The picture's own time is what is compared with FFmpeg's; this is where the flash is in it.
    assert abs(beep - row.flash(ON - first)) < 0.025 + row.slack, f"beep at {beep}"


def _frames(path: Path) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """Of each frame its planes, scaled to 8 bits, and its time in seconds."""
    frames, times = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            depth = frame.format.components[0].bits
            planes = []
            for plane in frame.planes:
                data = np.frombuffer(plane, np.uint8 if depth == 8 else np.uint16)
                rows = data.reshape(plane.height, -1)[:, : plane.width]
                planes.append(rows.astype(np.float64) / 2 ** (depth - 8))
            frames.append(planes)
            times.append(float(frame.pts * frame.time_base))
    return frames, np.array(times)


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape, f"{a.shape} is not {b.shape}"
    error = ((a - b) ** 2).mean()
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))
