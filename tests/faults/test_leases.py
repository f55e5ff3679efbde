"""Leases between processes and users that crash, stop, and get in each other's way."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpu_support import FAKES, Driver, gpu
from server_support import REPOSITORY

from jupyter_export.hardware.leases import Leases, LeasesBusy, Standing, adopt
from jupyter_export.hardware.needs import Need

HOLDER = Path(__file__).with_name("lease_holder.py")
GROUP = 20000
USERS = (20001, 20002)

ONE = Need(vram_mib=1000, nvenc_sessions=1)


def anyhow(standing: Standing) -> str:
    return "GPU-000"


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory as an administrator makes it; below /tmp, which other users can reach."""
    folder = Path(tempfile.mkdtemp(prefix="leases-", dir="/tmp"))
    if os.getuid() == 0:
        os.chown(folder, 0, GROUP)
    folder.chmod(0o3770)
    yield folder
    shutil.rmtree(folder)


def holder(folder: Path, what: str, user: int = 0, **environment: str) -> subprocess.Popen[str]:
    """`lease_holder.py` in a process of another user, or of this one."""
    path = os.pathsep.join([str(REPOSITORY), str(FAKES)])
    return subprocess.Popen(
        [sys.executable, str(HOLDER), str(user), str(GROUP), str(folder), what],
        env={**os.environ, **environment, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture
def two_users() -> tuple[int, int]:
    if os.getuid() != 0:
        pytest.skip("only root can start processes of other users")
    return USERS


def test_stress_with_murders_never_overbooks_and_leaves_nothing(
    shared: Path, two_users: tuple[int, int], tmp_path: Path
) -> None:
    told = shared.with_name(shared.name + ".json")
    driver = Driver(told)
    driver.tell(gpu(total=8000))
    told.chmod(0o644)
    audits, kills = 5000, 20

    def start(number: int) -> subprocess.Popen[str]:
        return holder(shared, "600", two_users[number % 2], FAKE_NVML=str(told))

    holders = [start(number) for number in range(6)]
    dead: list[int] = []
    most, seen, freed = 0, set[int](), list[float]()
    try:
        for process in holders:
            assert first_line(process) == "ready"  # still root
            assert first_line(process) == "ready"
        leases = Leases(shared, lock_seconds=20)
        for audit in range(audits):
            standing = leases.standing()
            vram = sum(lease.need.vram_mib for lease in standing.held)
            sessions = sum(lease.need.nvenc_sessions for lease in standing.held)
            assert vram <= 8000, standing.held
            assert sessions <= 3, standing.held
            # A lease counts no moment longer than its process lives.
            assert not {one.pid for one in (*standing.held, *standing.wanted)} & set(dead)
            most = max(most, sessions)
            seen |= {lease.uid for lease in standing.held}
            time.sleep(0.001)
            if audit % (audits // kills) == audits // kills - 1:
                number = random.randrange(6)
                begun = time.perf_counter()
                end(holders[number])
                dead.append(holders[number].pid)
                standing = leases.standing()
                assert dead[-1] not in {one.pid for one in (*standing.held, *standing.wanted)}
                freed.append(time.perf_counter() - begun)
                holders[number] = start(number)
    finally:
        for process in holders:
            end(process)
        told.unlink()
    assert most == 3, "they never filled the GPU: this proves nothing"
    assert seen == set(two_users)
    assert len(dead) == kills
    assert leases.standing() == Standing(held=(), wanted=())
    assert list(shared.iterdir()) == []
    print(
        f"{audits} audits, 0 overbookings; {kills} kills, free after {min(freed) * 1e3:.0f} to "
        f"{max(freed) * 1e3:.0f} ms, reaped and looked at; nothing left behind"
    )


def test_a_lease_of_another_user_counts_and_ends_with_its_process(
    shared: Path, two_users: tuple[int, int]
) -> None:
    process = holder(shared, "hold", two_users[0])
    path = Path(first_line(process))

    def seen() -> str:
        # Root could remove the file; another user must do without.
        return holder(shared, "look", two_users[1]).communicate(timeout=60)[0].strip()

    assert seen() == f"[({two_users[0]}, 1000)]"
    end(process)
    assert seen() == "[]"
    assert path.exists(), "one user must not be able to remove another's files"
    # Its owner, or root, clears it away at the next look.
    assert Leases(shared).standing().held == ()
    assert not path.exists()


def test_a_lease_lives_as_long_as_the_worker_that_took_it_up(tmp_path: Path) -> None:
    """The server dies, its worker still has memory on the GPU: the lease must not end."""
    server = holder(tmp_path, "hold")
    worker = adopt(Path(first_line(server)))
    end(server)
    assert len(Leases(tmp_path).standing().held) == 1
    os.close(worker)
    assert Leases(tmp_path).standing().held == ()
    assert list(tmp_path.iterdir()) == []


def test_a_process_stopped_while_it_looks_keeps_nobody_waiting_for_ever(tmp_path: Path) -> None:
    stopped = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, os, sys, time; d = os.open(sys.argv[1], os.O_RDONLY);"
            "fcntl.flock(d, fcntl.LOCK_EX); print(flush=True); time.sleep(600)",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    first_line(stopped)
    stopped.send_signal(signal.SIGSTOP)
    leases = Leases(tmp_path, lock_seconds=0.2)
    with pytest.raises(LeasesBusy, match="probably stopped"):
        leases.acquire(ONE, anyhow)
    end(stopped)
    lease = leases.acquire(ONE, anyhow)
    assert lease is not None
    lease.release()


def test_what_strangers_write_into_the_directory_counts_as_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.lease")
    (tmp_path / "link.lease").symlink_to("/dev/zero")
    (tmp_path / "folder.lease").mkdir()
    files = []
    for number, text in enumerate(
        (
            "no json",
            "[]",
            '{"since": 0}',
            '{"device": "GPU-000", "need": {"vram_mib": -5000}, "since": 0}',
            '{"device": "GPU-000", "need": {"vram_mib": "x"}, "since": 0}',
        )
    ):
        path = tmp_path / f"{number}.lease"
        path.write_text(text)
        file = path.open()
        fcntl.flock(file, fcntl.LOCK_SH)  # as if it were held
        files.append(file)
    held = Leases(tmp_path).standing().held
    assert sum(lease.need.vram_mib for lease in held) == 0
    for file in files:
        file.close()


def test_two_threads_of_one_server_do_not_get_the_same_amount(tmp_path: Path) -> None:
    leases = Leases(tmp_path)

    def only_one(standing: Standing) -> str | None:
        return None if standing.held else "GPU-000"

    first = leases.acquire(ONE, only_one)
    assert first is not None
    assert leases.acquire(ONE, only_one) is None
    first.release()
    first.release()
    second = leases.acquire(ONE, only_one)
    assert second is not None
    second.release()
    assert list(tmp_path.iterdir()) == []
