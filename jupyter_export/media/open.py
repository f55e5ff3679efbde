"""The one safe door to FFmpeg's demuxers: plain local files of known formats, nothing else.

A plain ``av.open(path)`` honours ``concat:``, ``subfile:``, ``http:`` and image-sequence names,
follows playlists to other files, and reads an ffconcat script under any suffix. The ``file:``
prefix, the protocol list and the format list stop all of these.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from ..errors import CacheLost, DiskFull, ExportError, OutputError, SourceMissing, SourceUnreadable

__all__ = ["MAX_PIXELS", "SEGMENT_FORMAT", "decoder_of", "open_segment", "open_source", "writing"]

#: Demuxers that read one plain file and follow no reference out of it.
SOURCE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,mpegvideo,avi,flv,asf,ogg,mxf,ivf,nut,"
    "gif,yuv4mpegpipe"
)

#: NUT keeps exact time bases and any codec's packets unchanged.
SEGMENT_FORMAT = "nut"

#: A picture larger than 8192×8192 is refused: it is an attack or a mistake.
MAX_PIXELS = 8192 * 8192

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_FIRST_BOXES = {b"ftyp", b"mdat", b"moov", b"free", b"wide", b"skip"}
_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


@contextlib.contextmanager
def open_source(path: Path, *, field: str = "sources[0].path") -> Iterator[InputContainer]:
    """Open a user's file for reading.

    Raises:
        SourceMissing: there is no such file.
        SourceUnreadable: it is no media file, or damaged beyond opening.
    """
    try:
        container = _open(path, SOURCE_FORMATS)
    except av.FileNotFoundError:
        raise SourceMissing(
            f"There is no file {path.name!r}.", "Check the name and the folder.", field=field
        ) from None
    except (av.FFmpegError, ValueError) as error:
        raise _unreadable(path, error, field) from None
    try:
        yield container
    finally:
        container.close()


@contextlib.contextmanager
def open_segment(path: Path) -> Iterator[InputContainer]:
    """Open one of our own segment files for reading.

    Raises:
        CacheLost: it has gone, or is none.
    """
    try:
        container = _open(path, SEGMENT_FORMAT)
    except (av.FFmpegError, ValueError):
        raise CacheLost(
            f"The finished segment {path.name} has gone from the cache.", "Retry: it is made again."
        ) from None
    try:
        yield container
    finally:
        container.close()


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


def _open(path: Path, formats: str) -> InputContainer:
    return av.open(
        f"file:{path}",
        options={"protocol_whitelist": "file", "format_whitelist": formats},
    )


def _unreadable(path: Path, error: Exception, field: str) -> SourceUnreadable:
    name = path.name
    if isinstance(error, OSError):
        return SourceUnreadable(
            f"{name!r} cannot be read: {error.strerror}.",
            "Check the disk and the file's permissions.",
            field=field,
        )
    if _lacks_index(path):
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


def _lacks_index(path: Path) -> bool:
    """Whether the file is MP4 (ISO/IEC 14496-12) without a moov box, as a cut-off one is."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        end = file.seek(0, 2)
        position, media = 0, False
        while position + 8 <= end:
            file.seek(position)
            head = file.read(16)
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if kind == b"moov":
                return False
            if position == 0 and kind not in _FIRST_BOXES:
                return False
            media = media or kind == b"mdat"
            if size == 1:
                size = int.from_bytes(head[8:], "big")
            if size < 8:
                break
            position += size
        return media
    return False
