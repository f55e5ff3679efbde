"""Rendering against FFmpeg at the same x264 settings, in pairs: A B A B, ratios of wall time.

python3 tests/run.py tests/benchmarks --benchmarks -s
"""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import clip_spec, export_here, ffmpeg, framing_spec

pytestmark = pytest.mark.benchmark

PAIRS = 5
INPUTS = {
    "clip": ["film.mp4"],
    "framing": ["film.mp4"],
    "overlay": ["film.mp4", "label0.png", "label1.png", "label2.png"],
}
PRESET = {"fast": ("ultrafast", "23"), "balanced": ("fast", "18")}


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


@pytest.mark.parametrize("quality", PRESET)
@pytest.mark.parametrize("kind", ["clip", "framing", "overlay"])
def test_wall_time_against_ffmpeg(kind: str, quality: str, film: Path, tmp_path: Path) -> None:
    preset, crf = PRESET[quality]
    x264 = ("-c:v", "libx264", "-preset", preset, "-crf", crf)
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
        ffmpeg(*inputs, "-filter_complex", graph, *x264, tmp_path / f"{n}.mp4")
        end = time.perf_counter()
        ours.append(middle - start)
        ratios.append((middle - start) / (end - middle))
    print(
        f"{kind}, {quality}: {statistics.median(ours):.2f} s, "
        f"{statistics.median(ratios):.2f}× FFmpeg's wall time "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
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
