"""An object store between server and workers, for sites whose machines share no files.

Below its address are ``sources/<hash>`` and, until the server has fetched them,
``segments/<hash>.seg``; everything is named by what it holds, so that nothing there is ever stale.
Every method blocks: call it in a thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ClusterUnreachable, ExportError, SourceUnreadable
from ..media.facts import Fingerprint

__all__ = ["Store", "source_name"]


def source_name(mark: Fingerprint) -> str:
    """The name of a source in the store."""
    return hashlib.sha256(mark.model_dump_json().encode()).hexdigest()[:40]


class Store:
    """The object store at an fsspec address, such as ``s3://bucket/exports``.

    Who may use it is told to fsspec where it runs: by the environment or its configuration file.

    Raises:
        ClusterUnreachable: there is no such kind of store, or what it needs is not installed.
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        try:
            self._fs, self._base = url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ClusterUnreachable(
                f"The store {url} cannot be used: {error}.", "Check the setting dask_store."
            ) from None

    def put_source(self, path: Path, mark: Fingerprint) -> None:
        """Upload a source, unless it is there.

        Raises:
            SourceUnreadable: it is another file than `mark` is of.
            ClusterUnreachable: the store refuses it.
        """
        _check(path, mark)
        remote = self._source(mark)
        with _told("write to"):
            if self._size(remote) != mark.size:
                self._put(path, remote)

    def get_source(self, mark: Fingerprint, target: Path) -> None:
        """Download a source to `target`, whole or not at all, with the time of the original.

        Raises:
            SourceUnreadable: what is in the store is not that file.
            ClusterUnreachable: the store does not give it.
        """
        draft = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with _told("read from"):
                self._fs.get_file(self._source(mark), str(draft))
            os.utime(draft, ns=(mark.mtime_ns, mark.mtime_ns))
            _check(draft, mark)
            draft.replace(target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()

    def put_segment(self, file: Path, id: str, entry: Mapping[str, Any]) -> None:
        """Upload a segment, then (so that it counts as whole) what is known of it: its cache entry,
        and the notes of whoever rendered it."""
        with _told("write to"):
            self._put(file, self._segment(id))
            with self._fs.open(self._proof(id), "w") as proof:
                json.dump(dict(entry), proof)

    def find_segment(self, id: str) -> dict[str, Any] | None:
        """What is known of a segment that is there."""
        with _told("read from"):
            try:
                with self._fs.open(self._proof(id), "r") as proof:
                    entry = json.load(proof)
            except (FileNotFoundError, ValueError):
                return None
            return entry if self._size(self._segment(id)) == entry["bytes"] else None

    def get_segment(self, id: str, target: Path) -> None:
        """Download a segment to `target`; whoever calls checks it."""
        with _told("read from"):
            self._fs.get_file(self._segment(id), str(target))

    def remove_segment(self, id: str) -> None:
        """Forget a segment; what cannot be removed stays for the store's own tidying."""
        for remote in (self._proof(id), self._segment(id)):
            with contextlib.suppress(Exception):
                self._fs.rm_file(remote)

    def _put(self, path: Path, remote: str) -> None:
        self._fs.makedirs(remote.rpartition("/")[0], exist_ok=True)
        self._fs.put_file(str(path), remote)

    def _size(self, remote: str) -> int | None:
        try:
            size: int | None = self._fs.size(remote)
        except FileNotFoundError:
            return None
        return size

    def _source(self, mark: Fingerprint) -> str:
        return f"{self._base}/sources/{source_name(mark)}"

    def _segment(self, id: str) -> str:
        return f"{self._base}/segments/{id}.seg"

    def _proof(self, id: str) -> str:
        return f"{self._base}/segments/{id}.json"


@contextlib.contextmanager
def _told(how: str) -> Any:
    """Whatever a store raises, as an error of the cluster."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise ClusterUnreachable(
            f"It was not possible to {how} the object store: {text}.",
            "Check the setting dask_store, and that its machines may use the store.",
        ) from error


def _check(path: Path, mark: Fingerprint) -> None:
    from ..media.fingerprint import fingerprint  # the media libraries, which a server does without

    try:
        same = fingerprint(path) == mark
    except (OSError, ExportError):
        same = False
    if not same:
        raise SourceUnreadable(
            f"{path.name!r} was changed or removed while it was being exported.",
            "Wait until nothing writes it, then retry.",
        )
