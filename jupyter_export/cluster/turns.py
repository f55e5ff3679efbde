"""Whose segment goes to the cluster next: so many at once, shared evenly between exports."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable

__all__ = ["Turns"]

#: So many segments set off at once, then for so long the event loop is left to everything else: a
#: large cluster takes thousands, and each costs the loop some milliseconds.
BATCH = 8
PAUSE_SECONDS = 0.01


class Turns:
    """A limit on what is under way; the export with the fewest segments under way goes next.

    `limit` is asked again whenever something ends, and by `look`. Lives in one event loop.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._active: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._batch = 0
        """How many places were given away since the last pause."""

    @property
    def active(self) -> int:
        """How many segments are under way."""
        return self._active.total()

    @contextlib.asynccontextmanager
    async def turn(self, job: str) -> AsyncIterator[None]:
        """Wait for a place for a segment of `job`, and have it meanwhile."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job, deque()).append(place)
        self.look()
        try:
            await place
        except asyncio.CancelledError:
            if not place.done() or place.cancelled():
                self._forget(job, place)
            else:
                self._end(job)
            raise
        try:
            yield
        finally:
            self._end(job)

    def look(self) -> None:
        """Give away the places that there are, in batches."""
        while self._waiting and self._batch < BATCH and self.active < self._limit():
            job = min(self._waiting, key=lambda job: self._active[job])
            place = self._waiting[job][0]
            self._forget(job, place)
            if not place.done():
                self._active[job] += 1
                place.set_result(None)
                if not self._batch:
                    asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._go_on)
                self._batch += 1

    def _go_on(self) -> None:
        self._batch = 0
        self.look()

    def _forget(self, job: str, place: asyncio.Future[None]) -> None:
        line = self._waiting.get(job, deque())
        with contextlib.suppress(ValueError):
            line.remove(place)
        if not line:
            self._waiting.pop(job, None)

    def _end(self, job: str) -> None:
        self._active[job] -= 1
        if not self._active[job]:
            del self._active[job]
        self.look()
