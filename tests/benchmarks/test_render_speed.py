"""Rendering against FFmpeg at the same x264 settings, in pairs: A B A B, ratios of wall time.

python3 tests/run.py tests/benchmarks --benchmarks -s
"""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path

import pytest
from support import clip_spec, export_here, ffmpeg, framing_spec

pytestmark = pytest.mark.benchmark

PAIRS = 5
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
@pytest.mark.parametrize("kind", ["clip", "framing"])
def test_wall_time_against_ffmpeg(kind: str, quality: str, film: Path, tmp_path: Path) -> None:
    preset, crf = PRESET[quality]
    x264 = ("-c:v", "libx264", "-preset", preset, "-crf", crf)
    if kind == "clip":
        spec = clip_spec("film.mp4", "o.mp4", quality=quality, size=[1280, 720])
        graph = "scale=1280:720:flags=bicubic"
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
        ffmpeg("-i", film / "film.mp4", "-vf", graph, *x264, tmp_path / f"{n}.mp4")
        end = time.perf_counter()
        ours.append(middle - start)
        ratios.append((middle - start) / (end - middle))
    print(
        f"{kind}, {quality}: {statistics.median(ours):.2f} s, "
        f"{statistics.median(ratios):.2f}× FFmpeg's wall time "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )
