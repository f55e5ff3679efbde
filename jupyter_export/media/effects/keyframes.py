"""Keyframed values in the parameters of a step: the part of a path that a range needs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from operator import attrgetter
from typing import Any

from ..path import Path

__all__ = ["Keyed", "clipped_span", "in_span"]

# Frame times are fractions, times of a spec are decimal: 0.1 s may lie a hair after frame 3.
_EPSILON = 1e-6


def clipped_span(start: float, end: float | None) -> tuple[float, float]:
    """An effect's ``[start, end)``; None is the end of time."""
    return start, inf if end is None else end


def in_span(time: float, start: float | None, end: float | None) -> bool:
    """Whether `time` is in ``[start, end)``, to a microsecond."""
    after = start is None or time >= start - _EPSILON
    return after and (end is None or time < end - _EPSILON)


@dataclass(frozen=True)
class Keyed:
    """A path, and when it starts and ends to show; None where it does so all the time."""

    path: Path
    start: float | None
    end: float | None

    @classmethod
    def within(
        cls,
        keyframes: Sequence[Any],
        point: Callable[[Any], tuple[float, ...]],
        effect: Any,
        first: float,
        stop: float,
    ) -> Keyed | None:
        """What matters in ``[first, stop)`` of an effect with start, end and interpolation.

        `point` gives the values of a keyframe. None if the effect does not show in the range.
        """
        start, end = effect.start, effect.end
        if start >= stop - _EPSILON or (end is not None and end <= first + _EPSILON):
            return None
        begins = None if start <= first else start
        ends = None if end is None or end >= stop else end
        # The part of the path that decides it, as `Path.between`; long ones are not built whole.
        by_time = attrgetter("time")
        low = bisect_right(keyframes, max(start, first), key=by_time) - 2
        high = bisect_right(keyframes, stop if ends is None else ends, key=by_time) + 2
        part = keyframes[max(0, low) : high]
        points = tuple(map(point, part))
        times = tuple(key.time for key in part)
        if all(other == points[0] for other in points):
            times, points = (0.0,), points[:1]
        return cls(Path(times, points, effect.interpolation), begins, ends)

    def params(self) -> dict[str, Any]:
        """As JSON."""
        return {"start": self.start, "end": self.end, **self.path.to_json()}

    @classmethod
    def of(cls, params: dict[str, Any]) -> Keyed:
        """Back from `params`."""
        return cls(Path.from_json(params), params["start"], params["end"])

    def at(self, time: float) -> tuple[float, ...]:
        """The values at `time`, in seconds."""
        return self.path.at(time)

    def always(self, holds: Callable[[tuple[float, ...]], bool]) -> bool:
        """Whether it holds at all keyframes."""
        return all(holds(point) for point in self.path.points)

    def ever(self, holds: Callable[[tuple[float, ...]], bool]) -> bool:
        """Whether it holds at any keyframe."""
        return any(holds(point) for point in self.path.points)
