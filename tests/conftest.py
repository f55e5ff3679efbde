"""Shared by all tests: footage, a place for outputs, and an export without a server."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from nvidia_support import Nvidia, plugged_in
from server_support import RunningServer

# Whatever runs beside the tests on this machine does not compete with them for leases.
os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="runtime-")
atexit.register(shutil.rmtree, os.environ["XDG_RUNTIME_DIR"], ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--benchmarks", action="store_true", help="run the timings, too")
    parser.addoption("--long", action="store_true", help="run what takes many minutes, too")
    parser.addoption(
        "--fault-seed", type=int, action="append", help="disturb by these seeds (repeatable)"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skips = {
        "benchmark": "a timing; run with --benchmarks",
        "long": "takes many minutes; run with --long",
    }
    if config.getoption("--benchmarks"):
        del skips["benchmark"]
    if config.getoption("--long"):
        del skips["long"]
    for item in items:
        for name, reason in skips.items():
            if name in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def not_in_real_time() -> Iterator[None]:
    """Tests that open SVT-AV1 by themselves, as root, must not make all others real-time."""
    yield
    if sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_FIFO:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture(scope="session")
def long(pytestconfig: pytest.Config) -> bool:
    """Whether the long versions are asked for."""
    return bool(pytestconfig.getoption("--long"))


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder of real clips."""
    return Path(__file__).parent / "media_files"


@pytest.fixture
def root(tmp_path: Path, media: Path) -> Path:
    """A root folder of a server, with links' targets copied: all clips are in it."""
    folder = tmp_path / "root"
    folder.mkdir()
    for clip in media.iterdir():
        (folder / clip.name).hardlink_to(clip)
    return folder


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Servers of this test alone, with settings of its own."""
    started: list[RunningServer] = []

    def start(**settings: Any) -> RunningServer:
        running = RunningServer(tmp_path / f"server-{len(started)}", **settings)
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()


@pytest.fixture(scope="session")
def nvidia_libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stand-in for NVIDIA's driver is built, once."""
    return tmp_path_factory.mktemp("nvidia")


@pytest.fixture
def nvidia(nvidia_libraries: Path, tmp_path: Path) -> Iterator[Nvidia]:
    """An NVIDIA GPU that encodes H.264, for every process started meanwhile."""
    state = tmp_path / "gpu"
    state.mkdir()
    with plugged_in(nvidia_libraries, state) as device:
        yield device
