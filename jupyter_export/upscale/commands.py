"""``jupyter export models``: list, pull and verify the models of upscaling."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ExportError, ModelMissing, ModelUnusable
from .catalogue import (
    PUBLISHED,
    check_published,
    file_hash,
    find,
    has_torch,
    installed,
)

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["add_commands"]

_MIB = 2**20


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the subcommands; each sets ``command``, which returns the exit code."""
    commands = parser.add_subparsers(metavar="action", required=True)

    show = commands.add_parser("list", help="the published models, and those in the folder")
    show.add_argument("--json", action="store_true")
    show.set_defaults(command=_list)

    pull = commands.add_parser("pull", help="download published models")
    pull.add_argument("names", nargs="*", metavar="NAME", help="by default all of them")
    pull.set_defaults(command=_pull)

    verify = commands.add_parser("verify", help="whether installed models are what they should be")
    verify.add_argument("names", nargs="*", metavar="NAME", help="by default all installed ones")
    verify.set_defaults(command=_verify)


def _list(args: argparse.Namespace) -> int:
    folder = _settings().models_path
    there = installed(folder)
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "installed": name in there,
            "published": True,
            "scale": model.shape.scale,
            "bytes": model.size,
            "purpose": model.purpose,
        }
        for name, model in PUBLISHED.items()
    ]
    rows += [
        {
            "name": name,
            "installed": True,
            "published": False,
            "scale": None,
            "bytes": path.stat().st_size,
            "purpose": path.name,
        }
        for name, path in there.items()
        if name not in PUBLISHED
    ]
    if args.json:
        _say(json.dumps({"folder": str(folder), "models": rows}, indent=2))
        return 0
    for row in rows:
        scale = f"×{row['scale']}" if row["scale"] else ""
        state = "installed" if row["installed"] else "-"
        size = f"{row['bytes'] / _MIB:.1f} MiB"
        _say(f"{row['name']:<28}{state:<11}{scale:<4}{size:>9}  {row['purpose']}")
    return 0


def _pull(args: argparse.Namespace) -> int:
    from .download import download

    settings = _settings()
    names = args.names or list(PUBLISHED)
    for name in names:
        if name not in PUBLISHED:
            raise ModelMissing(
                f"{name!r} is not a published model.", f"Choose from {', '.join(PUBLISHED)}."
            )
    for name in names:
        with _Bar(name) as bar:
            path = download(PUBLISHED[name], settings.models_path, settings.models_url, bar.show)
        _say(str(path))
    return 0


def _verify(args: argparse.Namespace) -> int:
    folder = _settings().models_path
    names = args.names or sorted(installed(folder))
    if not names:
        sys.stderr.write("jupyter export: No models are installed; see `models pull`.\n")
    wrong = False
    for name in names:
        try:
            _say(f"{name}: {_verdict(name, find(folder, name))}")
        except ExportError as error:
            if not isinstance(error, ModelMissing | ModelUnusable):
                raise
            wrong = True
            _say(f"{name}: {error}")
    return int(wrong)


def _verdict(name: str, path: Path) -> str:
    found = file_hash(path)
    check_published(name, found)
    if not has_torch():
        known = "the published file" if name in PUBLISHED else f"SHA-256 {found[:12]}…"
        return f"{known}; not loaded, since torch is not installed"
    from .weights import shape_of

    shape = shape_of(path, found)
    known = "the published file" if name in PUBLISHED else f"SHA-256 {found[:12]}…"
    return f"{known}, {shape.architecture} ×{shape.scale}, loads"


def _settings() -> Settings:
    from ..settings import Settings

    return Settings()


class _Bar:
    """A progress bar in bytes on standard error; nothing where that is no terminal."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: Any = None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, total: int) -> None:
        """Draw how far it is."""
        if self._bar is None:
            from tqdm.std import tqdm

            self._bar = tqdm(desc=self._name, total=total, unit="B", unit_scale=True, disable=None)
        self._bar.update(done - self._bar.n)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
