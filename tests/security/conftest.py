"""A server, a shell and a listening socket for whoever attacks."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from server_support import RunningServer
from support import ffmpeg

from jupyter_export.cli import main

JAILED = "ExportApp.worker_jail"


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The server under attack. Not locked in: what holds must hold without the kernel's help."""
    running = RunningServer(tmp_path_factory.mktemp("target"), **{JAILED: "off"})
    yield running
    running.stop()


@pytest.fixture(scope="session")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside of every root, with films that nobody may see."""
    folder = tmp_path_factory.mktemp("secret")
    picture = ("-f", "lavfi", "-i", "color=red:s=160x120:r=10:d=1")
    ffmpeg(*picture, "-c:v", "libx264", folder / "secret.ts")
    ffmpeg("-i", folder / "secret.ts", "-c", "copy", folder / "secret.mp4")
    return folder


@dataclass
class Listener:
    """Counts who connects, and says nothing."""

    port: int
    visits: int = 0


@pytest.fixture
def listener() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Listener(server.getsockname()[1])

        def listen() -> None:
            while True:
                try:
                    visitor, _ = server.accept()
                except OSError:
                    return
                found.visits += 1
                visitor.close()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield found
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stderr: str


@dataclass
class Shell:
    """``jupyter export`` without a server, in this process; its workers are processes."""

    monkeypatch: pytest.MonkeyPatch

    def run(self, spec: dict[str, Any], root: Path) -> Done:
        """``jupyter export run`` of `spec`."""
        said = io.StringIO()
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(spec)))
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = main(["run", "-", "--root", str(root)])
        return Done(code, said.getvalue())


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("JUPYTER_EXPORT_DATA_DIR", str(tmp_path / "shell"))
    monkeypatch.setenv("JUPYTER_EXPORT_WORKER_JAIL", "off")
    return Shell(monkeypatch)
