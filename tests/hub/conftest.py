"""One hub for all tests here, with two users of the system."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_support import chromium
from hub_support import (
    CAPACITY,
    PROXY,
    RunningHub,
    User,
    accounts,
    place_for_all,
    within_reach,
)
from nvidia_support import Nvidia, plugged_in
from playwright.sync_api import Browser
from run import install_proxy


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A folder that all users can enter."""
    if not hasattr(os, "getuid") or os.getuid() != 0:
        pytest.skip("only root can make users of the system and start servers as them")
    if shutil.which("useradd") is None:
        pytest.skip("needs useradd to make users of the system")
    with place_for_all() as folder:
        yield folder


@pytest.fixture(scope="session")
def hub(place: Path) -> Iterator[RunningHub]:
    if not PROXY.exists():
        install_proxy(Path(sys.prefix))
    with accounts(place, "alice", "bob") as (group, people):
        user = f"--reuid={people[0].name}", f"--regid={people[0].gid}", "--init-groups"
        command = ["setpriv", *user, sys.executable, "-c", "import jupyter_export"]
        tried = subprocess.run([*within_reach(place), *command], capture_output=True, text=True)
        if tried.returncode:
            pytest.skip(f"other users cannot run this installation: {tried.stderr[-500:]}")
        running = RunningHub(place, group, people)
        yield running
        running.close()
        left = [line for one in people for line in one.processes().values()]
        assert left == [], "processes outlived the hub that ended in order"


@pytest.fixture
def alice(hub: RunningHub) -> Iterator[User]:
    yield from _started(hub.users[0])


@pytest.fixture
def bob(hub: RunningHub) -> Iterator[User]:
    yield from _started(hub.users[1])


def _started(user: User) -> Iterator[User]:
    """A user whose server runs and has nothing to do, before the test and after it."""
    user.start()
    user.quiet()
    yield user
    if user.is_ready():
        user.quiet()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of twenty minutes: no machine exports all of it while a test looks."""
    import imageio_ffmpeg
    from server_support import MEDIA

    target = tmp_path_factory.mktemp("film") / "long.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-stream_loop", "-1"]
    command += ["-i", str(MEDIA / "timecode_720p30.mp4"), "-t", "1200", "-c", "copy", str(target)]
    subprocess.run(command, check=True)
    return target


@pytest.fixture
def gpu(hub: RunningHub, place: Path) -> Iterator[Nvidia]:
    """A GPU with two sessions for the servers that are started meanwhile."""
    state, libraries = place / "gpu", place / "nvidia"
    state.mkdir()
    libraries.mkdir(exist_ok=True)
    state.chmod(0o777)
    for name in ("pictures", *(f"session.{number}" for number in range(CAPACITY))):
        (state / name).touch()
        (state / name).chmod(0o666)
    with plugged_in(libraries, state) as nvidia:
        nvidia.set("limit", CAPACITY)
        hub.set_environment(**nvidia.environment)
        yield nvidia
    hub.set_environment()
    for user in hub.users:
        user.stop()
    shutil.rmtree(state)
