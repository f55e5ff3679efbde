"""Leases: amounts held by live processes, agreed on through files in one directory.

A lease is a file that says what is held. It counts for as long as some process holds a shared
``flock`` on it: the kernel drops that when the process ends, however it ends, so there is no
heartbeat and nothing to expire. Several processes can hold one lease (the server, and the worker
that has memory on the GPU); it ends with the last of them. Who waits holds a lock on a file, too.

Whatever reads or changes the set of files does so under an exclusive ``flock`` on the directory
itself: there is no further file to create, to own or to lose. Users who share the directory
(mode 3770) can read each other's files, but only remove their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .needs import Need

if sys.platform != "win32":
    import fcntl

__all__ = ["Held", "Lease", "Leases", "LeasesBusy", "Standing", "Want", "adopt"]

LOCK_SECONDS = 2.0
"""The directory is locked for about a millisecond; after this long its holder is stopped."""
_POLL_SECONDS = 0.001
_MAX_BYTES = 4096
_ADOPT_TRIES = 100


class LeasesBusy(Exception):
    """Another process keeps the directory locked: it was stopped in the middle of a look."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A lease that somebody holds, or (of a file that ends in ``.want``) waits for."""

    id: str
    uid: int
    """The user, by the owner of the file."""
    device: str
    """What it is held of; empty for one who waits."""
    need: Need
    since: float
    """When it was granted, or asked for; in seconds since 1970."""
    looked: float = 0.0
    """When one who waits last looked whether it can go on."""
    priority: int = 0
    pid: int = 0
    """Of the process that made it, as that process sees itself: in a container it is another."""
    person: str = ""
    """A mark of who it is for, where several people's servers run as one user of the system."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """All that is held and wanted at one moment."""

    held: tuple[Held, ...]
    wanted: tuple[Held, ...]


class _File:
    """A file with our lock on it."""

    def __init__(self, path: Path | None, descriptor: int, id: str) -> None:
        self.path = path
        """None: no other process knows of it."""
        self.id = id
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it back; harmless when that was done before."""
        if self.path is None or self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1


class Lease(_File):
    """An amount of a device that this process holds, until `release` or its end."""

    def __init__(
        self, path: Path | None, descriptor: int, id: str, device: str, need: Need
    ) -> None:
        super().__init__(path, descriptor, id)
        self.device = device
        self.need = need

    @classmethod
    def unshared(cls, device: str, need: Need) -> Lease:
        """One that only this process knows of, where there is no directory for them."""
        return cls(None, -1, secrets.token_hex(8), device, need)

    @property
    def key(self) -> str:
        """Its file, as an absolute path; where there is none, a name that nothing else has."""
        return self.id if self.path is None else str(self.path.absolute())


class Want(_File):
    """A place in the line of those who wait, until `release` or the process's end."""

    def __init__(self, path: Path, descriptor: int, id: str, since: float) -> None:
        super().__init__(path, descriptor, id)
        self.since = since

    def look(self) -> None:
        """Let others see that it has not fallen asleep."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.utime(self._descriptor)


class Leases:
    """The leases in `folder`, which must exist, be writable, and be on a local disk.

    Every method takes about 0.1 ms, and 10 µs more for each lease; use it from any thread.
    """

    def __init__(
        self, folder: Path, *, person: str = "", lock_seconds: float = LOCK_SECONDS
    ) -> None:
        self.folder = folder
        self._person = person
        self._lock_seconds = lock_seconds

    def standing(self) -> Standing:
        """What is held and wanted now.

        Raises:
            LeasesBusy, OSError: the directory cannot be locked, or read.
        """
        with self._locked():
            return self._scan()

    def acquire(self, need: Need, pick: Callable[[Standing], str | None]) -> Lease | None:
        """Hold `need` of the device that `pick` names, given what is held now; None if it gives
        None. Nothing changes between its decision and the lease.

        Raises:
            LeasesBusy, OSError: the directory cannot be locked, or written.
        """
        with self._locked():
            device = pick(self._scan())
            if device is None:
                return None
            content = {"device": device, "need": need.to_json(), "since": time.time()}
            path, descriptor, id = self._create("lease", content)
        return Lease(path, descriptor, id, device, need)

    def want(self, need: Need, priority: int) -> Want:
        """Take a place in the line.

        Raises:
            LeasesBusy, OSError: the directory cannot be locked, or written.
        """
        since = time.time()
        content = {"need": need.to_json(), "since": since, "priority": priority}
        with self._locked():
            path, descriptor, id = self._create("want", content)
        return Want(path, descriptor, id, since)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            deadline = time.monotonic() + self._lock_seconds
            while not _lock(descriptor, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise LeasesBusy(
                        f"another process has kept {self.folder} locked for "
                        f"{self._lock_seconds:g} s; it is probably stopped"
                    )
                time.sleep(_POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def _scan(self) -> Standing:
        found: dict[str, list[Held]] = {"lease": [], "want": []}
        for name in os.listdir(self.folder):  # noqa: PTH208 - half the time of Path.iterdir
            id, _, kind = name.partition(".")
            if kind in found and (held := self._look(self.folder / name, id)) is not None:
                found[kind].append(held)
        return Standing(held=tuple(found["lease"]), wanted=tuple(found["want"]))

    def _look(self, path: Path, id: str) -> Held | None:
        """What the file says, if somebody holds it; if nobody does, it is removed."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags)
        except OSError:
            return None  # just given back, or not for us
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            if _lock(descriptor, fcntl.LOCK_EX):
                with contextlib.suppress(OSError):  # other users' files stay, and do not count
                    path.unlink()
                return None
            return _parsed(id, status, os.read(descriptor, _MAX_BYTES))
        finally:
            os.close(descriptor)

    def _create(self, kind: str, content: dict[str, Any]) -> tuple[Path, int, str]:
        """A file with our lock on it. Who dies half-way leaves one without, which is removed."""
        id = secrets.token_hex(8)
        path = self.folder / f"{id}.{kind}"
        content = {**content, "pid": os.getpid(), "person": self._person}
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o644)
        try:
            os.fchmod(descriptor, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            os.write(descriptor, json.dumps(content).encode())
        except BaseException:
            path.unlink()
            os.close(descriptor)
            raise
        return path, descriptor, id


def adopt(path: Path) -> int:
    """Hold a lease that another process holds, too; the descriptor is for life.

    Raises:
        OSError: there is no such lease any more.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    for _ in range(_ADOPT_TRIES):
        # Whoever looks at it holds it exclusively for an instant, if nobody else does.
        if _lock(descriptor, fcntl.LOCK_SH):
            return descriptor
        time.sleep(_POLL_SECONDS)
    os.close(descriptor)
    raise BlockingIOError(f"{path} is locked")


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parsed(id: str, status: os.stat_result, data: bytes) -> Held | None:
    try:
        value = json.loads(data)
        need = Need.from_json(value["need"])
        since, priority = float(value["since"]), int(value.get("priority", 0))
        device, pid = str(value.get("device", "")), int(value.get("pid", 0))
        person = str(value.get("person", ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # nothing of ours
    return Held(
        id=id,
        uid=status.st_uid,
        device=device,
        need=need,
        since=since,
        looked=status.st_mtime,
        priority=priority,
        pid=pid,
        person=person,
    )
