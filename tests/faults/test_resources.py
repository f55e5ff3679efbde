"""Disks that are full or read-only: the old film stays, the error helps, and so does a retry."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_support import FILMS, OLD, Site, open_site
from server_support import eventually

from jupyter_export.points import Point


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, right: dict[str, str]) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("disks"), right) as site:
        yield site


@pytest.fixture
def small(site: Site) -> Iterator[Path]:
    """A folder of the root on a disk of its own, of 80 kB."""
    folder = site.server.root / "small"
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nobody may mount a small disk here")
    (folder / "o.mp4").write_bytes(OLD)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def locked(site: Site) -> Iterator[tuple[Path, Callable[[bool], None]]]:
    """A folder of the root, and how to make it read-only and back."""
    folder = site.server.root / "locked"
    folder.mkdir(exist_ok=True)
    root = os.geteuid() == 0

    def lock(on: bool) -> None:
        if root:  # whom permissions do not stop
            options = f"remount,{'ro' if on else 'rw'}"
            subprocess.run(["mount", "-o", options, str(folder)], check=True)
        else:
            folder.chmod(0o555 if on else 0o755)

    if (
        root
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(folder)], capture_output=True
        ).returncode
    ):
        pytest.skip("nobody may mount a disk here")
    (folder / "o.mp4").write_bytes(OLD)
    yield folder, lock
    if root:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    else:
        folder.chmod(0o755)


def film(output: str) -> dict[str, Any]:
    return {**FILMS["thirds.mp4"], "output": output}


def test_a_disk_that_is_too_small_keeps_the_old_film_and_a_retry_goes_on(
    site: Site, small: Path
) -> None:
    answer = site.server.post("jobs", {"spec": film("small/o.mp4")})
    assert (answer.status_code, answer.json()["type"]) == (507, "disk-full"), answer.text
    # Room that somebody else takes meanwhile nobody can foresee.
    for file in site.server.folder.rglob("segments/*"):
        file.unlink()
    subprocess.run(["mount", "-o", "remount,size=10m", str(small)], check=True)
    site.arm(Point.SEGMENT_WRITTEN, "SIGSTOP")
    id = site.server.submit(film("small/o.mp4"))["id"]
    eventually(lambda: not site.armed(Point.SEGMENT_WRITTEN), seconds=60, why=site.story)
    subprocess.run(["mount", "-o", "remount,size=80k", str(small)], check=True)
    site.resume_stopped()
    failed = site.server.until(id, "failed", "completed")
    assert failed["error"]["type"] == "disk-full", failed
    assert "Free some space" in failed["error"]["advice"]
    assert [p.name for p in small.iterdir()] == ["o.mp4"]
    assert (small / "o.mp4").read_bytes() == OLD
    subprocess.run(["mount", "-o", "remount,size=10m", str(small)], check=True)
    site.server.post(f"jobs/{id}/retry").raise_for_status()
    done = site.server.until(id, "completed")
    assert done["segments"]["rendered"] == 0, "the finished segments were kept"
    assert {p.name for p in small.iterdir()} == {"o.mp4", "o.mp4.export.json"}


def test_a_read_only_folder_is_refused_at_once(
    site: Site, locked: tuple[Path, Callable[[bool], None]]
) -> None:
    folder, lock = locked
    lock(True)
    answer = site.server.post("jobs", {"spec": film("locked/o.mp4")})
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == "output-error"
    assert "locked" in answer.json()["detail"]
    assert (folder / "o.mp4").read_bytes() == OLD


def test_a_folder_that_becomes_read_only_meanwhile_keeps_the_old_film(
    site: Site, locked: tuple[Path, Callable[[bool], None]]
) -> None:
    folder, lock = locked
    for file in site.server.folder.rglob("segments/*"):
        file.unlink()
    site.arm(Point.SEGMENT_WRITTEN, "SIGSTOP")
    id = site.server.submit(film("locked/o.mp4"))["id"]
    eventually(lambda: not site.armed(Point.SEGMENT_WRITTEN), seconds=60, why=site.story)
    lock(True)
    site.resume_stopped()
    failed = site.server.until(id, "failed", "completed")
    assert failed["error"]["type"] == "output-error", failed
    assert "Check the folder" in failed["error"]["advice"]
    assert [p.name for p in folder.iterdir()] == ["o.mp4"]
    assert (folder / "o.mp4").read_bytes() == OLD
    lock(False)
    site.server.post(f"jobs/{id}/retry").raise_for_status()
    site.server.until(id, "completed")


def test_a_log_on_a_full_disk_does_not_fail_the_export(site: Site) -> None:
    """``/dev/full`` refuses every byte."""
    site.server.post("queue/pause").raise_for_status()
    id = site.server.submit(film("logged.mp4"))["id"]
    (log,) = site.server.folder.rglob(f"{id}.log")
    log.unlink()
    log.symlink_to("/dev/full")
    site.server.post("queue/resume").raise_for_status()
    assert site.server.until(id, "completed", "failed")["state"] == "completed"
