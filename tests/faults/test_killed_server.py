"""A server that is killed again and again, at any moment, loses no job and shows no half file."""

from __future__ import annotations

import asyncio
import hashlib
import random
import subprocess
import sys
from pathlib import Path

from queue_support import FRAMES, FewEncoders, FileExecutor, settings

from jupyter_export.job import State
from jupyter_export.queue.service import Exports
from jupyter_export.queue.store import Store
from jupyter_export.spec import clip

JOBS = 60
KILLS = 8


def start(folder: Path) -> subprocess.Popen[str]:
    server = Path(__file__).with_name("queue_server.py")
    process = subprocess.Popen(
        [sys.executable, str(server), str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def check_whole(root: Path) -> None:
    """Every output that can be seen is finished."""
    for output in root.glob("out*.mp4"):
        assert output.read_bytes().count(b"\n") == 3 * FRAMES, output.name


async def test_killed_server_loses_no_job_and_shows_no_half_file(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "source.mp4").write_text("not empty")
    exports = Exports(settings(tmp_path), root, FileExecutor(), FewEncoders())
    await exports.start()
    await exports.set_queue("pause")
    for number in range(JOBS):
        await exports.submit(clip("source.mp4", end=number + 1.0, output=f"out{number}.mp4"))
    await exports.set_queue("resume")
    await exports.stop()

    chance = random.Random(7)
    kills = 0
    process = start(tmp_path)
    while kills < KILLS:
        await asyncio.sleep(chance.uniform(0.0, 0.25))
        if process.poll() is not None:
            break
        process.kill()
        process.communicate()
        kills += 1
        check_whole(root)
        process = start(tmp_path)
    process.communicate()
    assert process.returncode == 0
    assert kills

    check_whole(root)
    assert sorted(path.name for path in root.glob(".*")) == []
    store = Store(exports.folder / "jobs.sqlite")
    jobs = store.list(limit=JOBS + 1)
    assert [job.state for job in jobs] == [State.COMPLETED] * JOBS
    for job in jobs:
        assert job.result is not None
        data = (root / job.output).read_bytes()
        assert hashlib.sha256(data).hexdigest() == job.result["sha256"]
    events = store.events_since(0, limit=100_000)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    completed = [event.job_id for event in events if event.type == "completed"]
    assert len(completed) == len(set(completed)) == JOBS
    store.close()
