"""Hardware encoders that are busy, vanish or refuse: exports end well, and say what happened.

The device is a stand-in for NVIDIA's driver (see `nvidia_support`); FFmpeg's nvenc and all above
it are real. What it encodes has no loss, so a wrong frame would show.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvidia_support import Nvidia
from server_support import RunningServer, eventually
from support import complaints, decode, ffmpeg

FRAMES = 75


def spec(number: int = 0, **encoding: Any) -> dict[str, Any]:
    return {
        "kind": "clip",
        "sources": [{"path": "small.mp4"}],
        "output": f"o{number}.mp4",
        "encoding": {"quality": "fast", "smart": False, **encoding},
    }


@pytest.fixture
def server(nvidia: Nvidia, own_server: Callable[..., RunningServer]) -> RunningServer:
    """A server on a machine with a GPU that takes a second and a half for the clip."""
    server = own_server(
        **{
            "ExportApp.segment_seconds": 1,
            "ExportApp.max_concurrent_exports": 5,
            "ExportApp.retry_base_seconds": 1,
            # Other tests may keep all cores busy.
            "ExportApp.worker_scheduling": "normal",
        }
    )
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=192x144:rate=25:duration=3", "-pix_fmt", "yuv420p",
        "-g", "25", "-c:v", "libx264", server.root / "small.mp4",
    )  # fmt: skip
    verdict = hardware(server)
    assert verdict["usable"], verdict
    nvidia.set("delay", 20_000)
    return server


def hardware(server: RunningServer, query: str = "") -> dict[str, Any]:
    report = server.http.get(f"hardware{query}").raise_for_status().json()
    return next(entry for entry in report["encoders"] if entry["name"] == "h264_nvenc")


def check(server: RunningServer, job: dict[str, Any], encoder: str) -> None:
    """The job has its file, from this encoder."""
    assert job["state"] == "completed", job
    assert job["encoder"]["name"] == encoder
    path = server.root / job["output"]
    shown = decode(path)
    assert len(shown.times) == FRAMES
    assert complaints(path) == ""
    if encoder == "h264_nvenc":
        assert np.array_equal(shown.luma, decode(server.root / "small.mp4").luma)


def test_who_finds_all_sessions_in_use_waits_says_so_and_completes(
    server: RunningServer, nvidia: Nvidia
) -> None:
    nvidia.set("limit", 3)
    seen: dict[str, Any] = {}

    def busy() -> bool:
        for job in server.http.get("jobs/active").json()["jobs"]:
            if job["state"] == "queued" and job["error"]:
                seen.update(job)
        return bool(seen)

    with nvidia.stranger(sessions=2):
        # One place is left, so the fourth encode at once finds none.
        jobs = []
        for number in range(5):
            # A file of its own for each: no segment is found in the cache.
            shutil.copyfile(server.root / "small.mp4", server.root / f"{number}.mp4")
            sources = [{"path": f"{number}.mp4"}]
            jobs.append(server.submit({**spec(number), "sources": sources})["id"])
        eventually(busy, seconds=90, why=server.log.read_text)
        done = [server.until(id, "completed", "failed") for id in jobs]
    assert nvidia.refused
    assert seen["error"]["type"] == "encoder-busy"
    assert "the NVENC session limit is reached" in seen["error"]["detail"]
    assert seen["not_before"]
    for job in done:
        check(server, job, "h264_nvenc")
        assert job["error"] is None
    told = [any("Waited for hardware" in note for note in job["notes"]) for job in done]
    assert sum(told) >= 1, (seen, done)
    assert all(job["attempt"] > 1 for job, waited in zip(done, told, strict=True) if waited)


def test_waiting_for_a_busy_gpu_never_becomes_a_failure(
    server: RunningServer, nvidia: Nvidia
) -> None:
    nvidia.set("full")
    id = server.submit(spec())["id"]
    # More tries than a job has for failures.
    eventually(lambda: server.job(id)["attempt"] > 3, seconds=90)
    waiting = server.until(id, "queued")
    assert "the GPU's memory is full" in waiting["error"]["detail"]
    nvidia.clear("full")
    job = server.until(id, "completed", "failed")
    check(server, job, "h264_nvenc")
    assert any("the GPU's memory is full" in note for note in job["notes"]), job


def test_a_gpu_that_vanishes_in_the_middle_costs_no_export_and_poisons_none(
    server: RunningServer, nvidia: Nvidia
) -> None:
    nvidia.set("vanish", nvidia.pictures + 60)
    jobs = [server.submit(spec(number))["id"] for number in range(2)]
    for id in jobs:
        job = server.until(id, "completed", "failed")
        check(server, job, "libx264")
        assert job["attempt"] == 1, "a fallback is no retry"
        assert "h264_nvenc failed" in job["encoder"]["reason"]
        assert any("h264_nvenc failed" in note and "libx264" in note for note in job["notes"])
    assert "h264_nvenc failed" in server.http.get(f"jobs/{jobs[0]}/log").text

    # The encoder was tried again: who comes later is not sent into the same trouble.
    later = server.until(server.submit(spec(2))["id"], "completed", "failed")
    check(server, later, "libx264")
    assert "CUDA_ERROR_NO_DEVICE" in later["encoder"]["reason"]
    assert later["notes"] == []
    assert not hardware(server)["usable"]

    nvidia.clear("vanish", "gone")
    assert hardware(server, "?refresh=true")["usable"]
    back = server.until(server.submit(spec(3))["id"], "completed", "failed")
    check(server, back, "h264_nvenc")


def test_settings_that_the_encoder_refuses_are_a_bug_and_fail_at_once_with_all_details(
    server: RunningServer, nvidia: Nvidia
) -> None:
    nvidia.set("refuse")
    id = server.submit(spec())["id"]
    job = server.until(id, "failed", "completed")
    assert (job["state"], job["attempt"]) == ("failed", 1)
    assert job["error"]["type"] == "internal-error"
    assert "invalid param (8)" in job["error"]["detail"]
    log = server.http.get(f"jobs/{id}/log").text
    for detail in ("h264_nvenc", "'preset': 'p1'", "192x144", "yuv420p", "invalid param (8)"):
        assert detail in log


def test_an_encoder_that_was_uninstalled_since_the_last_look_gives_way_to_software(
    own_server: Callable[..., RunningServer],
) -> None:
    server = own_server()
    server.add("timecode_720p30.mp4")
    server.http.get("hardware").raise_for_status()
    eventually(lambda: next(server.folder.rglob("hardware.json"), None) is not None)
    server.stop()
    report: Path = next(server.folder.rglob("hardware.json"))
    value = json.loads(report.read_text())
    for encoder in value["report"]["encoders"]:
        if encoder["name"] == "h264_nvenc":
            encoder |= {"usable": True, "reason": "", "tried": True}
    report.write_text(json.dumps(value))
    server.start()
    sources = [{"path": "timecode_720p30.mp4", "end": 2}]
    id = server.submit({**spec(), "sources": sources})["id"]
    job = server.until(id, "completed", "failed")
    assert job["encoder"]["name"] == "libx264"
    assert "h264_nvenc failed" in job["encoder"]["reason"]
    assert job["attempt"] == 1
    assert len(decode(server.root / "o0.mp4").times) == 60


def test_a_clip_that_is_copied_does_not_wait_for_the_hardware_encoder(
    server: RunningServer, nvidia: Nvidia
) -> None:
    nvidia.set("delay", 150_000)
    server.http.patch("limits", json={"nvenc_sessions": 1}).raise_for_status()
    long = server.submit(spec())["id"]
    eventually(lambda: nvidia.pictures > 5, seconds=60)
    source = {"path": "small.mp4", "start": 0.5}
    cut = {**spec(1), "sources": [source], "encoding": {"quality": "fast"}}
    job = server.until(server.submit(cut)["id"], "completed", "failed")
    assert job["state"] == "completed", job
    assert job["segments"]["copied"] and job["segments"]["rendered"]
    assert "libx264 (software): it joins" in job["encoder"]["reason"]
    assert server.job(long)["state"] == "running", "the session became free too early to tell"
    nvidia.set("delay", 0)
    server.until(long, "completed")
