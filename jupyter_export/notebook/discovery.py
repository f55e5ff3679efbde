"""Find the Jupyter server that a kernel, a terminal or a script belongs to.

The order is: what the caller says → the one that this process chose by `serve` →
``JUPYTER_EXPORT_URL`` → JupyterHub's variables → the server that started this kernel → other
servers of this user, newest first. A server leaves its address in ``jpserver-<pid>.json``;
importing jupyter_server only to read that file would cost seconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

from jupyter_core.paths import jupyter_runtime_dir

__all__ = ["Server", "candidates", "of_process", "prefer", "preferred", "running"]

#: Gives the server that this process has chosen, as long as it lives.
_preferred: Callable[[], Server | None] = lambda: None  # noqa: E731


@dataclass(frozen=True)
class Server:
    """Where a server answers, and what it wants to see."""

    url: str
    """With the base URL and a slash at its end."""
    token: str = ""
    socket: str = ""
    """Path of a Unix socket, when the server listens on one."""
    origin: str = "given"
    """How it was found: given, chosen, environment, hub, kernel (it started this one) or other."""


def prefer(choice: Callable[[], Server | None]) -> None:
    """Let `choice` come before all that is found; it gives None once that server is gone."""
    global _preferred
    _preferred = choice


def preferred() -> Server | None:
    """The server that this process has chosen, if it lives."""
    server = _preferred()
    return replace(server, origin="chosen") if server else None


def of_process(pid: int) -> Server | None:
    """The server with this process id; None as long as it does not listen."""
    return _read(Path(jupyter_runtime_dir()) / f"jpserver-{pid}.json", None, "other")


def running() -> Iterator[Server]:
    """The servers of this user, newest first."""
    folder = Path(jupyter_runtime_dir())
    for file in _newest_first(folder):
        if server := _read(file, None, "other"):
            yield server


def candidates(
    url: str | None = None,
    token: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    runtime_dir: Path | None = None,
) -> Iterator[Server]:
    """Every server that could be meant, the likeliest first.

    `environment` and `runtime_dir` are those of this process unless given.
    """
    env = os.environ if environment is None else environment
    spoken = env.get("JUPYTER_EXPORT_TOKEN", "")
    if url:
        yield Server(_base(url), token or _query_token(url) or spoken)
        return
    if (server := preferred()) and environment is None:
        yield server
        return
    if url := env.get("JUPYTER_EXPORT_URL"):
        yield Server(_base(url), token or spoken or _query_token(url), origin="environment")
        return
    if url := env.get("JUPYTERHUB_SERVICE_URL"):
        prefix = env.get("JUPYTERHUB_SERVICE_PREFIX") or urlsplit(url).path
        yield Server(_hub(url, prefix), token or env.get("JUPYTERHUB_API_TOKEN", ""), origin="hub")
        return
    folder = Path(jupyter_runtime_dir()) if runtime_dir is None else runtime_dir
    own = folder / f"jpserver-{env.get('JPY_PARENT_PID', '')}.json"
    if server := _read(own, token, "kernel"):
        yield server
    for file in _newest_first(folder):
        if file != own and (server := _read(file, token, "other")):
            yield server


def _read(file: Path, token: str | None, origin: str) -> Server | None:
    """The server that left `file`; None when it is gone or the file tells nothing."""
    try:
        info = json.loads(file.read_text())
        url, socket = str(info["url"]), str(info.get("sock") or "")
        pid = int(info["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not _alive(pid):
        return None
    if socket:
        url = f"http://localhost{info.get('base_url', '/')}"
    return Server(_base(url), token or str(info.get("token") or ""), socket, origin)


def _alive(pid: int) -> bool:
    """Whether a process has this id; a crashed server leaves its file behind."""
    if pid <= 0:
        return False
    if os.name == "nt":
        # os.kill would end the process here; a dead server shows when it is asked.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("jpserver-*.json"), key=_modified, reverse=True)


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _base(url: str) -> str:
    """The base URL in `url`, which may be a link copied from a browser or a log."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    path = parts.path.rstrip("/").removesuffix("/lab").removesuffix("/tree")
    return urlunsplit((parts.scheme, parts.netloc, path + "/", "", ""))


def _query_token(url: str) -> str:
    """The token that a copied link carries as ``?token=``."""
    return parse_qs(urlsplit(url).query).get("token", [""])[0]


def _hub(url: str, prefix: str) -> str:
    """The address inside the container: the hub names the interface to listen on, often all."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in {"", "0.0.0.0", "::"}:
        host = "127.0.0.1"
    elif ":" in host:
        host = f"[{host}]"
    netloc = f"{host}:{parts.port}" if parts.port else host
    return urlunsplit((parts.scheme, netloc, prefix.rstrip("/") + "/", "", ""))
