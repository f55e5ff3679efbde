"""What the queue costs per 1,000 jobs, in seconds of one core (`test_feed_soak.py` has the feed).

python3 tests/run.py tests/benchmarks/test_queue_cost.py --benchmarks -s

Everything is real but the rendering: segments are files of ten lines. CPU time is told, not wall
time, so that other programs on the machine change little.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest
from queue_support import FewEncoders, FileExecutor, settings

from jupyter_export.queue.service import Exports
from jupyter_export.spec import clip

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1200)]

JOBS = int(os.environ.get("QUEUE_JOBS", "1000"))
SEGMENTS = 15


async def run(folder: Path, jobs: int, segments: int) -> dict[str, float]:
    """CPU milliseconds of each job: to submit it, and to run it with so many segments."""
    root = folder / "root"
    root.mkdir(parents=True)
    (root / "source.mp4").write_text("not empty")
    exports = Exports(
        settings(folder, max_concurrent_exports=2), root, FileExecutor(segments), FewEncoders()
    )
    heard = 0

    def hear(message: object) -> None:
        nonlocal heard
        heard += 1

    exports.listeners.append(hear)
    await exports.start()
    try:
        await exports.set_queue("pause")
        begin = time.process_time()
        for number in range(jobs):
            await exports.submit(clip("source.mp4", output=f"{number}.mp4"))
        submitted = time.process_time()
        await exports.set_queue("resume")
        while await exports.active():
            await asyncio.sleep(0.5)
        done = time.process_time()
    finally:
        await exports.stop()
    each = 1e3 / jobs
    return {
        "submit_ms": (submitted - begin) * each,
        "run_ms": (done - submitted) * each,
        "messages": heard / jobs,
    }


async def test_a_thousand_jobs(tmp_path: Path) -> None:
    short = await run(tmp_path / "one", JOBS, 1)
    long = await run(tmp_path / "many", JOBS // 5, SEGMENTS)
    segment = (long["run_ms"] - short["run_ms"]) / (SEGMENTS - 1)
    print(
        f"\n1,000 jobs: {short['submit_ms']:.1f} s to submit, {short['run_ms']:.1f} s to run with "
        f"one segment each, {segment:.1f} s for each further one; "
        f"{json.dumps({'one': short, f'{SEGMENTS}': long})}"
    )
    assert short["run_ms"] < 200
