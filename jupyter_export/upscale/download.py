"""Download a published model: resumable, verified, and in place only when it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import httpx

from .._version import __version__
from ..errors import DiskFull, DownloadFailed, OutputError
from ..queue.lock import SchedulerLock
from .catalogue import Published, file_hash

__all__ = ["download"]

Progress = Callable[[int, int], None]

#: Seconds without a byte until a connection counts as dead, and waits between attempts.
_TIMEOUT = 30.0
_WAITS = (0.5, 2.0, 5.0)


def download(
    model: Published,
    folder: Path,
    base: str,
    progress: Progress | None = None,
    *,
    waits: tuple[float, ...] = _WAITS,
) -> Path:
    """Get ``base/tag/file`` into `folder`, and return where it is.

    What an earlier attempt has left is continued. A file that is there with the right content is
    not fetched again. `progress` is called with the bytes so far and those of the whole file.

    Raises:
        DownloadFailed: the address does not answer, or what it has is not the model.
        OutputError, DiskFull: the folder cannot be written.
    """
    target, part = folder / model.file, folder / f".{model.file}.part"
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = SchedulerLock(folder / f".{model.file}.lock")
        if not lock.acquire():
            raise DownloadFailed(
                f"The model {model.name!r} is being downloaded already.", "Wait until it is there."
            )
        try:
            if target.is_file() and file_hash(target) == model.sha256:
                return target
            _fetch(model, part, f"{base.rstrip('/')}/{model.tag}/{model.file}", progress, waits)
            part.replace(target)
        finally:
            lock.release()
    return target


def _fetch(
    model: Published, part: Path, url: str, progress: Progress | None, waits: tuple[float, ...]
) -> None:
    shown = re.sub(r"//[^/@]*@", "//", url)
    timeout = httpx.Timeout(_TIMEOUT)
    headers = {"User-Agent": f"jupyter_export/{__version__}", "Accept-Encoding": "identity"}
    try:
        client = httpx.Client(timeout=timeout, follow_redirects=True, headers=headers)
    except (ValueError, OSError) as error:
        raise DownloadFailed(f"The proxy settings cannot be used: {error}.") from None
    with client, part.open("ab") as file:
        for wait in (*waits, None):
            try:
                _receive(client, url, shown, file, model, progress)
                break
            except (httpx.TransportError, httpx.DecodingError) as error:
                if wait is None:
                    raise DownloadFailed(
                        f"{shown} does not answer or breaks off: {error or type(error).__name__}.",
                        "Run the command again: it goes on where it stopped.",
                    ) from None
                time.sleep(wait)
        file.flush()
        os.fsync(file.fileno())
    if _hash(part) != model.sha256:
        part.unlink()
        raise DownloadFailed(
            f"What {shown} has is not the published {model.file} (its SHA-256 is another).",
            "Check `models_url`; run the command again if the file was damaged on its way.",
        )


def _receive(
    client: httpx.Client,
    url: str,
    shown: str,
    file: BinaryIO,
    model: Published,
    progress: Progress | None,
) -> None:
    """One request for what is missing, appended to `file`."""
    done = file.seek(0, os.SEEK_END)
    if done > model.size:
        done = _restart(file)
    if done == model.size:
        return
    with _answer(client, url, shown, done) as response:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            _restart(file)
            raise httpx.ReadError("the server has a shorter file")
        if done and not _continues(response, done):
            done = _restart(file)
        if "html" in response.headers.get("content-type", ""):
            raise DownloadFailed(
                f"{shown} is a web page, not a model.", "Check `models_url` and your proxy."
            )
        # As it comes: a chunk size would lose what was gathered when the connection breaks.
        for chunk in response.iter_raw():
            file.write(chunk)
            done += len(chunk)
            if done > model.size:
                _restart(file)
                raise DownloadFailed(
                    f"{shown} is larger than the published {model.file}.", "Check `models_url`."
                )
            if progress is not None:
                progress(done, model.size)
    if done < model.size:
        raise httpx.ReadError("the connection was closed early")


@contextlib.contextmanager
def _answer(client: httpx.Client, url: str, shown: str, done: int) -> Iterator[httpx.Response]:
    headers = {"Range": f"bytes={done}-"} if done else {}
    try:
        with client.stream("GET", url, headers=headers) as response:
            code = response.status_code
            if code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and done:
                yield response
                return
            if code >= 500:
                raise httpx.ReadError(f"the server answers {code}")
            if code not in {200, 206}:
                raise DownloadFailed(
                    f"{shown} answers {code} {response.reason_phrase}.",
                    "Check `models_url`: the mirror needs the same `tag/file` layout.",
                )
            yield response
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
        raise DownloadFailed(
            f"{shown} is no address to download from: {error}.", "Check `models_url`."
        ) from None


def _continues(response: httpx.Response, done: int) -> bool:
    """Whether the answer is the part that was asked for; else it is the whole file."""
    given = response.headers.get("content-range", "")
    return response.status_code == 206 and given.startswith(f"bytes {done}-")


def _restart(file: BinaryIO) -> int:
    file.truncate(0)
    return 0


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {28, 122}:  # no space left, quota exceeded
            raise DiskFull(
                f"There is no space left in {str(folder)!r}.", "Make room, then run it again."
            ) from None
        raise OutputError(
            f"The models folder {str(folder)!r} cannot be written: {error.strerror or error}.",
            "Check its permissions, or set `models_dir`.",
        ) from None
