"""Finished segments on disk, named by the hash of their recipes; safe to delete at any time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from .open import writing

__all__ = ["Entry", "SegmentCache", "file_sha256"]

_DAY = 86_400.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A finished file and what proves that it is whole."""

    frames: int
    bytes: int
    sha256: str


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
            entry = Entry(**json.loads(self._proof(id).read_text()))
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
            entry = Entry(**json.loads(self._proof(id).read_text()))
            return entry if self.path(id).stat().st_size == entry.bytes else None
        except (OSError, ValueError, TypeError):
            return None

    def put(self, id: str, make: Callable[[Path], int]) -> Entry:
        """Have `make` write the file (it returns the number of frames), then take it in.

        Raises:
            DiskFull, OutputError: the folder cannot be written.
        """
        with writing(self.folder / "segment"):
            self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{id}.{uuid.uuid4().hex[:8]}.part"
        try:
            frames = make(temporary)
            with writing(temporary):
                entry = Entry(frames, temporary.stat().st_size, file_sha256(temporary))
                temporary.replace(self.path(id))
                proof = self._proof(id)
                draft = proof.with_suffix(".json.part")
                draft.write_text(json.dumps(asdict(entry)))
                draft.replace(proof)
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
        draft = path.with_suffix(f".{uuid.uuid4().hex[:8]}.part")
        with writing(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(text)
            draft.replace(path)
        return id

    def remove(self, id: str) -> None:
        """Forget the entry."""
        for path in (self._proof(id), self.path(id)):
            with contextlib.suppress(OSError):
                path.unlink()

    def sweep(self, limit_bytes: int, keep: set[str]) -> None:
        """Remove the least recently used files until the rest fits `limit_bytes`.

        Files of `keep` stay, whatever their size; so do plans and unfinished parts for a day.
        """
        entries = sorted(self._files(), key=lambda e: e[1])
        total = sum(size for _, _, size in entries)
        for path, used, size in entries:
            passing = path.suffix in {".part", ".plan"}
            stale = passing and used < time.time() - _DAY
            if path.stem in keep:
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


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
