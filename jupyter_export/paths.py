"""The one place that turns a path of a spec into a path on disk, or refuses it.

Every path of a user is relative to a root directory. Symbolic links are followed *before* the
check, so that no link inside the root leads out of it; `plain_file` opens what was checked, and
follows none that took a place on the way since.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from pathlib import Path, PurePosixPath

from .errors import OutputError, PathError, SourceMissing, SourceUnreadable
from .spec import OUTPUT_SUFFIXES, ExportSpec

__all__ = ["check_paths", "plain_file", "resolve_output", "resolve_source"]

#: What FFmpeg and tools like it take for a protocol when a name begins so (`ffmpeg -protocols`).
_PROTOCOLS = frozenset(
    (
        *("async", "bluray", "cache", "concat", "concatf", "crypto", "data", "fd", "ffrtmpcrypt"),
        *("ffrtmphttp", "file", "ftp", "gopher", "gophers", "hls", "http", "httpproxy", "https"),
        *("icecast", "ipfs", "ipns", "md5", "mmsh", "mmst", "pipe", "prompeg", "rist", "rtmp"),
        *("rtmpe", "rtmps", "rtmpt", "rtmpte", "rtmpts", "rtp", "sctp", "sftp", "smb", "srt"),
        *("srtp", "subfile", "tcp", "tee", "tls", "udp", "udplite", "unix", "zmq"),
    )
)

#: Join emoji, and letters of Persian and Indic scripts: they show in what they join.
_JOINERS = "\u200c\u200d"

#: Smaller files cannot keep anybody busy.
_SPARSE_BYTES = 64 * 2**20
_EXTENTS = 1000


def check_paths(
    spec: ExportSpec, root: Path, allow_hidden: bool = False, *, outputs: Path | None = None
) -> Path:
    """The absolute real path of the output of `spec`, whose sources can be read.

    Sources are relative to `root`; so is the output, unless it is relative to `outputs`.

    Raises:
        SpecError: a path cannot be used, or the output is a source.
        OutputError: the output's folder is missing or cannot be written.
    """
    sources = [
        resolve_source(root, source.path, allow_hidden=allow_hidden, field=f"{field}.path")
        for field, source in spec.every_source()
    ]
    output = resolve_output(outputs or root, spec.output, allow_hidden=allow_hidden)
    for source in sources:
        # Also by another name: hard links, and disks that take upper and lower case for one.
        if source == output or (output.exists() and output.samefile(source)):
            raise PathError(
                f"{spec.output!r} is a source of this export.",
                "Choose another name for the output.",
                field="output",
            )
    return output


def plain_file(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of the regular file at `path`, which is absolute and real.

    Between a check of a path and its use, somebody may put a link in the place of a folder or of
    the file. So each step is taken from the one before, and none follows a link.

    Raises:
        OSError: ELOOP or ENOTDIR where there is a link now, EINVAL for what is no regular file.
    """
    if os.name == "nt":
        return os.open(path, flags | getattr(os, "O_BINARY", 0))
    walk = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(path.anchor, walk)
    try:
        for name in path.parts[1:-1]:
            below = os.open(name, walk, dir_fd=folder)
            os.close(folder)
            folder = below
        # A pipe without a writer must not keep anybody waiting.
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(path.name, flags, 0o666, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return descriptor


def resolve_source(
    root: Path, path: str, *, allow_hidden: bool = False, field: str = "sources[0].path"
) -> Path:
    """The absolute real path of a source.

    Raises:
        PathError: it leaves the root, or is hidden.
        SourceMissing: there is no such file.
        SourceUnreadable: it is no regular file, is empty, or may not be read.
    """
    real = _confine(root, path, allow_hidden=allow_hidden, field=field)
    try:
        info = real.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise SourceMissing(
            f"There is no file {path!r}.", "Check the name and the folder.", field=field
        ) from None
    except OSError as error:
        raise SourceUnreadable(
            f"{path!r} cannot be read: {error.strerror}.", "Check its permissions.", field=field
        ) from None
    if not stat.S_ISREG(info.st_mode):
        raise SourceUnreadable(
            f"{path!r} is not a file.", "Give the path of a video file.", field=field
        )
    if info.st_size == 0:
        raise SourceUnreadable(f"{path!r} is empty.", "Copy or record it again.", field=field)
    if not os.access(real, os.R_OK):
        raise SourceUnreadable(f"{path!r} may not be read.", "Check its permissions.", field=field)
    if (holes := _holes(real, info)) > info.st_size // 2:
        raise SourceUnreadable(
            f"{path!r} is incomplete: {holes / 1e9:.1f} GB of its {info.st_size / 1e9:.1f} GB were "
            "never written.",
            "The recording or the download was cut off; get the whole file again.",
            field=field,
        )
    return real


def resolve_output(
    root: Path, path: str, *, allow_hidden: bool = False, field: str = "output"
) -> Path:
    """The absolute real path of an output, whose folder exists and can be written.

    Raises:
        PathError: it leaves the root, is hidden, has no media suffix, is a folder, or has a name
            that misleads people or other programs.
        OutputError: its folder is missing or cannot be written.
    """
    real = _confine(root, path, allow_hidden=allow_hidden, field=field)
    if real.suffix.lower() not in OUTPUT_SUFFIXES:
        raise PathError(
            f"{path!r} is not a name for a video.",
            f"End it in one of {', '.join(OUTPUT_SUFFIXES)}.",
            field=field,
        )
    _check_name(path, real.name, field)
    if os.path.isdir(real):  # noqa: PTH112 - one that may not be looked into is no error here
        raise PathError(f"{path!r} is a folder.", "Give the name of a file.", field=field)
    if not os.path.isdir(real.parent):  # noqa: PTH112
        raise OutputError(
            f"The folder of {path!r} does not exist.", "Create it first.", field=field
        )
    if not os.access(real.parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"The folder of {path!r} cannot be written.", "Choose another folder.", field=field
        )
    return real


def _check_name(path: str, name: str, field: str) -> None:
    """Refuse to make a file of this name."""
    if len(os.fsencode(name)) > 200:
        raise PathError(f"The name {name!r} is too long.", "Use a shorter one.", field=field)
    if name.startswith("-"):
        raise PathError(
            f"{name!r} begins like an option of a command: other programs would take it for one.",
            "Let the name begin with a letter or a digit.",
            field=field,
        )
    for text in (path, name):
        protocol = text.replace(",", ":").partition(":")
        if protocol[1] and protocol[0].lower() in _PROTOCOLS:
            raise PathError(
                f"{text!r} begins like an address of FFmpeg ({protocol[0]}:), not like a file.",
                "Leave that out.",
                field=field,
            )
    hidden = [
        c for c in path if c not in _JOINERS and unicodedata.category(c) in ("Cf", "Zl", "Zp")
    ]
    if hidden:
        raise PathError(
            f"{path!r} has a character that does not show, U+{ord(hidden[0]):04X}: people would "
            "read another name.",
            "Leave it out.",
            field=field,
        )


def _holes(path: Path, info: os.stat_result) -> int:
    """Bytes of a file that take no room on the disk, since nobody has ever written them."""
    blocks: int = getattr(info, "st_blocks", info.st_size)
    if info.st_size < _SPARSE_BYTES or blocks * 512 > info.st_size // 2 or os.name == "nt":
        return 0
    try:
        descriptor = plain_file(path)
    except OSError:
        return 0  # whoever opens it next says why
    holes = at = 0
    try:
        for _ in range(_EXTENTS):
            data = os.lseek(descriptor, at, os.SEEK_DATA)
            holes += data - at
            at = os.lseek(descriptor, data, os.SEEK_HOLE)
    except OSError as error:
        if error.errno == errno.ENXIO:  # no more data
            holes += info.st_size - at
    finally:
        os.close(descriptor)
    return holes


def _confine(root: Path, path: str, *, allow_hidden: bool, field: str) -> Path:
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in path):
        raise PathError(
            f"{path!r} contains a control character.", "Use a plain file name.", field=field
        )
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise PathError(
            f"{path!r} must be relative to the root folder and stay in it.",
            "Leave out the leading slash and any '..'.",
            field=field,
        )
    base = Path(os.path.realpath(root))
    try:
        real = Path(os.path.realpath(base / relative))
    except (OSError, ValueError) as error:
        raise PathError(f"{path!r} cannot be used: {error}.", field=field) from None
    try:
        real.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise PathError(f"{path!r} is too long.", "Use a shorter one.", field=field) from None
    if not real.is_relative_to(base):
        raise PathError(
            f"{path!r} leads out of the root folder.",
            "Use a file inside the folder that the server shows.",
            field=field,
        )
    names = {*relative.parts, *real.relative_to(base).parts}
    if not allow_hidden and any(name.startswith(".") for name in names):
        raise PathError(
            f"{path!r} is hidden, or lies in a hidden folder.",
            "Use a name without a leading dot.",
            field=field,
        )
    return real
