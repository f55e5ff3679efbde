"""Servers that nobody uses are ended, but not while they have exports to do."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_support import CAPACITY, RunningHub, User
from nvidia_support import Nvidia
from server_support import eventually

from jupyter_export.hardware.leases import Leases
from jupyter_export.hardware.needs import Need
from jupyter_export.hardware.room import MACHINE

#: An export and the culler's patience, on a machine that may be busy.
pytestmark = pytest.mark.timeout(900)
#: Seconds; several times as long as it takes until the hub has heard that a server is in use.
PATIENCE = 12


@contextlib.contextmanager
def culler(hub: RunningHub, seconds: int) -> Iterator[None]:
    """The hub's culler, with less patience than in the sample."""
    command = [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={seconds}"]
    command += ["--cull-every=1", f"--url={hub.http.base_url}".rstrip("/")]
    environment = {**os.environ, "JUPYTERHUB_API_TOKEN": hub.culler_token}
    with (hub.folder / "culler.log").open("a") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield
            assert process.poll() is None, (hub.folder / "culler.log").read_text()
        finally:
            process.terminate()
            process.wait(20)


def submit_long(user: User, film: Path, seconds: float, **encoding: Any) -> dict[str, Any]:
    """An export that takes a while."""
    source = user.root / "long.mp4"
    if not source.exists():
        shutil.copy(film, source)
    return user.submit(
        {
            "kind": "clip",
            "sources": [{"path": "long.mp4", "end": seconds}],
            "output": f"long-{uuid.uuid4().hex}.mp4",
            "encoding": {"quality": "quality", "smart": False, **encoding},
        }
    )


def submit_many(user: User, film: Path, count: int) -> list[Path]:
    """Exports of which each needs rendering, and that take long together; their outputs."""
    # Of a size of their own each: segments of another export would be found again.
    sizes = [[1280 - 2 * number, 720] for number in range(count)]
    return [user.root / submit_long(user, film, 20, size=size)["output"] for size in sizes]


def cancel_queued(user: User) -> None:
    """Leave only what runs."""
    while queued := user.http.get("jobs", params={"state": "queued"}).json()["jobs"]:
        for job in queued:
            user.post(f"jobs/{job['id']}/cancel")


def test_the_culler_spares_a_server_that_exports_and_ends_it_when_that_is_done(
    hub: RunningHub, alice: User, bob: User, film: Path, request: pytest.FixtureRequest
) -> None:
    patience = 30 if request.config.getoption("--long", default=False) else PATIENCE
    # More work than any machine does meanwhile: what is left over is cancelled.
    outputs = submit_many(alice, film, 5 * patience)
    # From here on the hub alone is asked: whatever goes through the proxy is a use of the server.
    used = time.monotonic()
    with culler(hub, patience):
        eventually(lambda: not bob.seen, seconds=3 * patience + 60)
        while time.monotonic() - used < 2.5 * patience:
            assert alice.seen, "the server was ended while it exported"
            time.sleep(0.2)
        assert not all(path.exists() for path in outputs), "it did not export all the time"
        cancel_queued(alice)
        # What runs now ends by itself, and with it the server's reason to stay.
        eventually(lambda: not alice.seen, seconds=patience + 300)
        ended = time.time()
    last = max(path.stat().st_mtime for path in outputs if path.exists())
    assert ended - last > 0.5 * patience, "the server was not given the culler's time"
    print(f"ended {ended - last:.1f} s after its last export, with a patience of {patience} s")


def test_an_export_that_waits_for_the_gpu_keeps_its_server_but_not_for_ever(
    hub: RunningHub, gpu: Nvidia, film: Path
) -> None:
    alice, bob = hub.users
    limits = {alice: "24", bob: "0.001"}
    with contextlib.ExitStack() as stack:
        for _ in range(CAPACITY):
            taken = Leases(hub.leases).acquire(Need(nvenc_sessions=1), lambda _: MACHINE)
            assert taken is not None
            stack.callback(taken.release)
        for user, hours in limits.items():
            user.stop()
            hub.set_environment(**gpu.environment, JUPYTER_EXPORT_KEEP_ALIVE_HOURS=hours)
            user.start()
            submit_long(user, film, 1, encoder="h264_nvenc", size=[320, 176])
        for user in limits:
            (job,) = user.http.get("jobs/active").json()["jobs"]
            assert job["state"] == "queued" and "exports use it already" in job["waiting_for"], job
        with culler(hub, PATIENCE):
            eventually(lambda: not bob.seen, seconds=120)
            began = time.monotonic()
            while time.monotonic() - began < 1.5 * PATIENCE:
                assert alice.seen, "the server was ended while its export waited"
                time.sleep(0.5)
            alice.post("queue/pause").raise_for_status()
            eventually(lambda: not alice.seen, seconds=120)
