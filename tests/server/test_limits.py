"""Limits by REST, and what a server that is killed leaves of its leases: nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from server_support import RunningServer, clip, eventually

from jupyter_export.hardware.leases import Leases


@pytest.fixture
def alone(own_server: Callable[..., RunningServer], tmp_path: Path) -> RunningServer:
    folder = tmp_path / "leases"
    folder.mkdir()
    server = own_server(**{"ExportApp.lease_dir": folder, "ExportApp.max_concurrent_exports": 1})
    server.add("bunny_720p25.mp4")
    return server


def test_limits_change_while_exports_wait_and_a_killed_server_holds_nothing(
    alone: RunningServer, tmp_path: Path
) -> None:
    limits = alone.http.get("limits").raise_for_status().json()
    assert (limits["max_concurrent_exports"], limits["gpu_exports_per_device"]) == (1, 2)
    health = alone.http.get("health").json()
    assert health["leases"]["directory"] == str(tmp_path / "leases")

    slow = {"encoding": {"quality": "quality", "smart": False}}
    source = "bunny_720p25.mp4"
    jobs = [
        alone.submit(clip(source, f"out{n}.mp4", sources=[{"path": source}], **slow))
        for n in range(2)
    ]
    alone.until(jobs[0]["id"], "running")
    assert alone.job(jobs[1]["id"])["waiting_for"] == "a free place: 1 of 1 run"

    changed = alone.http.patch("limits", json={"max_concurrent_exports": 2})
    assert changed.status_code == 200
    assert changed.json() == {**limits, "max_concurrent_exports": 2}
    alone.until(jobs[1]["id"], "running")
    assert alone.http.get("queue").json()["limit"] == 2

    for body, field in (
        ({"max_concurrent_exports": 0}, "max_concurrent_exports"),
        ({"max_concurrent_exports": "many"}, "max_concurrent_exports"),
        ({"data_dir": "/elsewhere"}, "data_dir"),
    ):
        refused = alone.http.patch("limits", json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert alone.http.get("limits").json() == changed.json()

    leases = Leases(tmp_path / "leases")
    eventually(lambda: len(leases.standing().held) == 2, why=lambda: str(leases.standing()))
    alone.process.kill()
    alone.process.wait()
    assert leases.standing().held == ()
    assert list((tmp_path / "leases").iterdir()) == []
