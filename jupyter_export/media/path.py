"""Values that move along keyframes: a Catmull-Rom spline in time, or straight lines."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Path"]


@dataclass(frozen=True)
class Path:
    """Points of `n` components at growing times; before the first and after the last it rests.

    Between the points i and i+1 the spline is the cubic Hermite curve with the tangents of
    Catmull and Rom (1974) for uneven times, m_i = (p_{i+1} − p_{i−1}) / (t_{i+1} − t_{i−1}).
    It is clamped at the ends: an end point stands in for its missing neighbour, so that two
    keyframes give uniform motion.
    """

    times: tuple[float, ...]
    """Seconds, growing."""
    points: tuple[tuple[float, ...], ...]
    interpolation: Literal["spline", "linear"] = "spline"

    def at(self, time: float) -> tuple[float, ...]:
        """The value at `time`, in seconds."""
        if time <= self.times[0]:
            return self.points[0]
        if time >= self.times[-1]:
            return self.points[-1]
        i = bisect_right(self.times, time) - 1
        length = self.times[i + 1] - self.times[i]
        u = (time - self.times[i]) / length
        before, after = self.points[i], self.points[i + 1]
        if self.interpolation == "linear":
            return tuple(a + (b - a) * u for a, b in zip(before, after, strict=True))
        h00 = (1 + 2 * u) * (1 - u) ** 2
        h10 = u * (1 - u) ** 2
        h01 = u * u * (3 - 2 * u)
        h11 = u * u * (u - 1)
        return tuple(
            h00 * a + h10 * length * m + h01 * b + h11 * length * n
            for a, b, m, n in zip(
                before, after, self._tangent(i), self._tangent(i + 1), strict=True
            )
        )

    def between(self, start: float, end: float) -> Path:
        """The part of the path that decides its values from `start` to `end`."""
        first = max(0, bisect_right(self.times, start) - 2)
        last = min(len(self.times), bisect_right(self.times, end) + 2)
        return Path(self.times[first:last], self.points[first:last], self.interpolation)

    def to_json(self) -> dict[str, Any]:
        """For a recipe; `from_json` reads it."""
        return {
            "times": self.times,
            "points": self.points,
            "interpolation": self.interpolation,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Path:
        """What `to_json` gave; further keys are left alone."""
        return cls(
            tuple(value["times"]), tuple(map(tuple, value["points"])), value["interpolation"]
        )

    def _tangent(self, i: int) -> Sequence[float]:
        a, b = max(0, i - 1), min(len(self.points) - 1, i + 1)
        span = self.times[b] - self.times[a]
        return [(q - p) / span for p, q in zip(self.points[a], self.points[b], strict=True)]
