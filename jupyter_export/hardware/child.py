"""Child processes: started without the server's secrets, spoken to in JSON lines, never waited for.

Two threads per child do all that can block (its pipes and its exit) and hand what they learn to
the event loop. So this works on every event loop, on those of Windows too, and a message of any
size costs the loop nothing but its handling.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

__all__ = ["Child", "describe_exit", "last_line", "python_command", "scrubbed_environment"]

MAX_LINE = 64 * 2**20
"""Bytes of the longest message; a longer one is a child that has gone wrong."""

_SECRET_NAME = re.compile(
    r"^(JUPYTERHUB_|JPY_|AWS_|AZURE_|GOOGLE_|GCP_)"
    r"|TOKEN|SECRET|PASS|CREDENTIAL|COOKIE|AUTH"
    r"|(^|_)(API)?_?KEYS?($|_)"
)
_SECRET_VALUE = re.compile(r"://[^/\s:@]*:[^/\s@]+@")


def scrubbed_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """`environment` (by default this process's) for a child that opens other people's files.

    Variables that may hold a secret are left out: by name (tokens, passwords, keys, whatever
    JupyterHub and the clouds set), or because the value is an address with a password in it.
    """
    source = os.environ if environment is None else environment
    kept = {
        name: value
        for name, value in source.items()
        if not _SECRET_NAME.search(name.upper()) and not _SECRET_VALUE.search(value)
    }
    # FFmpeg decides once, by what its standard error then is, whether to write colour codes.
    kept["AV_LOG_FORCE_NOCOLOR"] = "1"
    # SVT-AV1 writes twenty lines for every segment past FFmpeg's log; 1 leaves its errors.
    kept.setdefault("SVT_LOG", "1")
    package_root = Path(__file__).resolve().parents[2]
    if package_root.name not in {"site-packages", "dist-packages"}:
        # A checkout that is not installed: `python -P` alone would not find it.
        found = kept.get("PYTHONPATH")
        kept["PYTHONPATH"] = str(package_root) + (os.pathsep + found if found else "")
    return kept


def python_command(module: str, *arguments: str) -> list[str]:
    """The command for ``python -m module``, safe in a folder of notebooks.

    ``-P`` keeps the working directory out of the import path: a user's ``queue.py`` beside the
    notebooks must not replace a module of the standard library.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


class Child:
    """A running child process; its messages arrive in the event loop that made it.

    `on_message` gets each line of its standard output as a dict, and a line that is no JSON
    object as ``{"noise": text}``. `on_exit` gets its exit code (negative: the signal) after the
    last message. Both are called in the event loop. Must be made in the event loop's thread.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        on_message: Callable[[dict[str, Any]], None],
        on_exit: Callable[[int], None],
        merge_stderr: bool = False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_exit = on_exit
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self.heard = time.monotonic()
        """When the last message came, in seconds of the monotonic clock."""
        # Started in this thread, not in a helper: the kernel ends a worker with the *thread*
        # that made it (see limits.bind_to_parent).
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge_stderr else None,
            env=dict(environment),
            bufsize=0,
        )
        self.pid = self._process.pid
        # Only the writer touches the child's input and only the reader its output, so that no
        # descriptor is closed under a call that is blocked on it.
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name=f"to-{self.pid}", daemon=True)
        self._reader = threading.Thread(target=self._read, name=f"from-{self.pid}", daemon=True)
        try:
            self._writer.start()
            self._reader.start()
        except RuntimeError as error:
            self._process.kill()
            raise OSError(f"cannot start a thread: {error}") from error

    def send(self, message: dict[str, Any]) -> None:
        """Send one line; never blocks. A child that is gone does not get it."""
        self._outbox.put(json.dumps(message).encode() + b"\n")

    def close_input(self) -> None:
        """Let the child read the end of its input, after everything sent before."""
        self._outbox.put(None)

    def kill(self) -> None:
        """End the child at once; harmless when it has ended."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def _write(self) -> None:
        pipe = cast("io.RawIOBase", self._process.stdin)
        broken = False
        while (data := self._outbox.get()) is not None:
            view = memoryview(data)
            while view and not broken:
                try:
                    view = view[pipe.write(view) or 0 :]
                except OSError:
                    broken = True
        with contextlib.suppress(OSError):
            pipe.close()

    def _read(self) -> None:
        with io.BufferedReader(cast("io.RawIOBase", self._process.stdout), 2**16) as pipe:
            self._read_lines(pipe)
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            # It closed its output and lives on: nothing more can be known about it.
            self._process.kill()
            code = self._process.wait()
        self.close_input()
        self._writer.join()
        self._post(self._ended, code)

    def _read_lines(self, pipe: IO[bytes]) -> None:
        while True:
            try:
                line = pipe.readline(MAX_LINE)
            except OSError:
                return
            if not line:
                return
            self.heard = time.monotonic()
            if len(line) == MAX_LINE:
                self.kill()
                return
            if line.strip() and not self._post(self._on_message, _decode(line)):
                return

    def _post(self, callback: Callable[[Any], None], value: Any) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, value)
        except RuntimeError:
            # The loop is closed; without it nobody will ever close this child.
            self.kill()
            return False
        return True

    def _ended(self, code: int) -> None:
        if not self.exited.done():
            self.exited.set_result(code)
        self._on_exit(code)


def _decode(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"noise": line.decode(errors="replace").strip()}


def describe_exit(code: int) -> str:
    """``-9`` → ``signal 9, SIGKILL``; ``1`` → ``exit status 1``."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"signal {-code}, {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def last_line(log: Path, start: int) -> str:
    """What the log's writer said last, of what was written from byte `start` on.

    A crash of the interpreter is followed by a long trace, of which the heading says most.
    """
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(start, file.tell() - 2**16))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    fatal = [line for line in lines if line.startswith("Fatal Python error")]
    spoken = fatal or [line for line in lines if line.strip()]
    return spoken[-1].strip()[:300] if spoken else ""
