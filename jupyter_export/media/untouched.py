"""Which frames of a part of the timeline no edit touches, and which of these can be copied."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

from ..spec import ExportSpec
from .bitstream import Bitstream, Unit
from .effects import effect
from .timeline import Part

__all__ = ["stretches", "touched"]

#: A new keyframe costs more than copying so few frames saves.
_LEAST = 8


def stretches(
    spec: ExportSpec, part: Part, rate: Fraction | None, stream: Bitstream
) -> Iterator[tuple[int, int, bool]]:
    """``(first, stop, copied)`` in frames of `part`, all of them in order."""
    if part.mix is not None or len(part.clips) > 1:
        yield 0, part.count, False
        return
    begin, end = part.firsts[0], part.firsts[0] + part.count
    changed = [(i + begin, j + begin) for i, j in touched(spec, part, rate)]
    runs: list[tuple[int, int]] = []
    for unit in stream.units:
        stop = _copied_until(unit, begin, end, changed)
        if stop is None:
            continue
        if runs and runs[-1][1] == unit.start:
            runs[-1] = runs[-1][0], stop
        else:
            runs.append((unit.start, stop))
    at = begin
    for start, stop in runs:
        if stop - start < min(_LEAST, part.count):
            continue
        if at < start:
            yield at - begin, start - begin, False
        yield start - begin, stop - begin, True
        at = stop
    if at < end:
        yield at - begin, end - begin, False


def _copied_until(
    unit: Unit, begin: int, end: int, changed: Sequence[tuple[int, int]]
) -> int | None:
    """The frame before which a copy of `unit` ends; None where it cannot begin."""
    if not begin <= unit.start < end or any(i <= unit.start < j for i, j in changed):
        return None
    limit = min([end, *(i for i, _ in changed if i > unit.start)])
    k = bisect_right(unit.stops, limit)
    return unit.stops[k - 1] if k else None


def touched(spec: ExportSpec, part: Part, rate: Fraction | None) -> list[tuple[int, int]]:
    """``[first, stop)`` in frames of `part` in which an effect may change something."""
    clip, first = part.clips[0], part.firsts[0]

    def in_source(k: int) -> tuple[float, float]:
        start, end = clip.seconds(first + k, first + k + 1)
        return float(start), float(end)

    def in_output(k: int) -> tuple[float, float]:
        if rate is not None:
            return float((part.start + k) / rate), float((part.start + k + 1) / rate)
        zero, _ = clip.seconds(0, 1)
        start, end = clip.seconds(first + k, first + k + 1)
        return float(start - zero), float(end - zero)

    def begins(shown: Callable[[int], tuple[float, float]], k: int) -> float:
        return shown(k)[0]

    def ends(shown: Callable[[int], tuple[float, float]], k: int) -> float:
        return shown(k)[1]

    frames = range(part.count)
    found = []
    for effects, shown in ((clip.taken.spec.effects, in_source), (spec.effects, in_output)):
        every: Sequence[Any] = effects
        for entry in every:
            start, stop = effect(entry.type).span(entry)
            i = bisect_right(frames, start, key=partial(ends, shown))
            j = bisect_left(frames, stop, key=partial(begins, shown))
            if i < j:
                found.append((i, j))
    return found
