"""A stand-in for NVIDIA's driver, built from ``fake_nvidia/nvidia.c``; FFmpeg loads it as the real.

No machine of the tests has NVENC, so this is the border: all above it, FFmpeg's own nvenc.c
included, is what users run.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "fake_nvidia" / "nvidia.c"


class Nvidia:
    """The device as the tests steer it; see the head of ``nvidia.c``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a process finds the device."""
        return {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "FAKE_NVIDIA")}

    def set(self, name: str, value: int = 1) -> None:
        (self.folder / name).write_text(str(value))

    def clear(self, *names: str) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    @property
    def pictures(self) -> int:
        """How many have been encoded."""
        path = self.folder / "pictures"
        return path.stat().st_size if path.exists() else 0

    @property
    def refused(self) -> bool:
        """Whether somebody has been refused a session."""
        return (self.folder / "refused").exists()

    @contextmanager
    def stranger(self, sessions: int = 1) -> Iterator[None]:
        """Another program holds `sessions`."""
        files = [(self.folder / f"session.{i}").open("w") for i in range(sessions)]
        for file in files:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield
        finally:
            for file in files:
                file.close()


def _library(folder: Path) -> Path:
    if (folder / "libnvidia-encode.so.1").exists():
        return folder
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler for the stand-in of NVIDIA's driver")
    target = folder / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", target, SOURCE], check=True)
    shutil.copy(target, folder / "libnvidia-encode.so.1")
    return folder


@contextmanager
def plugged_in(libraries: Path, state: Path) -> Iterator[Nvidia]:
    """Every process started from here finds the device."""
    before = dict(os.environ)
    os.environ["LD_LIBRARY_PATH"] = str(_library(libraries))
    os.environ["FAKE_NVIDIA"] = str(state)
    try:
        yield Nvidia(state)
    finally:
        os.environ.clear()
        os.environ.update(before)
