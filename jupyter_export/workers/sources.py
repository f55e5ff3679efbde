"""The files of an export inside a worker: looked at once, kept open between segments."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import SourceUnreadable
from ..media.facts import SourceFacts
from ..media.index import frame_times
from ..media.probe import probe
from ..media.reader import Reader
from ..media.timeline import Taken
from ..paths import resolve_source
from ..spec import ExportSpec

__all__ = ["Readers", "check_unchanged", "damage", "look_at"]


def look_at(
    params: dict[str, Any], spec: ExportSpec, *, only: float | None = None
) -> tuple[list[SourceFacts], list[Taken]]:
    """The files of `spec` (``{root, allow_hidden}`` in `params`), and the ranges it takes of them;
    of each range no more than its first `only` seconds, if given.

    Raises:
        SourceMissing, SourceUnreadable, PathError, SpecError: a file or a range cannot be used.
    """
    facts: list[SourceFacts] = []
    indices: dict[tuple[Path, int | None, int | None], int] = {}
    taken = []
    for field, source in spec.every_source():
        path = resolve_source(
            Path(params["root"]),
            source.path,
            allow_hidden=params.get("allow_hidden", False),
            field=f"{field}.path",
        )
        video, audio = source.video_track, source.audio_track
        key = path, video, audio
        if key not in indices:
            indices[key] = len(facts)
            facts.append(probe(path, video_track=video, audio_track=audio, field=field))
        index = indices[key]
        times = frame_times(facts[index], source.start, source.end, only=only, field=field)
        taken.append(Taken(field, source, index, facts[index], times))
    return facts, taken


def check_unchanged(sources: Sequence[SourceFacts]) -> None:
    """Refuse to mix two versions of a file in one export.

    Raises:
        SourceUnreadable: one of them is not as it was when the export was planned.
    """
    for source in sources:
        path = Path(source.path)
        try:
            info = path.stat()
            same = (info.st_size, info.st_mtime_ns) == (
                source.fingerprint.size,
                source.fingerprint.mtime_ns,
            )
        except OSError:
            same = False
        if not same:
            raise SourceUnreadable(
                f"{path.name!r} was changed or removed while it was being exported.",
                "Wait until nothing writes it, then retry.",
            )


def damage(sources: Sequence[SourceFacts], readers: Sequence[Reader]) -> list[str]:
    """Which frames of `sources` the `readers` had to conceal, in words."""
    notes = []
    for source, reader in zip(sources, readers, strict=True):
        if not reader.damaged:
            continue
        base = source.video.time_base
        first, last = (
            float((pts - source.origin) * base)
            for pts in (min(reader.damaged), max(reader.damaged))
        )
        count = len(reader.damaged)
        what = f"{count} damaged frames between" if count > 1 else "A damaged frame at"
        where = f"{first:.2f} s and {last:.2f} s" if count > 1 else f"{first:.2f} s"
        were = "were" if count > 1 else "was"
        notes.append(f"{what} {where} of {Path(source.path).name} {were} concealed.")
    return notes


class Readers:
    """The readers of the last segment: the next one of the same sources goes on from there."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, str, str, int], Reader] = {}

    @contextlib.contextmanager
    def of(self, sources: Sequence[SourceFacts]) -> Iterator[list[Reader]]:
        """One reader for each of `sources`, which may name a file twice."""
        keys = [
            (i, s.path, s.fingerprint.model_dump_json(), s.video.index)
            for i, s in enumerate(sources)
        ]
        kept = {key: self._open.pop(key) for key in keys if key in self._open}
        self.close()
        try:
            for key, source in zip(keys, sources, strict=True):
                if key not in kept:
                    kept[key] = Reader(Path(source.path), source.video.index)
            yield [kept[key] for key in keys]
        except BaseException:
            for reader in kept.values():
                reader.close()  # where it stands is unknown
            raise
        self._open = kept

    def close(self) -> None:
        """Close all files."""
        for reader in self._open.values():
            reader.close()
        self._open.clear()
