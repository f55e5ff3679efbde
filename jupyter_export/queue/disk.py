"""What kind of filesystem a folder is on: SQLite's write-ahead log needs a local one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["filesystem_type", "is_network", "mount_type"]

#: Filesystems on which another host can have the same file open. Names as Linux gives them.
# fmt: off
NETWORK = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs", "gfs2", "glusterfs", "gpfs",
    "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3",
    "smbfs", "virtiofs", "wekafs",
})
# fmt: on

_MOUNTS = Path("/proc/self/mounts")


def is_network(folder: Path) -> bool:
    """Whether other hosts may share the folder. Where that cannot be told: no."""
    kind = filesystem_type(folder)
    # What a FUSE program does with locks and shared memory is its own affair.
    return kind in NETWORK or kind.startswith("fuse")


def filesystem_type(folder: Path) -> str:
    """The type of the filesystem that holds `folder`, such as ``ext4``; empty if unknown."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    return mount_type(os.path.realpath(folder), lines)


def mount_type(path: str, mounts: Iterable[str]) -> str:
    """The type of the innermost mount above an absolute path, from lines as in `fstab(5)`."""
    longest, found = -1, ""
    for line in mounts:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[1])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # The later of two mounts on one point hides the earlier one.
        if inside and len(point) >= longest:
            longest, found = len(point), fields[2]
    return found
