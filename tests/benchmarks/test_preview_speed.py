"""How soon a frame is seen: previews of 1080p with GOPs of 2 s, warm, alone and beside exports.

python3 tests/run.py tests/benchmarks/test_preview_speed.py --benchmarks -s
"""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

import pytest
from server_support import RunningServer
from support import ffmpeg

pytestmark = pytest.mark.benchmark

SECONDS = 600
ROUNDS = 25


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    running = RunningServer(tmp_path_factory.mktemp("previews"))
    piece = running.root / "piece.mp4"
    encoder = ["-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-keyint_min", "60"]
    noise = "testsrc2=s=1920x1080:r=30:d=20,noise=alls=12:allf=t"
    ffmpeg("-f", "lavfi", "-i", noise, *encoder, "-sc_threshold", "0", "-b:v", "8M", piece)
    copied = ("-c", "copy", "-t", SECONDS, running.root / "film.mp4")
    ffmpeg("-stream_loop", "-1", "-i", piece, *map(str, copied))
    yield running
    running.stop()


def spec(x: float, end: float | None, kind: str = "framing") -> dict[str, Any]:
    key = {"time": 0, "x": x, "y": 0, "width": 1080, "height": 1080}
    crop = {"type": "crop", "size": [1080, 1080], "keyframes": [key]}
    source = {"path": "film.mp4", "start": 0, "end": end, "effects": [crop]}
    encoding = {"quality": "quality", "smart": False}
    return {"kind": kind, "output": "made.mp4", "sources": [source], "encoding": encoding}


def measure(server: RunningServer, end: float, *, edited: bool) -> list[float]:
    """Seconds until a frame is there, at times all over the range; with another crop each time, if
    it is edited."""
    dice = random.Random(7)
    took = []
    for n in range(ROUNDS + 2):
        wanted = spec(float(n) if edited else 0.0, end)
        body = {"spec": wanted, "time": dice.uniform(0, end - 1), "width": 1280}
        start = time.perf_counter()
        response = server.post("preview", body)
        took.append(time.perf_counter() - start)
        assert response.status_code == 200, response.text
    return took[2:]  # the first ones warm the worker


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "while exports run"])
def test_a_preview_takes_less_than_half_a_second(busy: bool, server: RunningServer) -> None:
    jobs = []
    if busy:
        for n in range(2):
            job = server.submit({**spec(float(n), None), "output": f"busy-{n}.mp4"})
            server.until(job["id"], "running")
            jobs.append(job)
    try:
        for end, edited in ((60.0, False), (60.0, True), (float(SECONDS), True)):
            took = measure(server, end, edited=edited)
            print(
                f"{'busy' if busy else 'idle'}, {end:.0f} s of film, "
                f"{'edited' if edited else 'scrubbed'}: median {statistics.median(took):.3f} s, "
                f"worst {max(took):.3f} s of {len(took)}"
            )
            assert statistics.median(took) < 0.5
    finally:
        for job in jobs:
            server.post(f"jobs/{job['id']}/cancel")
