"""The files of an export inside a worker: looked at once, kept open between segments."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ..errors import SourceUnreadable
from ..media.cache import Damage
from ..media.facts import FrameTimes, SourceFacts
from ..media.index import frame_times
from ..media.probe import probe
from ..media.reader import Reader
from ..media.timeline import Taken
from ..paths import resolve_source
from ..spec import ExportSpec, Source

__all__ = [
    "Looks",
    "Readers",
    "careful_readers",
    "check_unchanged",
    "damage_in_words",
    "damage_of",
    "look_at",
]

SeenT = TypeVar("SeenT")


class Looks:
    """What was seen of files and of ranges of them, the latest `size` of each, for who looks again
    and again; a file that has changed is looked at anew."""

    def __init__(self, size: int = 8) -> None:
        self._size = size
        self._facts: OrderedDict[tuple[Any, ...], SourceFacts] = OrderedDict()
        self._times: OrderedDict[tuple[Any, ...], FrameTimes] = OrderedDict()

    def facts(self, params: dict[str, Any], source: Source, field: str) -> SourceFacts:
        """Of the file that `source` takes a range of; raises as `look_at` does."""
        path = _path(params, source, field)
        tracks = {"video_track": source.video_track, "audio_track": source.audio_track}
        key = path, *tracks.values()
        if key in self._facts:
            with contextlib.suppress(SourceUnreadable):
                check_unchanged([self._facts[key]])
                return self._kept(self._facts, key)
        self._facts[key] = probe(path, **tracks, field=field)
        return self._kept(self._facts, key)

    def times(
        self, facts: SourceFacts, source: Source, only: float | None, field: str
    ) -> FrameTimes:
        """Of the range that `source` takes; raises as `look_at` does."""
        key = facts, source.start, source.end, only
        if key not in self._times:
            self._times[key] = frame_times(facts, source.start, source.end, only=only, field=field)
        return self._kept(self._times, key)

    def _kept(self, store: OrderedDict[tuple[Any, ...], SeenT], key: tuple[Any, ...]) -> SeenT:
        store.move_to_end(key)
        while len(store) > self._size:
            store.popitem(last=False)
        return store[key]


def look_at(
    params: dict[str, Any],
    spec: ExportSpec,
    *,
    only: float | None = None,
    looks: Looks | None = None,
) -> tuple[list[SourceFacts], list[Taken]]:
    """The files of `spec` (``{root, allow_hidden}`` in `params`), and the ranges it takes of them;
    of each range no more than its first `only` seconds, if given.

    Raises:
        SourceMissing, SourceUnreadable, PathError, SpecError: a file or a range cannot be used.
    """
    looks = Looks(1) if looks is None else looks
    facts: list[SourceFacts] = []
    indices: dict[tuple[Path, int | None, int | None], int] = {}
    taken = []
    for field, source in spec.every_source():
        key = _path(params, source, field), source.video_track, source.audio_track
        if key not in indices:
            indices[key] = len(facts)
            facts.append(looks.facts(params, source, field))
        index = indices[key]
        times = looks.times(facts[index], source, only, field)
        taken.append(Taken(field, source, index, facts[index], times))
    return facts, taken


def _path(params: dict[str, Any], source: Source, field: str) -> Path:
    return resolve_source(
        Path(params["root"]),
        source.path,
        allow_hidden=params.get("allow_hidden", False),
        field=f"{field}.path",
    )


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


def damage_of(readers: Sequence[Reader]) -> tuple[Damage, ...]:
    """Which frames the `readers` had to conceal."""
    return tuple(
        Damage(number, len(reader.damaged), min(reader.damaged), max(reader.damaged))
        for number, reader in enumerate(readers)
        if reader.damaged
    )


def damage_in_words(sources: Sequence[SourceFacts], found: Sequence[Damage]) -> list[str]:
    """What the job is told of it."""
    notes = []
    for one in found:
        source = sources[one.source]
        base = source.video.time_base
        first, last = (float((pts - source.origin) * base) for pts in (one.first, one.last))
        several = one.frames > 1
        what = f"{one.frames} damaged frames between" if several else "A damaged frame at"
        where = f"{first:.2f} s and {last:.2f} s" if several else f"{first:.2f} s"
        were = "were" if several else "was"
        notes.append(f"{what} {where} of {Path(source.path).name} {were} concealed.")
    return notes


@contextlib.contextmanager
def careful_readers(sources: Sequence[SourceFacts]) -> Iterator[list[Reader]]:
    """Readers that make the same of damage every time."""
    with contextlib.ExitStack() as stack:
        readers = []
        for source in sources:
            readers.append(Reader(Path(source.path), source.video.index, threads=False))
            stack.callback(readers[-1].close)
        yield readers


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
