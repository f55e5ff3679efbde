"""The finished file of a job over HTTP: whole, or the range that a video player asks for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from jupyter_server.auth.decorator import authorized
from tornado import web
from tornado.iostream import StreamClosedError

from ..errors import PathError
from ..paths import plain_file
from .base import ExportHandler
from .operations import operation

__all__ = ["FileHandler", "Unsatisfiable", "byte_range"]

#: Bytes in memory for each file that is being sent.
CHUNK = 256 * 1024

TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".gif": "image/gif",
    ".webp": "image/webp",
}


class Unsatisfiable(ValueError):
    """The range begins after the end of the file."""


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """The half-open range, in bytes, that a Range header takes from a file of `size` bytes.

    None: the whole file, as RFC 9110 (14.2) has it for headers that are not understood and for
    several ranges at once, which no player needs.

    Raises:
        Unsatisfiable: none of it is in the file.
    """
    match = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        last = min(int(match[2]), size)
        if last == 0:
            raise Unsatisfiable
        return size - last, size
    first = int(match[1])
    if match[2] and int(match[2]) < first:
        return None
    if first >= size:
        raise Unsatisfiable
    return first, min(int(match[2]) + 1, size) if match[2] else size


class FileHandler(ExportHandler):
    """What a job has made."""

    @operation("video/*", statuses=(200, 206), errors=(404, 409, 416, 422))
    @web.authenticated
    @authorized
    async def get(self, id: str) -> None:
        """Give the finished file, or the Range of it that is asked for."""
        exports = await self.exports()
        path = await exports.finished_file(id)
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(await asyncio.to_thread(opened, path))
            info = os.fstat(file.fileno())
            self._describe(path, info)
            if self.check_etag_header():
                self.set_status(HTTPStatus.NOT_MODIFIED)
                self.finish()
                return
            try:
                first, end = self._asked(info.st_size)
            except Unsatisfiable:
                self._refuse(info.st_size)
                return
            self.set_header("Content-Length", str(end - first))
            # Whoever has seen enough hangs up.
            with contextlib.suppress(StreamClosedError):
                await self._send(file, first, end)

    def compute_etag(self) -> None:
        """None: the file's own is set before its content is read."""

    def _describe(self, path: Path, info: os.stat_result) -> None:
        self.set_header("Content-Type", TYPES[path.suffix.lower()])
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(path.name)}")
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("Etag", f'"{info.st_size:x}-{info.st_mtime_ns:x}"')

    def _asked(self, size: int) -> tuple[int, int]:
        """The range to send, and the status that says so."""
        header = self.request.headers.get("Range")
        known = self.request.headers.get("If-Range")
        if header is not None and known in (None, self._headers.get("Etag")):
            asked = byte_range(header, size)
            if asked is not None:
                self.set_status(HTTPStatus.PARTIAL_CONTENT)
                self.set_header("Content-Range", f"bytes {asked[0]}-{asked[1] - 1}/{size}")
                return asked
        return 0, size

    def _refuse(self, size: int) -> None:
        for name in ("Content-Disposition", "Etag"):
            self.clear_header(name)
        self.set_header("Content-Range", f"bytes */{size}")
        self.problem(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            f"The file has {size} bytes: the range lies behind its end.",
        )

    async def _send(self, file: BinaryIO, first: int, end: int) -> None:
        for start, length in _pieces(first, end):
            data = await asyncio.to_thread(os.pread, file.fileno(), length, start)
            self.write(data)
            # Waits until it is on its way: a slow reader does not fill the server's memory.
            await self.flush()
            if len(data) < length:
                # Cut short meanwhile; a missing end must not look like a whole file.
                raise web.HTTPError(HTTPStatus.INTERNAL_SERVER_ERROR, "The file was cut short.")
        self.finish(set_content_type=str(self._headers["Content-Type"]))


def opened(path: Path) -> BinaryIO:
    """The finished file, whose absolute real path was checked.

    Raises:
        PathError: it has gone meanwhile, or a link has taken its place.
    """
    try:
        return os.fdopen(plain_file(path), "rb")
    except OSError as error:
        raise PathError(
            f"{path.name!r} cannot be read: {error.strerror}.", "Export it again.", field="output"
        ) from None


def _pieces(first: int, end: int) -> Iterator[tuple[int, int]]:
    for start in range(first, end, CHUNK):
        yield start, min(CHUNK, end - start)
