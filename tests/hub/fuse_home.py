"""A real FUSE filesystem over a folder, as the homes of many clusters are: what is below goes by
a program's messages, and other hosts could have it open.

    python fuse_home.py FOLDER

Mounts itself over FOLDER, prints a line, and serves until it is ended. Each request is answered
from the folder below the mount; owners and modes are its own, and the kernel checks them. The
numbers are those of Linux's ``include/uapi/linux/fuse.h``, version 7.31.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
import stat
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

TYPE = "fuse.home"
MAX_WRITE = 1 << 17
ROOT = 1
BIG_WRITES, ATOMIC_O_TRUNC = 1 << 5, 1 << 3
MODE, UID, GID, SIZE, ATIME, MTIME, HANDLE, ATIME_NOW, MTIME_NOW = (1 << bit for bit in range(9))
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True)


class Request(NamedTuple):
    """What the kernel asks."""

    node: int
    uid: int
    gid: int
    body: bytes

    def fields(self, layout: str) -> tuple[int, ...]:
        return struct.unpack_from(f"<{layout}", self.body)

    def names(self, layout: str = "") -> list[str]:
        text = self.body[struct.calcsize(f"<{layout}") :]
        return [os.fsdecode(name) for name in text.split(b"\0")[:-1]]


@dataclass
class Node:
    """A file that the kernel knows, by a descriptor: it may be renamed, or unlinked, meanwhile."""

    descriptor: int
    known: int = 0

    @property
    def path(self) -> str:
        return f"/proc/self/fd/{self.descriptor}"


class Home:
    """Answers requests from the folder that is open as `root`."""

    def __init__(self, root: int) -> None:
        self._nodes = {ROOT: Node(root)}
        self._numbers: dict[tuple[int, int], int] = {}
        self._next = ROOT + 1
        self._lists: dict[int, list[tuple[str, int, int]]] = {}
        self.operations: dict[int, Callable[[Request], bytes | None]] = {
            1: self.lookup, 2: self.forget, 3: self.getattr, 4: self.setattr, 5: self.readlink,
            6: self.symlink, 8: self.mknod, 9: self.mkdir, 10: self.unlink, 11: self.rmdir,
            12: self.rename, 13: self.link, 14: self.open, 15: self.read, 16: self.write,
            17: self.statfs, 18: self.release, 20: self.fsync, 25: self.flush, 26: self.init,
            27: self.opendir, 28: self.readdir, 29: self.releasedir, 30: self.fsyncdir,
            35: self.create, 36: self.interrupt, 42: self.forget_many,
        }  # fmt: skip

    def _at(self, node: int) -> int:
        return self._nodes[node].descriptor

    def _entry(self, request: Request, name: str) -> bytes:
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=self._at(request.node))
        status = os.fstat(descriptor)
        key = status.st_dev, status.st_ino
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = self._next
            self._next += 1
            self._nodes[number] = Node(descriptor)
        else:
            os.close(descriptor)
        self._nodes[number].known += 1
        return struct.pack("<4Q2I", number, 0, 0, 0, 0, 0) + _attributes(status)

    def _made(self, request: Request, name: str) -> bytes:
        at = self._at(request.node)
        os.chown(name, request.uid, request.gid, dir_fd=at, follow_symlinks=False)
        return self._entry(request, name)

    def _forget(self, number: int, times: int) -> None:
        node = self._nodes[number]
        node.known -= times
        if node.known <= 0 and number != ROOT:
            status = os.fstat(node.descriptor)
            del self._numbers[status.st_dev, status.st_ino], self._nodes[number]
            os.close(node.descriptor)

    # What the kernel asks

    def init(self, request: Request) -> bytes:
        flags = BIG_WRITES | ATOMIC_O_TRUNC
        return struct.pack("<4I2H2I2H8I", 7, 31, MAX_WRITE, flags, 16, 12, MAX_WRITE, 1, *[0] * 10)

    def lookup(self, request: Request) -> bytes:
        return self._entry(request, *request.names())

    def forget(self, request: Request) -> None:
        self._forget(request.node, *request.fields("Q"))

    def forget_many(self, request: Request) -> None:
        (count,) = request.fields("I")
        for number, times in struct.iter_unpack("<QQ", request.body[8 : 8 + 16 * count]):
            self._forget(number, times)

    def interrupt(self, request: Request) -> None:
        pass

    def getattr(self, request: Request) -> bytes:
        return struct.pack("<QII", 0, 0, 0) + _attributes(os.fstat(self._at(request.node)))

    def setattr(self, request: Request) -> bytes:
        valid, _, handle, size, _, *times, mode, _, uid, gid, _ = request.fields("2I6Q8I")
        node = self._nodes[request.node]
        if valid & SIZE:
            os.truncate(handle if valid & HANDLE else node.path, size)
        if valid & (UID | GID):
            os.chown(node.path, uid if valid & UID else -1, gid if valid & GID else -1)
        if valid & MODE:
            Path(node.path).chmod(stat.S_IMODE(mode))
        if valid & (ATIME_NOW | MTIME_NOW):
            os.utime(node.path)
        elif valid & (ATIME | MTIME):
            now = os.fstat(node.descriptor)
            atime, mtime = (times[i] * 10**9 + times[3 + i] for i in range(2))
            atime = atime if valid & ATIME else now.st_atime_ns
            os.utime(node.path, ns=(atime, mtime if valid & MTIME else now.st_mtime_ns))
        return self.getattr(request)

    def readlink(self, request: Request) -> bytes:
        return os.fsencode(os.readlink("", dir_fd=self._at(request.node)))

    def symlink(self, request: Request) -> bytes:
        name, target = request.names()
        os.symlink(target, name, dir_fd=self._at(request.node))
        return self._made(request, name)

    def mknod(self, request: Request) -> bytes:
        mode, device, _, _ = request.fields("4I")
        (name,) = request.names("4I")
        os.mknod(name, mode, device, dir_fd=self._at(request.node))
        return self._made(request, name)

    def mkdir(self, request: Request) -> bytes:
        mode, _ = request.fields("2I")
        (name,) = request.names("2I")
        os.mkdir(name, mode, dir_fd=self._at(request.node))
        return self._made(request, name)

    def unlink(self, request: Request) -> bytes:
        os.unlink(*request.names(), dir_fd=self._at(request.node))
        return b""

    def rmdir(self, request: Request) -> bytes:
        os.rmdir(*request.names(), dir_fd=self._at(request.node))
        return b""

    def rename(self, request: Request) -> bytes:
        (folder,) = request.fields("Q")
        old, new = request.names("Q")
        os.rename(old, new, src_dir_fd=self._at(request.node), dst_dir_fd=self._at(folder))
        return b""

    def link(self, request: Request) -> bytes:
        (old,) = request.fields("Q")
        (name,) = request.names("Q")
        os.link(self._nodes[old].path, name, dst_dir_fd=self._at(request.node))
        return self._entry(request, name)

    def open(self, request: Request) -> bytes:
        flags, _ = request.fields("2I")
        handle = os.open(self._nodes[request.node].path, _flags(flags))
        return struct.pack("<QII", handle, 0, 0)

    def create(self, request: Request) -> bytes:
        flags, mode, _, _ = request.fields("4I")
        (name,) = request.names("4I")
        at = self._at(request.node)
        handle = os.open(name, _flags(flags) | os.O_CREAT, mode, dir_fd=at)
        return self._made(request, name) + struct.pack("<QII", handle, 0, 0)

    def read(self, request: Request) -> bytes:
        handle, offset, size = request.fields("QQI")
        return os.pread(handle, size, offset)

    def write(self, request: Request) -> bytes:
        handle, offset, size, *_ = request.fields("QQIIQII")
        return struct.pack("<II", os.pwrite(handle, request.body[40 : 40 + size], offset), 0)

    def release(self, request: Request) -> bytes:
        os.close(*request.fields("Q"))
        return b""

    def flush(self, request: Request) -> bytes:
        return b""

    def fsync(self, request: Request) -> bytes:
        os.fsync(*request.fields("Q"))
        return b""

    def fsyncdir(self, request: Request) -> bytes:
        return b""

    def opendir(self, request: Request) -> bytes:
        with os.scandir(self._nodes[request.node].path) as entries:
            found = [(one.name, one.inode(), _kind(one)) for one in entries]
        handle = self._next
        self._next += 1
        self._lists[handle] = found
        return struct.pack("<QII", handle, 0, 0)

    def readdir(self, request: Request) -> bytes:
        handle, offset, size = request.fields("QQI")
        out = b""
        for number, (name, inode, kind) in enumerate(self._lists[handle][offset:], offset + 1):
            text = os.fsencode(name)
            entry = struct.pack("<QQII", inode, number, len(text), kind) + text
            entry += bytes(-len(entry) % 8)
            if len(out) + len(entry) > size:
                break
            out += entry
        return out

    def releasedir(self, request: Request) -> bytes:
        (handle,) = request.fields("Q")
        del self._lists[handle]
        return b""

    def statfs(self, request: Request) -> bytes:
        now = os.statvfs(self._nodes[ROOT].path)
        counts = now.f_blocks, now.f_bfree, now.f_bavail, now.f_files, now.f_ffree
        return struct.pack("<5Q4I6I", *counts, now.f_bsize, now.f_namemax, now.f_frsize, *[0] * 7)


def _flags(flags: int) -> int:
    """What of the caller's flags is ours to keep: the kernel appends by itself."""
    return flags & (os.O_ACCMODE | os.O_TRUNC | os.O_EXCL) | os.O_CLOEXEC


def _kind(entry: os.DirEntry[str]) -> int:
    return stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode) >> 12


def _attributes(s: os.stat_result) -> bytes:
    times = s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns
    seconds, parts = [time // 10**9 for time in times], [time % 10**9 for time in times]
    what = s.st_mode, s.st_nlink, s.st_uid, s.st_gid, s.st_rdev, s.st_blksize, 0
    return struct.pack("<6Q10I", s.st_ino, s.st_size, s.st_blocks, *seconds, *parts, *what)


def serve(device: int, home: Home) -> None:
    """Answer until it is unmounted."""
    while True:
        try:
            message = os.read(device, MAX_WRITE + 4096)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            if error.errno in {errno.EINTR, errno.ENOENT, errno.EAGAIN}:
                continue
            raise
        _, code, unique, node, uid, gid, _, _ = struct.unpack_from("<2I2Q4I", message)
        operation, request = home.operations.get(code), Request(node, uid, gid, message[40:])
        failed, answer = (0 if operation else errno.ENOSYS), b""
        try:
            told = operation(request) if operation else answer
            if told is None:
                continue
            answer = told
        except OSError as error:
            failed = error.errno or errno.EIO
        head = struct.pack("<IiQ", 16 + len(answer), -failed, unique)
        # Who asked may be gone.
        with contextlib.suppress(FileNotFoundError):
            os.write(device, head + answer)


def main(folder: str) -> None:
    """Mount over `folder`, and serve."""
    os.umask(0)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    root = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    if libc.mount(b"home", folder.encode(), TYPE.encode(), 0, options.encode()):
        sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")

    def end(*_: object) -> None:
        libc.umount2(folder.encode(), MNT_DETACH)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    print("mounted", flush=True)
    serve(device, Home(root))


if __name__ == "__main__":
    main(sys.argv[1])
