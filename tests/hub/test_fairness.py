"""Two users of a hub, many exports on one GPU: the leases keep it from being too many at once.

The stand-in: NVIDIA's driver (`fake_nvidia`), which refuses a third session; all above is real.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hub_support import CAPACITY, RunningHub, User
from nvidia_support import Nvidia
from server_support import eventually

from jupyter_export.hardware.leases import Held, Leases
from jupyter_export.hardware.needs import Need
from jupyter_export.hardware.room import MACHINE

#: It waits for a few servers and some dozen exports, on two cores.
pytestmark = pytest.mark.timeout(900)


class Audit(threading.Thread):
    """Looks at the leases all the time."""

    def __init__(self, folder: Path, *uids: int) -> None:
        super().__init__(daemon=True)
        self._leases = Leases(folder)
        self.over = threading.Event()
        self.most = 0
        self.seconds = dict.fromkeys(uids, 0.0)
        """For how long each user held a lease of a GPU while all of them waited for one more."""

    def standing(self) -> tuple[list[Held], set[int]]:
        """The leases of a GPU that are held now, and the users who wait for one."""
        standing = self._leases.standing()
        held = [one for one in standing.held if one.need.gpu]
        return held, {one.uid for one in standing.wanted if one.need.gpu}

    def held(self, uid: int) -> list[Held]:
        """The leases of a GPU that a user holds now."""
        return [one for one in self.standing()[0] if one.uid == uid]

    def all_wait(self) -> bool:
        """Whether each of the users waits for a GPU."""
        return self.standing()[1] >= self.seconds.keys()

    def run(self) -> None:
        at, before = time.monotonic(), list[Held]()
        while not self.over.is_set():
            held, waiting = self.standing()
            now = time.monotonic()
            self.most = max(self.most, len(held))
            if waiting >= self.seconds.keys():
                for one in before:
                    if one.uid in self.seconds:
                        self.seconds[one.uid] += now - at
            at, before = now, held
            time.sleep(0.005)


def gpu_spec(number: int) -> dict[str, Any]:
    """A short export, unlike all others, that the GPU encodes."""
    return {
        "kind": "clip",
        "sources": [
            {"path": "timecode_720p30.mp4", "start": number / 30, "end": number / 30 + 0.4}
        ],
        "output": f"gpu-{number}.mp4",
        "encoding": {"size": [320, 176], "quality": "fast", "encoder": "h264_nvenc"},
    }


def test_forty_exports_of_two_users_share_two_sessions_of_a_gpu_evenly(
    hub: RunningHub, gpu: Nvidia, request: pytest.FixtureRequest
) -> None:
    long = request.config.getoption("--long", default=False)
    each = 20 if long else 8
    users = hub.users
    for user in users:
        user.stop()
        user.start()
        user.quiet()
        user.add("timecode_720p30.mp4")
        encoders = user.http.get("hardware").json()["encoders"]
        (nvenc,) = [one for one in encoders if one["name"] == "h264_nvenc"]
        assert nvenc["usable"], nvenc
        assert user.http.get("health").json()["leases"]["shared"]
    first, second = (user.account.uid for user in users)
    audit = Audit(hub.leases, first, second)
    # The device is what they wait for, not the cores of the machine that the tests run on.
    gpu.set("delay", 40_000)
    with contextlib.ExitStack() as stack:
        # Nobody has a start: the GPU is in use until both wait for it.
        for _ in range(CAPACITY):
            taken = Leases(hub.leases).acquire(Need(nvenc_sessions=1), lambda _: MACHINE)
            assert taken is not None
            stack.callback(taken.release)
        ids = {user.name: {user.submit(gpu_spec(n))["id"] for n in range(each)} for user in users}
        eventually(audit.all_wait, seconds=120)
        audit.start()

    def completed(user: User) -> list[str]:
        """When the user's exports were completed, so far."""
        jobs = user.http.get("jobs", params={"limit": 500}).json()["jobs"]
        mine = [job for job in jobs if job["id"] in ids[user.name]]
        assert len(mine) == each
        assert not [job["error"] for job in mine if job["state"] == "failed"]
        return [job["finished_at"] for job in mine if job["state"] == "completed"]

    def done() -> int:
        return sum(len(completed(user)) for user in users)

    eventually(lambda: done() >= each, seconds=250)
    seconds = list(audit.seconds.values())
    shares = [one / sum(seconds) for one in seconds]
    half = sorted((at, user.name) for user in users for at in completed(user))[:each]
    finished = [sum(name == user.name for _, name in half) for user in users]
    print(f"of {sum(seconds):.1f} s: {shares}; of the first {each} exports: {finished}")
    assert min(shares) >= 0.8 / 2, shares
    if long:  # of few, one more or less would be luck
        assert min(finished) >= 0.8 * each / 2, finished

    # One user's server dies while it holds some of the GPU, which gives nothing back by itself.
    gpu.set("delay", 2_000_000)
    slow = time.time()
    eventually(lambda: any(one.since > slow for one in audit.held(first)), seconds=120)
    pid = users[0].pid
    died = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not audit.held(first), seconds=5)
    free = time.monotonic() - died
    eventually(lambda: len(audit.held(second)) == CAPACITY)
    taken_over = time.monotonic() - died
    gpu.clear("delay")
    eventually(lambda: not users[0].seen, seconds=60)
    users[0].start()
    eventually(lambda: done() == 2 * each, seconds=250)
    audit.over.set()
    audit.join()
    print(f"leases free after {free:.3f} s, taken over after {taken_over:.3f} s")
    assert audit.most == CAPACITY, "never more at once than there are, nor fewer all the time"
    assert not gpu.refused, "more were at work than had leases"
    eventually(lambda: list(hub.leases.iterdir()) == [])
