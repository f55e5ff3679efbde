"""Rendering against FFmpeg at the same x264 settings, in pairs: A B A B, ratios of wall time.

python3 tests/run.py tests/benchmarks --benchmarks -s
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import time
from fractions import Fraction
from math import ceil, sin
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from support import clip_spec, export_here, ffmpeg, framing_spec

from jupyter_export.hardware.encoders import options
from jupyter_export.media.effects import fonts
from jupyter_export.media.effects.text import Block, Style
from jupyter_export.spec import Quality

pytestmark = pytest.mark.benchmark

PAIRS = 3
SECONDS = int(os.environ.get("FILM_SECONDS", "60"))
"""Of film: what an export costs once, such as its plan, is to count as for users."""
INPUTS = {
    "clip": ["film.mp4"],
    "pan and zoom": ["film.mp4"],
    "pan": ["film.mp4"],
    "pan after a player": ["film.mp4"],
    "overlay": ["film.mp4", "label.png", "label.png", "label.png"],
}
QUALITIES = ("fast", "balanced")
MOVIEPY = os.environ.get("MOVIEPY_PYTHON", "")
"""A Python that has MoviePy 2; in an environment of its own, since it pins Pillow."""


class Stopwatch:
    """Of wall time and of the processor time of this process or of those that it waited for."""

    def __init__(self, who: int) -> None:
        self._who = who

    def __enter__(self) -> Stopwatch:
        self.wall, self.busy = -time.perf_counter(), -self._used()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter()
        self.busy += self._used()

    def _used(self) -> float:
        used = resource.getrusage(self._who)
        return used.ru_utime + used.ru_stime


def same_settings(quality: str) -> list[str]:
    """What our encoder is told, for FFmpeg's command line."""
    own = options("libx264", Quality(quality))
    flags = [word for name, value in own.options.items() for word in (f"-{name}", value)]
    gop = own.gop_size(Fraction(30))
    return ["-c:v", own.name, *flags, "-threads", str(own.thread_count), "-g", str(gop)]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, media: Path) -> Path:
    """A minute of 1080p30 with film-like content and a keyframe every 2 s."""
    folder = tmp_path_factory.mktemp("film")
    ffmpeg(
        *("-stream_loop", -1, "-i", media / "bunny_720p25.mp4", "-t", SECONDS, "-an"),
        *("-vf", "scale=1920:1080,fps=30", "-c:v", "libx264", "-preset", "fast", "-g", 60),
        folder / "film.mp4",
    )
    return folder


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("kind", list(INPUTS))
def test_wall_time_against_ffmpeg(kind: str, quality: str, film: Path, tmp_path: Path) -> None:
    if kind == "clip":
        spec = clip_spec("film.mp4", "o.mp4", quality=quality, size=[1280, 720])
        graph = "scale=1280:720:flags=bicubic+accurate_rnd+full_chroma_int"
    elif kind == "overlay":
        spec, graph = labels(film)
        spec["encoding"] = {"quality": quality}
    elif kind == "pan after a player":
        # Several pixels from frame to frame, as tracks of people have it.
        keys = [(n / 4, *at_player(n / 4), 1280, 720) for n in range(4 * SECONDS + 1)]
        spec = framing_spec("film.mp4", "o.mp4", keys, (1280, 720), quality=quality)
        x, y = "320+300*sin(on/30*1.1)", "180+160*sin(on/30*0.7)"
        graph = f"zoompan=z=1.5:x='{x}':y='{y}':d=1:s=1280x720:fps=30"
    else:
        # zoompan takes whole pixels: where nothing zooms, most of its frames do not move at all.
        width, height = (1280, 720) if kind == "pan" else (1920, 1080)
        keys = [(0, 0, 0, width, height), (SECONDS, 640, 360, 1280, 720)]
        spec = framing_spec("film.mp4", "o.mp4", keys, (1280, 720), quality=quality)
        at = f"on/{30 * SECONDS}"
        zoom = f"1920/({width}+{1280 - width}*{at})"
        graph = f"zoompan=z='{zoom}':x='640*{at}':y='360*{at}':d=1:s=1280x720:fps=30"
    inputs = [part for name in INPUTS[kind] for part in ("-i", film / name)]
    command = [*inputs, "-filter_complex", graph, *same_settings(quality)]
    ratios, ours, busy = [], [], []
    for n in range(PAIRS):
        shutil.rmtree(tmp_path / "o", ignore_errors=True)
        with Stopwatch(resource.RUSAGE_SELF) as own:
            export_here(spec, film, tmp_path / "o")
        with Stopwatch(resource.RUSAGE_CHILDREN) as theirs:
            ffmpeg(*command, tmp_path / f"{n}.mp4")
        ours.append(own.wall)
        ratios.append(own.wall / theirs.wall)
        busy.append(own.busy / theirs.busy)
    print(
        f"{kind}, {quality}: {statistics.median(ours):.2f} s, "
        f"{statistics.median(ratios):.3f}× FFmpeg's wall time "
        f"({min(ratios):.3f} to {max(ratios):.3f}), "
        f"{statistics.median(busy):.3f}× its processor time"
    )


@pytest.mark.skipif(not MOVIEPY, reason="set MOVIEPY_PYTHON to a Python that has MoviePy 2")
@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("kind", ["framing and label", "label for a tenth"])
def test_wall_time_against_moviepy(kind: str, quality: str, film: Path, tmp_path: Path) -> None:
    framed = kind.startswith("framing")
    seconds = SECONDS if framed else SECONDS // 10
    label = {"type": "annotation", "kind": "text", "text": "Player 7", "size": 48}
    effects = [{**label, "x": 60, "y": 60, "start": 0, "end": seconds}]
    keys = [(0, 0, 0, 1280, 720), (SECONDS, 640, 360, 1280, 720)]
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


def at_player(time: float) -> tuple[float, float]:
    """Where the crop's corner is at `time`, in pixels: as zoompan's expressions have it."""
    return 320 + 300 * sin(1.1 * time), 180 + 160 * sin(0.7 * time)


def labels(folder: Path) -> tuple[dict[str, Any], str]:
    """Three labels on every frame, here as texts, for FFmpeg as pictures that look the same."""
    words = "Frame annotation 01:23"
    font = fonts.find("sans")
    assert font is not None
    block, pad = Block(words, Style(font, 32, "#ffffff")), 8
    width, height = ceil(block.width) + 2 * pad, ceil(block.height) + 2 * pad
    letters = Image.new("RGBA", (width, height), "white")
    letters.putalpha(Image.fromarray(block.draw(pad, pad, width, height)[..., 3]))
    picture = Image.new("RGBA", (width, height), (16, 16, 24, 0))
    box = (0, 0, width - 1, height - 1)
    ImageDraw.Draw(picture).rounded_rectangle(box, 8, fill=(16, 16, 24, round(0.7 * 255)))
    Image.alpha_composite(picture, letters).save(folder / "label.png")
    effects = []
    graph = "[0:v]"
    for n in range(3):
        x, y = 100 + 500 * n, 100 + 300 * n
        text = {"type": "annotation", "kind": "text", "text": words, "padding": pad}
        look = {"size": 32, "background": "#101018", "background_opacity": 0.7, "corner_radius": 8}
        effects.append({**text, **look, "x": x, "y": y})
        graph += f"[{n + 1}:v]overlay={x}:{y}:eof_action=repeat"
        graph += f"[v{n}];[v{n}]" if n < 2 else ""
    source = {"path": "film.mp4", "effects": effects}
    return {"kind": "annotate", "sources": [source], "output": "o.mp4"}, graph
