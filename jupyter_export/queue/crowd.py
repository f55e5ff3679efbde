"""How many exports ran at a time, on average, while one did."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Crowd"]


class Crowd:
    """Counts those that are in it, over time. Lives in one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._inside = 0
        self._area = 0.0
        self._at = clock()

    def enter(self) -> Callable[[], float]:
        """One more is inside; what is returned takes it out again, and tells how many were
        inside meanwhile, on average, itself counted."""
        began, area = self._pass()
        self._inside += 1

        def leave() -> float:
            now, whole = self._pass()
            self._inside -= 1
            return (whole - area) / (now - began) if now > began else float(self._inside + 1)

        return leave

    def _pass(self) -> tuple[float, float]:
        now = self._clock()
        self._area += self._inside * (now - self._at)
        self._at = now
        return now, self._area
