"""Finished segments on disk, named by the hash of their recipes; safe to delete at any time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ..points import Point, reached
from .open import writing

__all__ = ["Damage", "Entry", "SegmentCache", "file_sha256"]

_DAY = 86_400.0
_log = logging.getLogger(__name__)


class Damage(NamedTuple):
    """Frames of one of a segment's sources that came incomplete, or not at all."""

    source: int
    """Its number among the segment's sources."""
    frames: int
    first: int
    """Time stamps of the first and of the last one, in the source's time base."""
    last: int


@dataclass(frozen=True)
class Entry:
    """A finished file and what proves that it is whole."""

    frames: int
    bytes: int
    sha256: str
    damage: tuple[Damage, ...] = ()
    """What had to be concealed: an export that reuses the segment tells it, too."""

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Entry:
        """From JSON.

        Raises:
            TypeError, ValueError: it is no entry.
        """
        made = cls(**stored)
        return replace(made, damage=tuple(Damage(*entry) for entry in made.damage))


class SegmentCache:
    """A folder of ``<id>.seg`` files, each with an ``<id>.json`` that was written last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, id: str) -> Path:
        """Where the file with this id is, or would be."""
        return self.folder / f"{id}.seg"

    def find(self, id: str) -> Entry | None:
        """The entry, if its file is there with the right length and checksum.

        What does not match is removed, so that it is made again.
        """
        path = self.path(id)
        try:
            entry = Entry.of(json.loads(self._proof(id).read_text()))
            if path.stat().st_size == entry.bytes and file_sha256(path) == entry.sha256:
                os.utime(path)  # last used now
                return entry
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            _log.warning("segment %s cannot be reused: %s", id, error)
        self.remove(id)
        return None

    def peek(self, id: str) -> Entry | None:
        """The entry, if its file is there with the right length; `find` checks the sum, too."""
        try:
            entry = Entry.of(json.loads(self._proof(id).read_text()))
            return entry if self.path(id).stat().st_size == entry.bytes else None
        except (OSError, ValueError, TypeError):
            return None

    def put(
        self,
        id: str,
        make: Callable[[Path], int],
        damage: Callable[[], tuple[Damage, ...]] = tuple,
    ) -> Entry:
        """Have `make` write the file (it returns the number of frames), then take it in.

        `damage` is asked after that.

        Raises:
            DiskFull, OutputError: the folder cannot be written.
        """
        with writing(self.folder / "segment"):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self.folder / f".{id}.{uuid.uuid4().hex[:8]}.part"
        try:
            frames = make(temporary)
            with writing(temporary):
                size, sum = temporary.stat().st_size, file_sha256(temporary)
                entry = Entry(frames, size, sum, damage())
                reached(Point.SEGMENT_WRITTEN)
                temporary.replace(self.path(id))
                reached(Point.SEGMENT_PLACED)
                _write(self._proof(id), json.dumps(asdict(entry)))
                reached(Point.SEGMENT_KEPT)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        return entry

    def plan_path(self, id: str) -> Path:
        """Where the plan with this id is."""
        return self.folder / f"{id}.plan"

    def put_plan(self, text: str) -> str:
        """Keep a plan beside its segments; returns the id, which is the same for the same text.

        Raises:
            DiskFull, OutputError: the folder cannot be written.
        """
        id = hashlib.sha256(text.encode()).hexdigest()[:40]
        path = self.plan_path(id)
        with writing(path):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(path, text)
        reached(Point.PLAN_KEPT)
        return id

    def remove(self, id: str) -> None:
        """Forget the entry."""
        for path in (self._proof(id), self.path(id)):
            with contextlib.suppress(OSError):
                path.unlink()

    def sweep(self, limit_bytes: int, keep: set[str], *, days: float = 0) -> None:
        """Remove the least recently used files until the rest fits `limit_bytes`.

        What was not used for `days` goes, too (0: however old it is). Files of `keep` stay, also
        while they are written; plans and unfinished parts of others stay for a day.
        """
        entries = sorted(self._files(), key=lambda e: e[1])
        total = sum(size for _, _, size in entries)
        for path, used, size in entries:
            passing = path.suffix in {".part", ".plan"}
            kept_for = _DAY if passing else days * _DAY
            stale = bool(kept_for) and used < time.time() - kept_for
            if path.name.lstrip(".").partition(".")[0] in keep:
                continue
            if stale or (not passing and total > limit_bytes):
                with contextlib.suppress(OSError):
                    path.unlink()
                with contextlib.suppress(OSError):
                    self._proof(path.stem).unlink()
                total -= size

    def _files(self) -> Iterator[tuple[Path, float, int]]:
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if path.suffix in {".seg", ".part", ".plan"}:
                    with contextlib.suppress(FileNotFoundError):
                        info = path.stat()
                        yield path, info.st_mtime, info.st_size

    def _proof(self, id: str) -> Path:
        return self.folder / f"{id}.json"


def _write(path: Path, text: str) -> None:
    """Put `text` into a file in one step; a disk that is full keeps nothing of it."""
    draft = path.with_suffix(f".{uuid.uuid4().hex[:8]}.part")
    try:
        draft.write_text(text)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
