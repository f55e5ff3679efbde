"""Exports of a server against FFmpeg at the same x264 settings, in pairs: A B A B, ratios.

Our time is what a user waits: from the submit over REST to the published file; beside it stands
the attempt alone, which begins when the queue has let the export go. FFmpeg's is that of its
process. The server's workers have done an export before.

python3 tests/run.py tests/benchmarks/test_render_speed.py --benchmarks -s
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from math import ceil, sin
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from server_support import RunningServer
from support import clip_spec, ffmpeg, framing_spec

from jupyter_export.hardware.encoders import options
from jupyter_export.media.effects import fonts
from jupyter_export.media.effects.text import Block, Style
from jupyter_export.spec import Quality

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

PAIRS = int(os.environ.get("PAIRS", "5"))
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


class Exports:
    """A server that exports a film again and again, and what it takes for that."""

    def __init__(self, folder: Path, film: Path) -> None:
        self._server = RunningServer(folder)
        shutil.copy(film / "film.mp4", self._server.root)
        self.stop = self._server.stop
        self.make(clip_spec("film.mp4", "warm.mp4", 0, 4))

    def make(self, spec: dict[str, Any]) -> tuple[float, float, float]:
        """Seconds from the submit on, of the attempt, and of the processors that it took."""
        # The folder itself stays: workers are locked in with it.
        for segment in (self._server.folder / "data" / "jupyter_export" / "segments").iterdir():
            segment.unlink()
        busy, begin = -self._busy(), datetime.now(UTC)
        job = self._server.submit(spec)
        while (job := self._server.job(job["id"]))["state"] != "completed":
            assert job["error"] is None, job["error"]
            time.sleep(0.5)  # to ask more often would keep the processors from the export
        assert not job["segments"]["reused"]
        start, end = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
        return (end - begin).total_seconds(), (end - start).total_seconds(), busy + self._busy()

    def _busy(self) -> float:
        own, spent = self._server.process.pid, 0
        for file in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                name, fields = file.read_text().rpartition(")")[::2]
                _, parent, *rest = fields.split()
                if own in {int(parent), int(name.split()[0])}:
                    spent += int(rest[9]) + int(rest[10])
        return spent / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Iterator[Exports]:
    made = Exports(tmp_path_factory.mktemp("exports") / "server", film)
    yield made
    made.stop()


def by_ffmpeg(*arguments: Any) -> tuple[float, float]:
    """Seconds of wall time and of the processors."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ffmpeg(*arguments)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


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
def test_wall_time_against_ffmpeg(
    kind: str, quality: str, film: Path, exports: Exports, tmp_path: Path
) -> None:
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
    ratios, attempts, ours, busy = [], [], [], []
    for n in range(PAIRS):
        wall, attempt, used = exports.make({**spec, "output": f"{n}.mp4"})
        their_wall, theirs = by_ffmpeg(*command, tmp_path / f"{n}.mp4")
        ours.append(wall)
        ratios.append(wall / their_wall)
        attempts.append(attempt / their_wall)
        busy.append(used / theirs)
    print(
        f"{kind}, {quality}: {statistics.median(ours):.2f} s, {told(ratios)} FFmpeg's wall time, "
        f"{told(attempts)} without submit and queue, {told(busy)} its processor time"
    )


def told(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.3f}× ({min(ratios):.3f} to {max(ratios):.3f})"


@pytest.mark.skipif(not MOVIEPY, reason="set MOVIEPY_PYTHON to a Python that has MoviePy 2")
@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("kind", ["framing and label", "label for a tenth"])
def test_wall_time_against_moviepy(
    kind: str, quality: str, film: Path, exports: Exports, tmp_path: Path
) -> None:
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
        ours.append(exports.make({**spec, "output": f"m{n}.mp4"})[0])
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
