"""A watched folder: every new video in it is exported once, by a template.

What makes an export one and the same is its idempotency key: made of the file (path, size, time)
and the template. So a watcher that starts again, or two of them, cannot export a file twice, as
long as the server's store knows the job; a memory of its own spares it to ask again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from jupyter_core.paths import jupyter_data_dir

from ..errors import ExportError, OutputInUse, QueueBusy, ServerUnreachable, SpecError
from .client import Client

__all__ = ["SUFFIXES", "Inbox"]

log = logging.getLogger(__name__)

# fmt: off
SUFFIXES = frozenset({
    ".avi", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv",
    ".ts", ".webm",
})
# fmt: on
"""Other files are left alone, as downloads are under the names that they have meanwhile."""

#: Seconds between two looks at the folder.
LOOK_SECONDS = 1.0
#: Seconds until a server that is gone or busy is asked again: at first, and at most.
WAIT_SECONDS = 1.0, 60.0


@dataclass(frozen=True)
class _Seen:
    size: int
    mtime_ns: int
    since: float
    """When it was first seen so, by a clock that nobody sets."""


class Inbox:
    """Watches `folder` (not the folders in it) and exports what comes, by `template`.

    In all texts of the template ``{path}`` stands for the video, ``{name}`` for its name and
    ``{stem}`` for that without the suffix. Other paths are relative to the present folder, as in
    `Client.submit`.
    """

    def __init__(
        self,
        client: Client,
        folder: Path,
        template: dict[str, Any],
        *,
        settle: float = 3.0,
        say: Callable[[str], None] = log.info,
        memory: Path | None = None,
    ) -> None:
        """A file is finished when it has not changed for `settle` seconds. `memory` is the file
        that remembers what was queued, by default one in Jupyter's data folder.

        Raises:
            SpecError: the folder or the template cannot be used.
        """
        self._client = client
        self._folder = Path(os.path.realpath(folder))
        self._template = template
        self._settle = settle
        self._say = say
        self._seen: dict[str, _Seen] = {}
        self._refused: set[str] = set()
        self._check()
        text = json.dumps(template, sort_keys=True)
        self._digest = hashlib.sha256(text.encode()).hexdigest()
        place = hashlib.sha256(f"{client.url}\n{self._folder}\n{text}".encode()).hexdigest()
        default = Path(jupyter_data_dir(), "jupyter_export", "inboxes", f"{place[:32]}.json")
        self._memory = default if memory is None else memory
        self._done = self._remembered()

    def run(self, *, once: bool = False) -> None:
        """Watch for ever; `once`: until all that is there now is queued or refused."""
        pause, most = WAIT_SECONDS
        while True:
            try:
                waiting = self.look()
                pause = WAIT_SECONDS[0]
            except (ServerUnreachable, QueueBusy) as error:
                self._say(f"{error} Asking again in {pause:g} s.")
                time.sleep(pause)
                pause = min(most, 2 * pause)
                continue
            if once and not waiting:
                return
            time.sleep(LOOK_SECONDS)

    def look(self) -> int:
        """Queue what has come; gives how many files are not finished yet, or have to wait.

        Raises:
            ServerUnreachable, QueueBusy: nothing can be queued now.
        """
        waiting = 0
        found = dict(self._files())
        self._seen = found
        for name, seen in sorted(found.items()):
            key = self._key(name, seen)
            if key in self._done or key in self._refused:
                continue
            if not self._settled(seen):
                waiting += 1
                continue
            try:
                job = self._client.submit(self._spec(name), allow_duplicate=True, key=key)
            except OutputInUse:
                waiting += 1  # an export of an earlier version of the file, most likely
            except (ServerUnreachable, QueueBusy):
                raise
            except ExportError as error:
                # Until the file changes: the same again would be refused again.
                self._refused.add(key)
                self._say(f"{name}: {error}")
            else:
                self._say(f"{name}: {job.id} {job.output}")
                self._remember(key, job.id)
        return waiting

    def _files(self) -> Iterator[tuple[str, _Seen]]:
        now = time.monotonic()
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or not _is_video(entry):
                        continue
                    info = entry.stat()
                    before = self._seen.get(entry.name)
                    same = before is not None and (before.size, before.mtime_ns) == (
                        info.st_size,
                        info.st_mtime_ns,
                    )
                    since = before.since if same and before is not None else now
                    yield entry.name, _Seen(info.st_size, info.st_mtime_ns, since)
        except OSError as error:
            log.warning("folder=%s cannot be read now: %s", self._folder, error)

    def _settled(self, seen: _Seen) -> bool:
        # What was copied or moved here keeps its old time and is whole, or is still being written
        # and has a new one. Where clocks differ, only waiting tells.
        age = time.time() - seen.mtime_ns / 1e9
        return seen.size > 0 and max(age, time.monotonic() - seen.since) >= self._settle

    def _key(self, name: str, seen: _Seen) -> str:
        text = f"{self._folder / name}\n{seen.size}\n{seen.mtime_ns}\n{self._digest}"
        return f"inbox-{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:40]}"

    def _spec(self, name: str) -> dict[str, Any]:
        path = str(self._folder / name)
        words = {"{path}": path, "{name}": name, "{stem}": PurePosixPath(name).stem}
        spec: dict[str, Any] = _filled(self._template, words)
        return spec

    def _check(self) -> None:
        if not self._folder.is_dir():
            raise SpecError(f"There is no folder {str(self._folder)!r}.", "Create it first.")
        sources = self._template.get("sources")
        paths = [s.get("path") for s in sources or () if isinstance(s, dict)]
        if not any("{path}" in str(path) for path in paths):
            raise SpecError(
                "No source of the template stands for the new video.",
                'Give one the path "{path}".',
                field="sources[0].path",
            )
        output = str(self._template.get("output", ""))
        if "{stem}" not in output and "{name}" not in output:
            raise SpecError(
                f"All exports would be written to {output!r}.",
                'Put "{stem}" into the output, as in "exports/{stem}.mp4".',
                field="output",
            )
        if Path(os.path.realpath(output)).parent == self._folder:
            raise SpecError(
                "The exports would be written into the folder that is watched, and exported again.",
                "Choose another folder for the output.",
                field="output",
            )

    def _remembered(self) -> dict[str, str]:
        try:
            done = json.loads(self._memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return done if isinstance(done, dict) else {}

    def _remember(self, key: str, job: str) -> None:
        self._done[key] = job
        draft = self._memory.with_suffix(".part")
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(self._done), encoding="utf-8")
            draft.replace(self._memory)
        except OSError as error:
            # The server's store remembers it, too.
            log.warning("memory=%s cannot be written: %s", self._memory, error)


def _is_video(entry: os.DirEntry[str]) -> bool:
    return Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file()


def _filled(value: Any, words: dict[str, str]) -> Any:
    if isinstance(value, str):
        # In one pass: a file can have such a word in its name.
        return re.sub("|".join(map(re.escape, words)), lambda match: words[match[0]], value)
    if isinstance(value, dict):
        return {name: _filled(item, words) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, words) for item in value]
    return value
