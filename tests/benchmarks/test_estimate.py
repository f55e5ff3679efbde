"""How near estimates come: exports of many lengths and sizes, each estimated before it runs.

python3 tests/run.py tests/benchmarks/test_estimate.py --benchmarks -s
"""

from __future__ import annotations

import random
import statistics
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from server_support import TOKEN, RunningServer

import jupyter_export as jx

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

FILMS = {"timecode_720p30.mp4": 40.0, "bunny_720p25.mp4": 5.0, "bikes_no_audio.mp4": 4.0}
TAUGHT, ASKED = 5, 8
REGION = {"x": 200, "y": 100, "radius_x": 60}


def spec(kind: str, number: int, chance: random.Random) -> jx.ExportSpec:
    """An export that no other one shares a segment with."""
    film = chance.choice(list(FILMS))
    length = chance.uniform(1.5, min(25.0, FILMS[film]))
    start = chance.uniform(0, FILMS[film] - length)
    width = 2 * chance.randint(120, 640)
    size = (width, width * 9 // 32 * 2)
    clip = jx.clip(film, start, start + length, output=f"{kind}-{number}.mp4")
    clip = clip.encode(quality="fast" if kind == "clip" else "balanced", smart=False, size=size)
    if kind == "framing":
        path = [
            {"time": start, "x": 0, "y": 0, "width": 160, "height": 120},
            {"time": start + length, "x": 60, "y": 30, "width": 240, "height": 180},
        ]
        return clip.crop(path, (320, 240)).encode(size=(width, width * 3 // 8 * 2))
    if kind == "overlay":
        keyframes = [{"time": start, **REGION}, {"time": start + length, **REGION, "x": 100}]
        return clip.highlight([{"keyframes": keyframes}])
    return clip


def seconds(job: dict[str, Any]) -> float:
    times = [datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at")]
    return (times[1] - times[0]).total_seconds()


def test_after_five_exports_of_a_kind_half_of_the_estimates_are_within_a_quarter(
    tmp_path: Path,
) -> None:
    server = RunningServer(tmp_path / "server")
    chance = random.Random(7)
    late: list[float] = []
    try:
        for film in FILMS:
            server.add(film)
        with jx.connect(server.url, TOKEN) as client:
            client.submit(spec("clip", 999, chance)).wait(progress=False)  # warms the worker
            for kind in ("clip", "framing", "overlay"):
                found: list[tuple[float, float]] = []
                for number in range(TAUGHT + ASKED):
                    asked = spec(kind, number, chance)
                    told = client.estimate(asked)
                    took = seconds(client.submit(asked).wait(progress=False).json)
                    found.append((told.seconds, took))
                errors = [abs(told / took - 1) for told, took in found]
                late += errors[TAUGHT:]
                print(
                    f"{kind}: first {errors[0]:.0%}, after {TAUGHT} median "
                    f"{statistics.median(errors[TAUGHT:]):.0%}, worst {max(errors[TAUGHT:]):.0%} "
                    f"({', '.join(f'{told:.1f}/{took:.1f}' for told, took in found)} s)"
                )
    finally:
        server.stop()
    print(f"all after {TAUGHT}: median {statistics.median(late):.0%} of {len(late)}")
    assert statistics.median(late) < 0.25
