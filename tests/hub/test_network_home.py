"""A home on a filesystem that other hosts could have mounted, too."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_support import Account, RunningHub, User
from server_support import clip, eventually

pytestmark = pytest.mark.timeout(900)


@contextlib.contextmanager
def network_home(hub: RunningHub, account: Account) -> Iterator[None]:
    """FUSE below the user's home, for the servers that the hub starts meanwhile."""
    if not Path("/dev/fuse").exists():
        pytest.skip("needs /dev/fuse")
    script = Path(__file__).parent / "fuse_home.py"
    # The hub may have a view of the file system of its own.
    enter = ["nsenter", "--mount", f"--target={hub.process.pid}"]
    command = [*enter, sys.executable, str(script), str(account.home)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    with process:
        try:
            if process.stdout.readline() != "mounted\n":
                pytest.skip(f"no FUSE here: {process.stderr.read()}")
            yield
            assert process.poll() is None, process.stderr.read()
        finally:
            process.terminate()


def test_a_home_on_a_network_disk_gets_a_rollback_journal_and_its_exports_resume(
    hub: RunningHub, bob: User, film: Path
) -> None:
    local = bob.http.get("health").json()
    assert local["journal_mode"] == "wal"
    shutil.copy(film, bob.root / "film.mp4")
    bob.stop()
    with network_home(hub, bob.account):
        bob.start()
        health = bob.http.get("health").json()
        assert (health["journal_mode"], health["filesystem"]) == ("delete", "fuse.home")
        assert health["epoch"] == local["epoch"], "the queue of before"
        encoding = {"quality": "balanced", "smart": False, "size": [1276, 720]}
        spec = clip("film.mp4", "from-far.mp4", encoding=encoding)
        spec["sources"][0]["end"] = 90
        job = bob.submit(spec)
        eventually(lambda: bob.job(job["id"])["segments"]["rendered"] > 0, seconds=120)
        bob.kill()
        eventually(lambda: not bob.seen, seconds=60)
        bob.start()
        done = bob.until(job["id"], "completed", seconds=300)
        assert done["segments"]["reused"] >= 1 and done["attempt"] == 2
        assert done["result"]["frames"] == done["progress"]["total_frames"]
        bob.stop()
        eventually(lambda: not bob.account.processes())
    bob.start()
    health = bob.http.get("health").json()
    assert (health["journal_mode"], health["filesystem"]) == ("wal", local["filesystem"])
    assert bob.job(job["id"])["state"] == "completed"
