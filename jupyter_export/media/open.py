"""The one safe door to FFmpeg's demuxers: plain local files of known formats, nothing else.

A plain ``av.open(path)`` honours ``concat:``, ``subfile:``, ``http:`` and image-sequence names,
follows playlists to other files, and reads an ffconcat script under any suffix. The ``file:``
prefix, the protocol list and the format list stop all of these. Files of users are opened here,
by `plain_file`; FFmpeg gets to see the open file, not its name, so that no link which takes that
name between the check and the opening leads it elsewhere (Linux).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, overload

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from ..errors import (
    CacheLost,
    DiskFull,
    ExportError,
    OutputError,
    PathError,
    SourceMissing,
    SourceUnreadable,
)
from ..paths import plain_file

__all__ = [
    "LOG_LEVEL",
    "MAX_PIXELS",
    "SEGMENT_FORMAT",
    "created",
    "decoder_of",
    "demux",
    "open_segment",
    "open_source",
    "opened",
    "writing",
]

#: Demuxers that read one plain file and follow no reference out of it.
SOURCE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,mpegvideo,avi,flv,asf,ogg,mxf,ivf,nut,"
    "gif,yuv4mpegpipe"
)

#: NUT keeps exact time bases and any codec's packets unchanged.
SEGMENT_FORMAT = "nut"

#: A picture larger than 8192×8192 is refused: it is an attack or a mistake.
MAX_PIXELS = 8192 * 8192
#: What FFmpeg tells in a worker's log, and with it in a job's.
LOG_LEVEL = av.logging.WARNING

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_FIRST_BOXES = {b"ftyp", b"mdat", b"moov", b"free", b"wide", b"skip"}
_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}

#: Where Linux shows the open files of a process.
_OPEN_FILES = Path("/proc/self/fd")

#: Boxes of an MP4 file that are looked at to find its index; real ones have a few hundred at most.
_MOST_BOXES = 10_000


@contextlib.contextmanager
def open_source(path: Path, *, field: str = "sources[0].path") -> Iterator[InputContainer]:
    """Open a user's file, by its absolute real path, for reading.

    Raises:
        SourceMissing: there is no such file.
        SourceUnreadable: it is no media file, or damaged beyond opening.
        PathError: a link has taken its place.
    """
    with opened(path, field=field) as descriptor:
        try:
            container = _open(_address(descriptor, path), SOURCE_FORMATS)
        except (av.FFmpegError, ValueError) as error:
            raise _unreadable(path, descriptor, error, field) from None
    try:
        yield container
    finally:
        container.close()


@contextlib.contextmanager
def opened(path: Path, *, field: str | None = "sources[0].path") -> Iterator[int]:
    """A descriptor of a user's file, by its absolute real path, for reading.

    Raises:
        SourceMissing, SourceUnreadable: there is no such file, or it may not be read.
        PathError: a link has taken its place.
    """
    try:
        descriptor = plain_file(path)
    except OSError as error:
        raise _refused(path, error, field) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def created(path: Path) -> Iterator[str]:
    """A new file at `path`, which is absolute and real, as FFmpeg is to be told of it.

    Whatever has that name is removed before: a link that somebody has put there leads nowhere.

    Raises:
        OSError: it cannot be made.
    """
    path.unlink(missing_ok=True)
    descriptor = plain_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        yield _address(descriptor, path)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def open_segment(path: Path, *, decoded: bool = True) -> Iterator[InputContainer]:
    """Open one of our own segment files for reading.

    Whoever only moves its packets, or counts them, needs no picture `decoded` while it opens,
    which takes nearly all of the time (18 of 18.5 ms at 1080p); the stream's pixel format is not
    known then.

    Raises:
        CacheLost: it has gone, or is none.
    """
    more = {} if decoded else {"skip_frame": "all", "analyzeduration": "1"}
    try:
        with contextlib.nullcontext() if decoded else _without_warnings():
            container = _open(f"file:{path}", SEGMENT_FORMAT, **more)
    except (av.FFmpegError, ValueError):
        raise CacheLost(
            f"The finished segment {path.name} has gone from the cache.", "Retry: it is made again."
        ) from None
    try:
        yield container
    finally:
        container.close()


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """FFmpeg tells nothing but errors, in the whole process, whose jobs' logs have the rest."""
    av.logging.set_libav_level(av.logging.ERROR)
    try:
        yield
    finally:
        av.logging.set_libav_level(LOG_LEVEL)


def decoder_of(stream: VideoStream, *, threads: str = "AUTO") -> VideoCodecContext:
    """A decoder for the stream's packets; it refuses huge pictures.

    PyAV's default of slice threads makes most decoding serial. FFmpeg's own VP8 and VP9 decoders
    leave out the transparency of a WebM file; libvpx's give it.
    """
    context = stream.codec_context
    alpha = stream.metadata.get("alpha_mode") == "1"
    if alpha and context.name in _WITH_ALPHA:
        created = VideoCodecContext.create(_WITH_ALPHA[context.name], "r")
        assert isinstance(created, VideoCodecContext)
        context = created
    context.thread_type = threads
    context.options = {"max_pixels": str(MAX_PIXELS)}
    return context


@overload
def demux(
    container: InputContainer, stream: VideoStream, /
) -> Generator[av.Packet[VideoStream], None, None]: ...
@overload
def demux(
    container: InputContainer, stream: AudioStream, /
) -> Generator[av.Packet[AudioStream], None, None]: ...
@overload
def demux(container: InputContainer, /) -> Generator[av.Packet[Any], None, None]: ...
def demux(container: InputContainer, /, *streams: Any) -> Generator[Any, None, None]:
    """The packets of these streams, or of all, of a user's file; an empty one of each at the end.

    Where a stream appears only within a file, as damage makes one do, PyAV (18.1) looks for its
    empty packet beyond the list of those that it knew at the beginning. All others came before.
    """
    with contextlib.suppress(IndexError):
        yield from container.demux(*streams)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write `path` into one clear sentence.

    Raises:
        DiskFull: no space, a quota, or a limit on the size of files.
        OutputError: any other refusal.
    """
    try:
        yield
    except ExportError:
        raise
    except OSError as error:  # av.OSError is one, too
        number = error.errno
        folder = path.parent
        if number in _FULL:
            raise DiskFull(
                f"No space is left in {str(folder)!r}, or a file there may not grow so large.",
                "Free some space (or raise the quota) and retry: finished segments are kept.",
            ) from None
        if number in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.EIO}:
            raise OutputError(
                f"{str(path)!r} cannot be written: {error.strerror}.",
                "Check the folder and its permissions, then retry.",
            ) from None
        raise


def _address(descriptor: int, path: Path) -> str:
    """How FFmpeg is told of an open file: by itself where that is possible, else by its name."""
    file = _OPEN_FILES / str(descriptor)
    return f"file:{file if file.exists() else path}"


def _open(address: str, formats: str, **options: str) -> InputContainer:
    return av.open(
        address,
        options={
            "protocol_whitelist": "file",
            "format_whitelist": formats,
            # For the decoders: opening decodes the first pictures of some codecs, covers too.
            "max_pixels": str(MAX_PIXELS),
            **options,
        },
    )


def _refused(path: Path, error: OSError, field: str | None) -> ExportError:
    name = path.name
    if error.errno == errno.ENOENT:
        return SourceMissing(
            f"There is no file {name!r}.", "Check the name and the folder.", field=field
        )
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return PathError(
            f"A link has taken the place of {name!r}, or of a folder on the way to it.",
            "Wait until nobody moves files there, then retry.",
            field=field,
        )
    return SourceUnreadable(
        f"{name!r} cannot be read: {error.strerror}.",
        "Check the disk and the file's permissions.",
        field=field,
    )


def _unreadable(path: Path, descriptor: int, error: Exception, field: str) -> ExportError:
    name = path.name
    if isinstance(error, OSError):
        return _refused(path, error, field)
    if _lacks_index(descriptor):
        return SourceUnreadable(
            f"{name!r} is incomplete: its index (the moov box) is missing.",
            "The recording or the download was cut off; get the whole file again.",
            field=field,
        )
    return SourceUnreadable(
        f"{name!r} is not a video file that can be read.",
        "Use a video in MP4, MOV, Matroska, WebM, MPEG-TS or AVI.",
        field=field,
    )


def _lacks_index(descriptor: int) -> bool:
    """Whether the file is MP4 (ISO/IEC 14496-12) without a moov box, as a cut-off one is."""
    with contextlib.suppress(OSError):
        end = os.fstat(descriptor).st_size
        position, media = 0, False
        for _ in range(_MOST_BOXES):
            head = os.pread(descriptor, 16, position)
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if kind == b"moov" or (position == 0 and kind not in _FIRST_BOXES):
                return False
            media = media or kind == b"mdat"
            if size == 1:
                size = int.from_bytes(head[8:], "big")
            position += size
            if size < 8 or position + 8 > end:
                break
        return media
    return False
