"""Real exports on a real server: several at once, cancelled, killed, stopped and started again."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server_support import RunningServer, eventually
from support import complaints, decode

Start = Callable[..., RunningServer]
CLIP = "timecode_720p30.mp4"


def long_clip(output: str, **more: Any) -> dict[str, Any]:
    """500 frames at the slowest preset: long enough to be met on the way."""
    return {
        "kind": "clip",
        "sources": [{"path": CLIP, "end": 500 / 30}],
        "output": output,
        "encoding": {"quality": "quality", "smart": False},
        **more,
    }


@pytest.fixture
def busy(own_server: Start) -> RunningServer:
    """Short segments, so that there is something to go on from after a moment."""
    server = own_server(**{"ExportApp.segment_seconds": 2})
    server.add(CLIP)
    return server


def parts(server: RunningServer) -> list[Path]:
    return list(server.root.rglob("*.part"))


def test_three_run_at_once_and_a_fourth_waits_with_its_place(busy: RunningServer) -> None:
    ids = [busy.submit(long_clip(f"{n}.mp4"))["id"] for n in range(5)]

    def seen() -> dict[str, dict[str, Any]]:
        return {job["id"]: job for job in busy.http.get("jobs/active").json()["jobs"]}

    eventually(lambda: all(seen()[i]["progress"]["frames"] > 0 for i in ids[:3]), seconds=90)
    jobs = seen()
    assert [jobs[i]["state"] for i in ids] == ["running"] * 3 + ["queued"] * 2
    assert [jobs[i]["queue_position"] for i in ids] == [None] * 3 + [1, 2]
    assert "3" in jobs[ids[3]]["waiting_for"]
    before = {i: jobs[i]["progress"]["frames"] for i in ids[:3]}
    eventually(lambda: all(seen()[i]["progress"]["frames"] > before[i] for i in ids[:3]))
    for i in ids:
        job = busy.job(i)
        assert job["encoder"] is None or job["encoder"]["name"] == "libx264"

    # Cancelled while queued: at once, and the next one moves up.
    assert busy.post(f"jobs/{ids[3]}/cancel").json()["state"] == "cancelled"
    assert busy.job(ids[4])["queue_position"] == 1
    # Cancelled while running: stopped, nothing left, and the waiting one gets its place.
    busy.post(f"jobs/{ids[0]}/cancel").raise_for_status()
    assert busy.until(ids[0], "cancelled", seconds=5)["error"] is None
    busy.until(ids[4], "running")
    for i in (ids[1], ids[2], ids[4]):
        busy.post(f"jobs/{i}/cancel").raise_for_status()
        busy.until(i, "cancelled", seconds=5)
    assert parts(busy) == []
    assert not (busy.root / "0.mp4").exists()


def test_a_second_job_for_the_same_output_is_told_the_first_one(busy: RunningServer) -> None:
    first = busy.submit(long_clip("o.mp4"))
    for name in ("o.mp4", "./o.mp4"):
        answer = busy.post("jobs", {"spec": long_clip(name)})
        assert answer.status_code == 409
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.json()["job"] == first["id"]
    busy.post(f"jobs/{first['id']}/cancel")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_restarted_server_goes_on_from_finished_segments(
    busy: RunningServer, how: signal.Signals
) -> None:
    first = busy.submit(long_clip("first.mp4"))["id"]
    busy.until(first, "running")
    waiting = [busy.submit(long_clip(f"{n}.mp4"), priority=-1)["id"] for n in range(3)]
    done = busy.submit({**long_clip("quick.mp4"), "sources": [{"path": CLIP, "end": 0.5}]})["id"]
    eventually(lambda: busy.job(first)["segments"]["rendered"] >= 2, seconds=120)
    busy.post(f"jobs/{done}/cancel")
    attempt = busy.job(first)["attempt"]
    busy.stop(how)
    rendered = len(list(busy.folder.rglob("*.seg")))
    assert rendered >= 2

    busy.start()
    for i in waiting[1:]:
        busy.post(f"jobs/{i}/cancel")
    again = busy.until(first, "completed", seconds=180)
    assert again["attempt"] == attempt + 1
    assert again["segments"]["reused"] >= 2
    assert again["segments"]["reused"] + again["segments"]["rendered"] == again["segments"]["total"]
    assert busy.job(done)["state"] == "cancelled"
    busy.post(f"jobs/{waiting[0]}/cancel")
    busy.until(waiting[0], "cancelled", "completed")
    assert len(decode(busy.root / "first.mp4").times) == 500
    assert complaints(busy.root / "first.mp4") == ""
    assert parts(busy) == []


def test_a_running_export_is_heard_of_every_3_seconds_and_never_goes_back(
    busy: RunningServer,
) -> None:
    id = busy.submit(long_clip("o.mp4"))["id"]
    last, percents = time.monotonic(), [0.0]
    seen: dict[str, Any] = {}
    longest = 0.0
    while (job := busy.job(id))["state"] not in ("completed", "failed"):
        progress = job["progress"]
        if progress != seen:
            longest = max(longest, time.monotonic() - last)
            last, seen = time.monotonic(), progress
            percents.append(progress["percent"])
        time.sleep(0.05)
    assert job["state"] == "completed", job["error"]
    assert percents == sorted(percents)
    assert len(percents) > 5
    assert longest < 3
    assert job["progress"]["percent"] == 100


def test_pause_keeps_what_is_done_and_outlives_a_restart(busy: RunningServer) -> None:
    id = busy.submit(long_clip("o.mp4"))["id"]
    eventually(lambda: busy.job(id)["segments"]["rendered"] >= 1, seconds=90)
    assert busy.post(f"jobs/{id}/pause").status_code == 200
    paused = busy.until(id, "queued")
    assert paused["paused"]
    busy.post("queue/pause").raise_for_status()
    busy.stop()
    busy.start()
    assert busy.job(id)["paused"]
    assert busy.http.get("queue").json()["state"] == "paused"
    busy.post(f"jobs/{id}/resume").raise_for_status()
    time.sleep(0.5)
    assert busy.job(id)["state"] == "queued", "the queue is still paused"
    assert "paused" in busy.job(id)["waiting_for"]
    busy.post("queue/resume").raise_for_status()
    done = busy.until(id, "completed", seconds=120)
    assert done["segments"]["reused"] >= 1
    assert done["error"] is None


def test_drain_finishes_what_runs_starts_nothing_and_outlives_a_restart(
    own_server: Start,
) -> None:
    server = own_server(**{"ExportApp.max_concurrent_exports": 1})
    server.add(CLIP)
    spec = {**long_clip("a.mp4"), "sources": [{"path": CLIP, "end": 4}]}
    running = server.submit(spec)["id"]
    server.until(running, "running")
    waiting = server.submit({**spec, "output": "b.mp4"})["id"]
    server.post("queue/drain").raise_for_status()
    server.until(running, "completed")
    time.sleep(0.5)
    assert server.job(waiting)["state"] == "queued"
    server.stop()
    server.start()
    assert server.http.get("queue").json()["state"] == "draining"
    assert server.job(waiting)["state"] == "queued"
    server.post("queue/resume").raise_for_status()
    server.until(waiting, "completed")


def test_a_killed_worker_costs_at_most_its_segment(busy: RunningServer) -> None:
    id = busy.submit(long_clip("o.mp4"))["id"]
    eventually(lambda: busy.job(id)["segments"]["rendered"] >= 2, seconds=90)
    for pid in _workers(busy):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    done = busy.until(id, "completed", seconds=180)
    assert done["attempt"] >= 2
    assert done["segments"]["reused"] >= 2
    assert len(decode(busy.root / "o.mp4").times) == 500
    assert parts(busy) == []


def test_workers_end_with_the_server_however_it_dies(busy: RunningServer) -> None:
    id = busy.submit(long_clip("o.mp4"))["id"]
    eventually(lambda: busy.job(id)["progress"]["frames"] > 0, seconds=60)
    workers = _workers(busy)
    assert workers
    busy.stop(signal.SIGKILL)
    eventually(lambda: not any((Path("/proc") / str(p)).exists() for p in workers), seconds=5)


def test_a_project_is_complete_when_its_latest_job_is(own_server: Start) -> None:
    server = own_server()
    server.add("subtitles_mov_text.mp4")
    spec = {
        "kind": "clip",
        "sources": [{"path": "subtitles_mov_text.mp4"}],
        "output": "o.mp4",
        "project": "match",
        "encoding": {"quality": "fast"},
    }
    id = server.submit(spec)["id"]
    server.until(id, "completed")
    project = next(
        p for p in server.http.get("projects").json()["projects"] if p["name"] == "match"
    )
    assert project["complete"] is True


def test_a_cache_that_somebody_empties_is_filled_again(busy: RunningServer) -> None:
    id = busy.submit(long_clip("o.mp4"))["id"]
    eventually(lambda: busy.job(id)["segments"]["rendered"] >= 2, seconds=90)
    for file in [*busy.folder.rglob("*.seg"), *busy.folder.rglob("*.plan")]:
        file.unlink(missing_ok=True)
    done = busy.until(id, "completed", seconds=180)
    assert len(decode(busy.root / "o.mp4").times) == 500
    segments = done["segments"]
    assert segments["rendered"] + segments["reused"] == segments["total"]


def test_a_full_disk_keeps_the_old_output_and_says_what_to_do(own_server: Start) -> None:
    """The kernel lets no file of the server or its workers grow beyond 1 MB."""
    server = own_server()
    server.add(CLIP)
    (server.root / "o.mp4").write_bytes(b"the old file")
    server.stop()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    id = server.submit({**long_clip("o.mp4"), "sources": [{"path": CLIP}]})["id"]
    failed = server.until(id, "failed", seconds=120)
    assert failed["error"]["type"] == "disk-full"
    assert "No space is left" in failed["error"]["detail"]
    assert "Free some space" in failed["error"]["advice"]
    assert (server.root / "o.mp4").read_bytes() == b"the old file"
    assert parts(server) == []


def _workers(server: RunningServer) -> list[int]:
    """Process ids of the server's workers."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            status = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if int(status[1]) == server.process.pid and b"jupyter_export.workers.main" in command:
            found.append(int(entry.name))
    return found
