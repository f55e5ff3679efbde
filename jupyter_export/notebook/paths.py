"""Translate paths as a notebook means them into paths as the server's root means them."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

__all__ = ["project_name", "translate"]

MAX_PROJECT = 255


def translate(spec: dict[str, Any], root: str, folder: str) -> dict[str, Any]:
    """A copy of `spec` whose paths are relative to `root` instead of `folder`.

    Both are absolute folders; `folder` is where the notebook or the shell stands. A path that
    is there relative to `root` alone is kept, so that a spec written for the server still works.
    Where `folder` lies outside of `root`, relative paths are already relative to `root`. What
    cannot be translated stays as it is, for the server to refuse with its reason.
    """
    result = copy.deepcopy(spec)
    effects = [e for e in _items(result.get("effects")) if isinstance(e, dict)]
    compared = [e["with"] for e in effects if e.get("type") == "compare" and "with" in e]
    for source in (*_items(result.get("sources")), *compared):
        if isinstance(source, dict) and isinstance(source.get("path"), str):
            source["path"] = _translate(source["path"], root, folder, is_output=False)
    if isinstance(result.get("output"), str):
        result["output"] = _translate(result["output"], root, folder, is_output=True)
    return result


def project_name(session: str, root: str) -> str | None:
    """The project of a notebook: its path relative to the root, else its name."""
    if not session:
        return None
    inside = _inside(session, root) if Path(session).is_absolute() else session
    name = inside or PurePath(session).name
    return name[-MAX_PROJECT:] or None


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _translate(path: str, root: str, folder: str, *, is_output: bool) -> str:
    if not path:
        return path
    if Path(path).is_absolute():
        return _inside(path, root) or path
    if _inside(folder, root) is None:
        return path
    here = _inside(str(Path(folder, path)), root)
    if here is None:
        return path
    # An output does not exist yet: its folder tells which of the two is meant.
    wanted = PurePath(path).parent if is_output else PurePath(path)
    if not Path(folder, wanted).exists() and Path(root, wanted).exists():
        return path
    return here


def _inside(path: str, root: str) -> str | None:
    """`path` relative to `root` with forward slashes, or None when it lies outside.

    A link inside the root keeps its name: whether it may be followed is for the server to say.
    """
    for place, base in (
        (os.path.abspath(path), os.path.abspath(root)),  # noqa: PTH100 (pathlib keeps "..")
        (os.path.abspath(path), os.path.realpath(root)),  # noqa: PTH100
        (os.path.realpath(path), os.path.realpath(root)),
    ):
        if Path(place).is_relative_to(base):
            return Path(place).relative_to(base).as_posix()
    return None
