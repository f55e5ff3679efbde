"""Which directory the leases of this machine are in, and whether other users share it."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .disk import filesystem_type, is_network

__all__ = ["SHARED", "LeaseFolder", "find_folder"]

SHARED = Path("/run/jupyter-export")
"""What an administrator makes for all users; the page for administrators has the line."""


@dataclass(frozen=True, kw_only=True)
class LeaseFolder:
    """The place of the leases."""

    path: Path | None
    """None: nowhere can they be kept, so each server counts for itself alone."""
    shared: bool
    """Whether other users' servers can use it, too."""
    notice: str = ""
    """What an administrator should know; empty when all is well."""


def find_folder(
    setting: str, *, shared: Path = SHARED, environment: Mapping[str, str] | None = None
) -> LeaseFolder:
    """The directory of the setting `lease_dir`, the administrator's, or one of this user's own."""
    environment = os.environ if environment is None else environment
    if not hasattr(os, "O_DIRECTORY"):
        return LeaseFolder(
            path=None, shared=False, notice="This system has no locks that servers could share."
        )
    trouble = ""
    if setting:
        path = Path(setting).expanduser()
        if not (trouble := _unusable(path)):
            return LeaseFolder(path=path, shared=_for_others(path))
        trouble = f"lease_dir cannot be used: {trouble}. "
    elif shared.exists():
        if not (trouble := _unusable(shared)):
            return LeaseFolder(path=shared, shared=True)
        trouble = f"{trouble[0].upper()}{trouble[1:]}. "
    for path in _own_folders(environment):
        if not _unusable(path, make=True):
            return LeaseFolder(
                path=path,
                shared=False,
                notice=f"{trouble}GPUs and cores are shared fairly among this user's servers "
                f"only; for all users of the machine an administrator makes {shared} (see the "
                "documentation).",
            )
    return LeaseFolder(
        path=None,
        shared=False,
        notice=f"{trouble}No local folder can hold leases: this server counts for itself alone.",
    )


def _own_folders(environment: Mapping[str, str]) -> list[Path]:
    found = []
    if runtime := environment.get("XDG_RUNTIME_DIR", ""):
        found.append(Path(runtime) / "jupyter-export")
    found.append(Path(tempfile.gettempdir()) / f"jupyter-export-{os.getuid()}")
    return found


def _unusable(path: Path, *, make: bool = False) -> str:
    """Why leases cannot be kept there; empty if they can. `make` makes it, for this user alone."""
    try:
        if make and path.parent.is_dir():
            path.mkdir(mode=0o700, exist_ok=True)
        status = path.stat() if not make else path.lstat()
    except OSError as error:
        return f"{path} cannot be used ({error.strerror})"
    if not stat.S_ISDIR(status.st_mode):
        return f"{path} is no folder"
    if make and status.st_uid != os.getuid():
        return f"{path} belongs to another user"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return f"this user may not write in {path}"
    if is_network(path):
        return f"{path} is on a network disk ({filesystem_type(path)}), where locks mean little"
    return ""


def _for_others(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))
