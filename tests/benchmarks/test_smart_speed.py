"""Smart rendering against FFmpeg's re-encoding at the same preset, in pairs: times faster.

python3 tests/run.py tests/benchmarks/test_smart_speed.py --benchmarks -s
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import pytest
from effects_support import highlight, region
from support import export_here, ffmpeg

#: To encode three minutes takes five on two cores.
pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1200)]

PAIRS = 1
#: The preset of quality balanced.
X264 = ("-c:v", "libx264", "-preset", "fast", "-crf", "18")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, media: Path) -> Path:
    """Ten minutes of 1080p30 with film-like content, a keyframe every 2 s and sound."""
    folder = tmp_path_factory.mktemp("film")
    ffmpeg(
        *("-stream_loop", 3, "-i", media / "bunny_720p25.mp4", "-t", 20, "-an"),
        *("-vf", "scale=1920:1080,fps=30", "-c:v", "libx264", "-preset", "fast", "-g", 60),
        folder / "reel.mp4",
    )
    # The sound apart: where it is longer than the picture, the loop would leave gaps.
    ffmpeg(
        *("-stream_loop", 29, "-i", folder / "reel.mp4", "-f", "lavfi", "-i", "sine", "-t", 600),
        *("-c:v", "copy", "-c:a", "aac", folder / "film.mp4"),
    )
    return folder


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory, media: Path) -> Path:
    """Two minutes of 1080p30 with a keyframe every 10 s."""
    folder = tmp_path_factory.mktemp("slow")
    ffmpeg(
        *("-stream_loop", 3, "-i", media / "bunny_720p25.mp4", "-t", 20, "-an"),
        *("-vf", "scale=1920:1080,fps=30", "-c:v", "libx264", "-preset", "fast", "-g", 300),
        *("-keyint_min", 300, "-sc_threshold", 0, folder / "reel.mp4"),
    )
    ffmpeg(
        *("-stream_loop", 5, "-i", folder / "reel.mp4", "-f", "lavfi", "-i", "sine", "-t", 120),
        *("-c:v", "copy", "-c:a", "aac", folder / "film.mp4"),
    )
    return folder


def faster(name: str, spec: dict[str, Any], film: Path, tmp_path: Path, *theirs: Any) -> None:
    ratios, ours = [], []
    for n in range(PAIRS):
        shutil.rmtree(tmp_path / "o", ignore_errors=True)
        start = time.perf_counter()
        done = export_here(spec, film, tmp_path / "o")
        middle = time.perf_counter()
        ffmpeg(*theirs, *X264, tmp_path / f"{n}.mp4")
        end = time.perf_counter()
        ours.append(middle - start)
        ratios.append((end - middle) / (middle - start))
    kinds = [(s["kind"], s["frames"]) for s in done.plan["segments"]]
    rendered = sum(frames for kind, frames in kinds if kind == "render")
    assert rendered < done.plan["total_frames"], done.plan["notes"]
    print(
        f"\n{name}: {statistics.median(ours):.2f} s, "
        f"{statistics.median(ratios):.1f}× faster than FFmpeg "
        f"({min(ratios):.1f} to {max(ratios):.1f}); {rendered} of "
        f"{done.plan['total_frames']} frames rendered; load {os.getloadavg()[0]:.1f}"
    )


def test_a_minute_cut_inside_groups_of_pictures(film: Path, tmp_path: Path) -> None:
    source = {"path": "film.mp4", "start": 121.1, "end": 181.1}
    spec = {"kind": "clip", "sources": [source], "output": "o.mp4"}
    cut = ("-ss", 121.1, "-t", 60, "-i", film / "film.mp4")
    faster("a clip of 60 s", spec, film, tmp_path, *cut)


def test_three_minutes_joined(film: Path, tmp_path: Path) -> None:
    starts = (61.1, 251.3, 400.9)
    sources = [{"path": "film.mp4", "start": s, "end": s + 60} for s in starts]
    spec = {"kind": "concat", "sources": sources, "output": "o.mp4"}
    inputs = [a for s in starts for a in ("-ss", s, "-t", 60, "-i", film / "film.mp4")]
    graph = "[0:v][0:a][1:v][1:a][2:v][2:a]concat=n=3:v=1:a=1"
    faster("three of 60 s", spec, film, tmp_path, *inputs, "-filter_complex", graph)


def test_an_overlay_that_touches_a_tenth(film: Path, tmp_path: Path) -> None:
    lit = highlight(region(960, 540, 200)) | {"start": 26, "end": 32}
    source = {"path": "film.mp4", "start": 120, "end": 180}
    spec = {"kind": "overlay", "sources": [source], "effects": [lit], "output": "o.mp4"}
    cut = ("-ss", 120, "-t", 60, "-i", film / "film.mp4")
    box = "drawbox=x=760:y=340:w=400:h=400:color=yellow:t=4:enable='between(t,26,32)'"
    faster("an overlay on a tenth of 60 s", spec, film, tmp_path, *cut, "-vf", box)


def test_long_groups_of_pictures_cost_what_their_touched_frames_cost(
    slow: Path, tmp_path: Path
) -> None:
    """A clip of a minute that begins and ends inside groups of 10 s, against an export of those
    frames alone that it has to render."""
    start = 23.1
    source = {"path": "film.mp4", "start": start, "end": start + 60}
    spec = {"kind": "clip", "sources": [source], "output": "o.mp4"}
    begun = time.perf_counter()
    done = export_here(spec, slow, tmp_path / "o")
    smart = time.perf_counter() - begun
    touched, frames, at = [], 0, 0
    for segment in done.plan["segments"]:
        first, at = at, at + segment["frames"]
        if segment["kind"] == "render":
            frames += segment["frames"]
            taken = {"start": start + first / 30 - 0.001, "end": start + at / 30 - 0.001}
            touched.append({"path": "film.mp4", **taken})
    assert 0 < frames < done.plan["total_frames"]
    spec = {"kind": "concat", "sources": touched, "output": "t.mp4", "encoding": {"smart": False}}
    begun = time.perf_counter()
    alone = export_here(spec, slow, tmp_path / "t")
    rendering = time.perf_counter() - begun
    assert alone.result["frames"] == frames
    print(
        f"\nGOPs of 10 s: {smart:.2f} s, {smart / rendering:.2f} times as long as its {frames} "
        f"touched frames of {done.plan['total_frames']} ({rendering:.2f} s); "
        f"load {os.getloadavg()[0]:.1f}"
    )
