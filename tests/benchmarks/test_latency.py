"""How soon an export shows life: submit over REST to the first frame's progress, warm worker.

python3 tests/run.py tests/benchmarks --benchmarks -s
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import pytest
from server_support import RunningServer

pytestmark = pytest.mark.benchmark

CLIP = "timecode_720p30.mp4"
ROUNDS = 9


def test_submit_to_first_progress(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "server")
    try:
        server.add(CLIP)
        planned, rendered = [], []
        for n in range(ROUNDS + 1):
            spec: dict[str, Any] = {
                "kind": "framing",
                "output": f"{n}.mp4",
                "sources": [
                    {
                        "path": CLIP,
                        "start": 1 + n / 10,
                        "end": 9,
                        "effects": [
                            {
                                "type": "crop",
                                "size": [720, 720],
                                "keyframes": [
                                    {"time": 1, "x": 0, "y": 0, "width": 720, "height": 720},
                                    {"time": 9, "x": 560, "y": 0, "width": 720, "height": 720},
                                ],
                            }
                        ],
                    }
                ],
            }
            start = time.perf_counter()
            id = server.submit(spec)["id"]
            first_plan = None
            while True:
                progress = server.job(id)["progress"]
                now = time.perf_counter() - start
                if first_plan is None and progress["total_frames"]:
                    first_plan = now
                if progress["frames"]:
                    break
                time.sleep(0.002)
            if n:  # the first round warms the worker
                planned.append(first_plan or now)
                rendered.append(now)
            server.until(id, "completed")
    finally:
        server.stop()
    for name, values in (("planned", planned), ("first frames", rendered)):
        print(
            f"submit → {name}: median {statistics.median(values) * 1e3:.0f} ms, "
            f"worst {max(values) * 1e3:.0f} ms of {len(values)}"
        )
    assert statistics.median(rendered) < 0.5
