"""The one place that turns a path of a spec into a path on disk, or refuses it.

Every path of a user is relative to a root directory. Symbolic links are followed *before* the
check, so that no link inside the root leads out of it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from .errors import OutputError, PathError, SourceMissing, SourceUnreadable
from .spec import OUTPUT_SUFFIXES

__all__ = ["resolve_output", "resolve_source"]


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
    return real


def resolve_output(
    root: Path, path: str, *, allow_hidden: bool = False, field: str = "output"
) -> Path:
    """The absolute real path of an output, whose folder exists and can be written.

    Raises:
        PathError: it leaves the root, is hidden, has no media suffix, or is a folder.
        OutputError: its folder is missing or cannot be written.
    """
    real = _confine(root, path, allow_hidden=allow_hidden, field=field)
    if real.suffix.lower() not in OUTPUT_SUFFIXES:
        raise PathError(
            f"{path!r} is not a name for a video.",
            f"End it in one of {', '.join(OUTPUT_SUFFIXES)}.",
            field=field,
        )
    if len(os.fsencode(real.name)) > 200:
        raise PathError(f"The name {real.name!r} is too long.", "Use a shorter one.", field=field)
    if real.is_dir():
        raise PathError(f"{path!r} is a folder.", "Give the name of a file.", field=field)
    if not real.parent.is_dir():
        raise OutputError(
            f"The folder of {path!r} does not exist.", "Create it first.", field=field
        )
    if not os.access(real.parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"The folder of {path!r} cannot be written.", "Choose another folder.", field=field
        )
    return real


def _confine(root: Path, path: str, *, allow_hidden: bool, field: str) -> Path:
    if any(ord(c) < 32 or ord(c) == 127 for c in path):
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
