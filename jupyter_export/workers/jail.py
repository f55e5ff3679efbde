"""Lock a worker in by the kernel's means (Linux): few folders, no network, no other process.

A codec that a crafted file takes over can then read what the worker reads, and write what it
writes, but nothing else. Landlock (since Linux 5.13) confines the file system, and seccomp, where
the processor's numbers of the calls are known, refuses sockets. Neither needs root, and neither
can be undone. What each bit means: ``linux/landlock.h`` and ``linux/seccomp.h``.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import stat
import struct
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Folder", "Jail", "enter", "folder", "problem"]

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # on all processors
_ASK_VERSION, _PATH_BENEATH = 1, 1
_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_LOOK = _READ_FILE | _READ_DIR
_RUN = _LOOK | _EXECUTE
_USE = _READ_FILE | _WRITE_FILE | _IOCTL
_CHANGE = _LOOK | _WRITE_FILE | _TRUNCATE | _MAKE_REG | _REMOVE_FILE | _MAKE_DIR | _REMOVE_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
#: How many rights each version of Landlock knows, from the first one on.
_RIGHTS = (13, 14, 15, 15, 16)
#: Since version 4: bind and connect of TCP; since 6: abstract sockets, and signals to others.
_TCP, _TCP_VERSION = 3, 4
_SCOPES, _SCOPES_VERSION = 3, 6

_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/opt", "/nix/store", "/gnu/store")
_ETC = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "fonts", "localtime"),
    *("passwd", "group", "nsswitch.conf", "OpenCL", "vulkan"),
)
_PROC = (
    *("self", "cpuinfo", "meminfo", "stat", "version", "devices", "filesystems", "driver"),
    "sys/vm",
)
_DEVICES = ("null", "zero", "full", "random", "urandom", "dri", "kfd")

#: Of the processors for which the filter is known: the kernel's name for it, `socket`, and the
#: first number that is none of its own (of x86_64 those of x32).
_CALLS = {"x86_64": (0xC000003E, 41, 0x40000000), "aarch64": (0xC00000B7, 198, 0xFFFFFFFF)}
_IO_URING_SETUP = 425  # has sockets of its own
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | errno.EACCES


@dataclass(frozen=True)
class Folder:
    """A folder by name and by itself: one that takes its place later is another one."""

    path: str
    device: int
    inode: int


@dataclass(frozen=True, kw_only=True)
class Jail:
    """What a worker is left with, besides the libraries, the fonts and the devices."""

    read: tuple[Folder, ...]
    write: tuple[Folder, ...]

    def to_json(self) -> str:
        """For the worker's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Jail:
        """What `to_json` gave."""
        value = json.loads(text)
        return cls(
            read=tuple(Folder(**one) for one in value["read"]),
            write=tuple(Folder(**one) for one in value["write"]),
        )


def folder(path: Path) -> Folder:
    """The folder at `path`, which is made if it is not there.

    Raises:
        OSError: it cannot be made.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    info = path.stat()
    return Folder(os.path.realpath(path), info.st_dev, info.st_ino)


def problem() -> str:
    """Why nothing can be locked in on this machine; empty if it can."""
    if sys.platform != "linux":
        return "only Linux has what it takes"
    if _version() < 1:
        return "this kernel has no Landlock, or it is switched off (see `lsm=`)"
    return ""


def enter(jail: Jail) -> None:
    """Leave this process, and those it starts, no more than `jail`; before it has other threads.

    Raises:
        OSError: the kernel refuses.
    """
    version = _version()
    handled = (1 << _RIGHTS[min(version, len(_RIGHTS)) - 1]) - 1
    attributes = struct.pack(
        "=QQQ",
        handled,
        _TCP if version >= _TCP_VERSION else 0,
        _SCOPES if version >= _SCOPES_VERSION else 0,
    )
    # An older kernel wants no more than it knows.
    size = 24 if version >= _SCOPES_VERSION else 16 if version >= _TCP_VERSION else 8
    ruleset = _call(_CREATE_RULESET, attributes[:size], ctypes.c_size_t(size), 0)
    try:
        for path, rights in _rules(jail):
            _allow(ruleset, path, rights & handled)
        # What libraries keep for a moment goes where it may.
        if jail.write:
            os.environ["TMPDIR"] = jail.write[0].path
            tempfile.tempdir = None
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
        _refuse_sockets(libc)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _version() -> int:
    """Of the kernel's Landlock; 0 without."""
    try:
        return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    except OSError:
        return 0


def _rules(jail: Jail) -> Iterator[tuple[Path, int]]:
    from ..media.effects.fonts import folders

    own = Path(__file__).resolve().parents[2]
    interpreter = (sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, str(own))
    searched = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    for name in filter(None, (*_SYSTEM, *interpreter, *searched)):
        yield Path(name), _RUN
    for one in folders():
        yield one, _LOOK
    for name in _ETC:
        yield Path("/etc", name), _LOOK
    for name in _PROC:
        yield Path("/proc", name), _LOOK
    yield Path("/sys"), _LOOK
    for device in (*(Path("/dev", name) for name in _DEVICES), *Path("/dev").glob("nvidia*")):
        yield device, _USE | _READ_DIR
    for readable in jail.read:
        yield Path(readable.path), _LOOK
    for writable in jail.write:
        yield Path(writable.path), _CHANGE


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there need not be allowed
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)


def _refuse_sockets(libc: ctypes.CDLL) -> None:
    """A filter in the kernel's language (``linux/bpf_common.h``) that lets no socket be made."""
    known = _CALLS.get(platform.machine())
    if known is None:
        return
    architecture, make_socket, foreign = known
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    code = [
        (load, 0, 0, 4),
        (equal, 0, 5, architecture),
        (load, 0, 0, 0),
        (at_least, 3, 0, foreign),
        (equal, 2, 0, make_socket),
        (equal, 1, 0, _IO_URING_SETUP),
        (give, 0, 0, _ALLOW),
        (give, 0, 0, _DENY),
    ]
    data = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    program = struct.pack("@HP", len(code), ctypes.addressof(data))
    if libc.prctl(_SET_SECCOMP, _FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
