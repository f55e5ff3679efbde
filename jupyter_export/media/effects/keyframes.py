"""Keyframed values in the parameters of a step: the part of a path that a range needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
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
        cls, path: Path, start: float, end: float | None, first: float, stop: float
    ) -> Keyed | None:
        """What matters of ``[start, end)`` in the range ``[first, stop)``; None if nothing."""
        if start >= stop - _EPSILON or (end is not None and end <= first + _EPSILON):
            return None
        begins = None if start <= first else start
        ends = None if end is None or end >= stop else end
        part = path.between(max(start, first), stop if ends is None else ends)
        if all(point == part.points[0] for point in part.points):
            part = Path((0.0,), part.points[:1])
        return cls(part, begins, ends)

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
