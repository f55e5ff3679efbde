"""The line of waiting jobs: the scheduler's choice over the store, remembered until it changes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from ..hardware.room import Room
from ..settings import Settings
from .choice import Decision, Entry, QueueState, choose
from .database import Database
from .reservations import Reservations
from .retry import waits
from .store import Store

__all__ = ["Chooser", "Line"]

Chooser = Callable[..., Decision]
"""`choose`, with all that is known but the jobs, the time and the state of the queue."""

#: What is left of the GPUs is looked at again after this long.
ROOM_SECONDS = 0.2
#: Free memory that changes by less than this is decided upon after so many seconds only.
ROUGH_MIB = 64
ROUGH_SECONDS = 2.0


@dataclass(frozen=True)
class _Known:
    """A decision, and what it holds for."""

    seq: int
    limit: int
    room: tuple[tuple[int | str, ...], ...]
    at: float
    decision: Decision

    def late(self) -> bool:
        """Whether time alone has changed it."""
        at, now = self.decision.wake_at, datetime.now(UTC)
        aged = self.decision.gpus_matter and time.monotonic() - self.at > ROUGH_SECONDS
        return aged or (at is not None and not waits(at, now))


class Line:
    """What starts next, and what each job waits for; one for scheduler and REST."""

    def __init__(self, database: Database, settings: Settings, reservations: Reservations) -> None:
        self._database = database
        self._settings = settings
        self._reservations = reservations
        self._known: dict[bool, _Known] = {}
        """The last decisions, with what was refused (False) and afresh (True)."""
        self._room: Room | None = None
        self._room_at = float("-inf")
        self._looking: asyncio.Task[Room] | None = None
        self._passed: Counter[str] = Counter()
        self._refused: dict[str, str] = {}
        self._version = 0
        """Changes with all that a decision rests on, but the store and the GPUs."""

    async def decide(self, *, afresh: bool = False) -> Decision:
        """The decision as of now; `afresh`, also jobs that were refused may start."""
        limit = self._settings.max_concurrent_exports
        known = self._known.get(afresh)
        if known is not None:
            if known.decision.gpus_matter:
                await self._look()
            same = (known.seq, known.limit) == (self._database.last_seq, limit)
            if same and known.room == _rough(self._room) and not known.late():
                return known.decision
        refused = {} if afresh else self._refused
        version, room = self._version, self._room
        seq, decision = await self._decided(refused)
        if decision.gpus_matter:
            await self._look()
            if self._room is not room:
                room = self._room
                seq, decision = await self._decided(refused)
        if version == self._version:
            self._known[afresh] = _Known(seq, limit, _rough(room), time.monotonic(), decision)
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
        self.changed()

    def refuse(self, refused: Mapping[str, str]) -> None:
        """These could not start when it was tried, for these reasons."""
        if refused != self._refused:
            self._refused = dict(refused)
            self._version += 1
            self._known.pop(False, None)

    def changed(self) -> None:
        """A setting has changed: decide anew."""
        self._version += 1
        self._known.clear()
        self._room_at = float("-inf")

    def forget(self, live: Iterable[str]) -> None:
        """Only these jobs are still in the line."""
        self._passed = Counter({id: self._passed[id] for id in live if self._passed[id]})

    async def _decided(self, refused: Mapping[str, str]) -> tuple[int, Decision]:
        # In the store's thread: ten thousand waiting jobs must not hold up the event loop.
        return await self._database.call(_decide, self.chooser(refused))

    async def _look(self) -> None:
        """Look at the GPUs, unless that was just done; those who come together share one look."""
        if time.monotonic() - self._room_at <= ROOM_SECONDS:
            return
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._reservations.room())
        self._room = await asyncio.shield(self._looking)
        self._room_at = time.monotonic()


def _rough(room: Room | None) -> tuple[tuple[int | str, ...], ...]:
    """What is left of the GPUs, but for some MiB: to decide anew for each would be costly."""
    return tuple(
        (space.id, space.free_mib // ROUGH_MIB, space.places, space.sessions, space.leases)
        for space in (room.spaces if room is not None else ())
    )


def _decide(store: Store, choose: Chooser) -> tuple[int, Decision]:
    seq = store.last_seq()
    queue: QueueState = store.queue_state()
    return seq, choose(store.entries(), datetime.now(UTC), queue=queue)
