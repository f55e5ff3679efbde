"""The line of waiting jobs: the scheduler's choice over the store, remembered until it changes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial

from ..hardware.room import Room
from ..settings import Settings
from .choice import Decision, Entry, QueueState, choose
from .database import Database
from .reservations import Reservations
from .store import Store

__all__ = ["Chooser", "Line"]

Chooser = Callable[..., Decision]
"""`choose`, with all that is known but the jobs, the time and the state of the queue."""

#: What is left of the GPUs is looked at again after this long.
ROOM_SECONDS = 0.2


class Line:
    """What starts next, and what each job waits for; one for scheduler and REST."""

    def __init__(self, database: Database, settings: Settings, reservations: Reservations) -> None:
        self._database = database
        self._settings = settings
        self._reservations = reservations
        self._known: tuple[int, int, Decision] | None = None
        """Last event, limit, and what was decided then."""
        self._room: Room | None = None
        self._room_at = float("-inf")
        self._looking: asyncio.Task[Room] | None = None
        self._passed: Counter[str] = Counter()
        self._refused: dict[str, str] = {}

    async def decide(self, *, afresh: bool = False) -> Decision:
        """The decision as of now; `afresh`, also jobs that were refused may start."""
        limit = self._settings.max_concurrent_exports
        if self._known is not None and not afresh:
            seq, then_limit, decision = self._known
            late = decision.wake_at is not None and decision.wake_at <= datetime.now(UTC)
            late = late or (decision.gpus_matter and self._room_is_old())
            if (seq, then_limit) == (self._database.last_seq, limit) and not late:
                return decision
        refused = {} if afresh else self._refused
        decision = await self._decided(limit, refused)
        if decision.gpus_matter and (afresh or self._room_is_old()):
            await self._look()
            decision = await self._decided(limit, refused)
        return decision

    def chooser(self, refused: Mapping[str, str] | None = None) -> Chooser:
        """How to choose, as of the last decision."""
        return partial(
            choose,
            limit=self._settings.max_concurrent_exports,
            room=self._room,
            passed=dict(self._passed),
            refused=dict(self._refused if refused is None else refused),
        )

    def started(self, entry: Entry, before: Iterable[str]) -> None:
        """A GPU job has started before others that wait."""
        self._passed.pop(entry.id, None)
        self._passed.update(before)
        self._room_at = float("-inf")

    def refuse(self, refused: Mapping[str, str]) -> None:
        """These could not start when it was tried, for these reasons."""
        if refused != self._refused:
            self._refused = dict(refused)
            self._known = None

    def changed(self) -> None:
        """A setting has changed: decide anew."""
        self._known = None
        self._room_at = float("-inf")

    def forget(self, live: Iterable[str]) -> None:
        """Only these jobs are still in the line."""
        self._passed = Counter({id: self._passed[id] for id in live if self._passed[id]})

    async def _decided(self, limit: int, refused: Mapping[str, str]) -> Decision:
        # In the store's thread: ten thousand waiting jobs must not hold up the event loop.
        seq, decision = await self._database.call(_decide, self.chooser(refused))
        self._known = (seq, limit, decision) if refused == self._refused else None
        return decision

    def _room_is_old(self) -> bool:
        return time.monotonic() - self._room_at > ROOM_SECONDS

    async def _look(self) -> None:
        """Look at the GPUs; those who come together share one look."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._reservations.room())
        self._room = await asyncio.shield(self._looking)
        self._room_at = time.monotonic()


def _decide(store: Store, choose: Chooser) -> tuple[int, Decision]:
    seq = store.last_seq()
    queue: QueueState = store.queue_state()
    return seq, choose(store.entries(), datetime.now(UTC), queue=queue)
