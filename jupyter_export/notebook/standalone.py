"""A server of exports started by a kernel that has none, as in VS Code or Colab."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir

from ..errors import ServerUnreachable, SpecError
from . import default, discovery
from .client import Client, connect
from .connection import Connection
from .discovery import Server

__all__ = ["serve"]

#: Seconds in which a server has to answer; on a busy machine its start takes a while.
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.1

#: What belongs to the server of this kernel, or to JupyterHub, is not for another one.
_NOT_INHERITED = ("JPY_", "JUPYTERHUB_", "JUPYTER_EXPORT_URL", "JUPYTER_EXPORT_TOKEN")

_lock = threading.Lock()


@dataclass(frozen=True)
class _Child:
    """A server that this process has started."""

    process: subprocess.Popen[bytes]
    server: Server


_children: list[_Child] = []


def serve(root: str | os.PathLike[str] = ".", *, idle_hours: float = 8.0) -> Client:
    """Export without a Jupyter server: a small one of exports alone, for the folder `root`.

    From then on all of this kernel goes to it: `export`, previews, the panel and the editor. One
    that runs for this folder already is used, else one is started: ``jupyter export serve``. It
    listens on this machine alone, goes on when the kernel ends, and ends when it has had nothing to
    do for `idle_hours`.

    Raises:
        SpecError: there is no such folder.
        ServerUnreachable: it does not start; the reason is its own.
    """
    folder = Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise SpecError(f"There is no folder {root}.", "Give root an existing folder.")
    with _lock:
        server = _running(folder) or _started(folder, idle_hours)
        discovery.prefer(lambda: server if _is_alive(server) else None)
        default.forget()
    return connect()


def _running(folder: Path) -> Server | None:
    """The server of exports of this folder, if there is one."""
    for server in (*(child.server for child in _children), *discovery.running()):
        if not _is_alive(server):
            continue
        connection = Connection(server)
        try:
            told = connection.call("GET", "health").get("root")
            if told and Path(told).resolve() == folder:
                return server
        except (ServerUnreachable, AttributeError):
            pass  # it serves something else
        finally:
            connection.close()
    return None


def _is_alive(server: Server) -> bool:
    """False for a child that has ended; of others, who asks them learns it."""
    return all(
        child.process.poll() is None for child in _children if child.server.url == server.url
    )


def _started(folder: Path, idle_hours: float) -> Server:
    runtime = Path(jupyter_runtime_dir())
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = secrets.token_hex(24)
    settings: dict[str, int] = {"shutdown_no_activity_timeout": max(1, round(3600 * idle_hours))}
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        settings["allow_root"] = True  # as this kernel is
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_INHERITED)}
    log = runtime / f"jupyter-export-serve-{os.getpid()}-{len(_children)}.log"
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyter_export.cli", "serve"),
                *("--root", os.fspath(folder), "--port", "0", "--"),
                *(f"--ServerApp.{name}={value}" for name, value in settings.items()),
            ],
            # Not as an argument, which everybody on this machine could read.
            env={**environment, "JUPYTER_TOKEN": token},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            # The kernel's interrupts are for its cells.
            start_new_session=True,
        )
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if (server := discovery.of_process(process.pid)) and _answers(server):
            _children.append(_Child(process, server))
            return server
        time.sleep(POLL_SECONDS)
    process.terminate()
    lines = log.read_text(errors="replace").strip().splitlines() or ["it says nothing"]
    raise ServerUnreachable(
        f"The server of exports did not start: {lines[-1].strip()}", f"Its log is {log}."
    )


def _answers(server: Server) -> bool:
    connection = Connection(server)
    try:
        connection.call("GET", "health")
    except ServerUnreachable:
        return False
    finally:
        connection.close()
    return True
