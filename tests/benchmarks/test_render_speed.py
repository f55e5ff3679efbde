"""Rendering against FFmpeg at the same x264 settings, in pairs: A B A B, ratios of wall time.

python3 tests/run.py tests/benchmarks --benchmarks -s
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import clip_spec, export_here, ffmpeg, framing_spec

from jupyter_export.hardware.encoders import options
from jupyter_export.spec import Quality

pytestmark = pytest.mark.benchmark

PAIRS = 5
INPUTS = {
    "clip": ["film.mp4"],
    "framing": ["film.mp4"],
    "overlay": ["film.mp4", "label0.png", "label1.png", "label2.png"],
}
QUALITIES = ("fast", "balanced")
MOVIEPY = os.environ.get("MOVIEPY_PYTHON", "")
"""A Python that has MoviePy 2; in an environment of its own, since it pins Pillow."""


def same_settings(quality: str) -> list[str]:
    """What our encoder is told, for FFmpeg's command line."""
    own = options("libx264", Quality(quality))
    flags = [word for name, value in own.options.items() for word in (f"-{name}", value)]
    gop = own.gop_size(Fraction(30))
    return ["-c:v", own.name, *flags, "-threads", str(own.thread_count), "-g", str(gop)]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, media: Path) -> Path:
    """20 s of 1080p30 with film-like content and a keyframe every 2 s."""
    folder = tmp_path_factory.mktemp("film")
    ffmpeg(
        *("-stream_loop", 3, "-i", media / "bunny_720p25.mp4", "-t", 20, "-an"),
        *("-vf", "scale=1920:1080,fps=30", "-c:v", "libx264", "-preset", "fast", "-g", 60),
        folder / "film.mp4",
    )
    return folder


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("kind", ["clip", "framing", "overlay"])
def test_wall_time_against_ffmpeg(kind: str, quality: str, film: Path, tmp_path: Path) -> None:
    if kind == "clip":
        spec = clip_spec("film.mp4", "o.mp4", quality=quality, size=[1280, 720])
        graph = "scale=1280:720:flags=bicubic"
    elif kind == "overlay":
        spec, graph = labels(film)
        spec["encoding"] = {"quality": quality}
    else:
        keys = [(0, 0, 0, 1280, 720), (20, 640, 360, 1280, 720)]
        spec = framing_spec("film.mp4", "o.mp4", keys, (1280, 720), quality=quality)
        graph = "zoompan=z=1.5:x='640*on/600':y='360*on/600':d=1:s=1280x720:fps=30"
    ratios, ours = [], []
    for n in range(PAIRS):
        shutil.rmtree(tmp_path / "o", ignore_errors=True)
        start = time.perf_counter()
        export_here(spec, film, tmp_path / "o")
        middle = time.perf_counter()
        inputs = [part for name in INPUTS[kind] for part in ("-i", film / name)]
        target = tmp_path / f"{n}.mp4"
        ffmpeg(*inputs, "-filter_complex", graph, *same_settings(quality), target)
        end = time.perf_counter()
        ours.append(middle - start)
        ratios.append((middle - start) / (end - middle))
    print(
        f"{kind}, {quality}: {statistics.median(ours):.2f} s, "
        f"{statistics.median(ratios):.2f}× FFmpeg's wall time "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


@pytest.mark.skipif(not MOVIEPY, reason="set MOVIEPY_PYTHON to a Python that has MoviePy 2")
@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("kind", ["framing and label", "label for a tenth"])
def test_wall_time_against_moviepy(kind: str, quality: str, film: Path, tmp_path: Path) -> None:
    framed = kind.startswith("framing")
    seconds = 20 if framed else 2
    label = {"type": "annotation", "kind": "text", "text": "Player 7", "size": 48}
    effects = [{**label, "x": 60, "y": 60, "start": 0, "end": seconds}]
    keys = [(0, 0, 0, 1280, 720), (20, 640, 360, 1280, 720)]
    spec = framing_spec("film.mp4", "o.mp4", keys, (1280, 720), quality=quality)
    if not framed:
        spec = {**spec, "kind": "annotate", "sources": [{"path": "film.mp4"}]}
    spec["effects"] = effects
    own = options("libx264", Quality(quality)).options
    script = Path(__file__).with_name("moviepy_framing.py")
    ratios, ours = [], []
    for n in range(PAIRS):
        shutil.rmtree(tmp_path / "o", ignore_errors=True)
        start = time.perf_counter()
        export_here(spec, film, tmp_path / "o")
        ours.append(time.perf_counter() - start)
        what = [MOVIEPY, script, film / "film.mp4", tmp_path / f"{n}.mp4"]
        how = [own["preset"], own["crf"], seconds, "framed" if framed else "whole"]
        done = subprocess.run(list(map(str, what + how)), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        ratios.append(float(done.stdout.split()[-1]) / ours[-1])
    print(
        f"{kind}, {quality}: {statistics.median(ours):.2f} s, MoviePy takes "
        f"{statistics.median(ratios):.2f} times as long ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def labels(folder: Path) -> tuple[dict[str, Any], str]:
    """Three labels on every frame, here as texts, for FFmpeg as pictures of the same size."""
    effects = []
    graph = "[0:v]"
    for n in range(3):
        x, y = 100 + 500 * n, 100 + 300 * n
        text = {"type": "annotation", "kind": "text", "text": "Frame annotation 01:23"}
        effects.append({**text, "size": 32, "background": "#101018", "x": x, "y": y})
        Image.new("RGBA", (420, 62), (16, 16, 24, 180)).save(folder / f"label{n}.png")
        graph += f"[{n + 1}:v]overlay={x}:{y}:eof_action=repeat"
        graph += f"[v{n}];[v{n}]" if n < 2 else ""
    source = {"path": "film.mp4", "effects": effects}
    return {"kind": "annotate", "sources": [source], "output": "o.mp4"}, graph
