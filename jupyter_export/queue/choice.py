"""Which queued jobs start now, and what each of the others waits for: a pure function.

The order is priority (higher first), then the project with the fewest running exports, then age.
Jobs without a project share as one project.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from ..job import State

__all__ = ["Decision", "Entry", "Place", "QueueState", "choose"]


class QueueState(StrEnum):
    """What the queue as a whole does."""

    RUNNING = "running"
    """It starts jobs as places become free."""
    PAUSED = "paused"
    """It starts nothing, until somebody lets it go on."""
    DRAINING = "draining"
    """It finishes what runs and starts nothing, so that the server can be stopped."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the choice needs to know of a live job."""

    id: str
    number: int
    """Order of submission."""
    state: State = State.QUEUED
    project: str | None = None
    priority: int = 0
    attempt: int = 0
    paused: bool = False
    cancel_requested: bool = False
    not_before: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a queued job stands."""

    position: int | None
    """1 is next; None for a job that is not in the line, because it is paused."""
    waiting_for: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do now."""

    start: tuple[Entry, ...] = ()
    """To be started now, in this order."""
    places: dict[str, Place] = field(default_factory=dict)
    """Every queued job's place, by id; also of those in `start`."""
    wake_at: datetime | None = None
    """When time alone changes the decision."""


def choose(
    entries: Iterable[Entry],
    now: datetime,
    *,
    limit: int,
    queue: QueueState = QueueState.RUNNING,
) -> Decision:
    """Decide about all live jobs; at most `limit` run at once."""
    entries = list(entries)
    busy = [entry for entry in entries if entry.state is not State.QUEUED]
    waiting = [entry for entry in entries if entry.state is State.QUEUED]
    paused = [e for e in waiting if e.paused or e.cancel_requested]
    present = [e for e in waiting if not (e.paused or e.cancel_requested)]
    later = sorted(
        (e for e in present if e.not_before is not None and e.not_before > now),
        key=lambda e: (e.not_before or now, e.number),
    )
    ready = _line([e for e in present if e.not_before is None or e.not_before <= now], busy)

    free = max(0, limit - len(busy)) if queue is QueueState.RUNNING else 0
    places = {e.id: Place(position=None, waiting_for="somebody to resume it") for e in paused}
    for position, entry in enumerate([*ready, *later], start=1):
        if queue is QueueState.PAUSED:
            reason = "the queue, which is paused"
        elif queue is QueueState.DRAINING:
            reason = "the queue, which is draining and starts nothing"
        elif entry.not_before is not None and entry.not_before > now:
            at = entry.not_before.astimezone(UTC)
            reason = f"its next try at {at:%H:%M:%S} UTC"
        elif position <= free:
            reason = "its start, which is due"
        else:
            reason = _full(len(busy), limit, ahead=position - 1 - free)
        places[entry.id] = Place(position=position, waiting_for=reason)
    return Decision(
        start=tuple(ready[:free]),
        places=places,
        wake_at=later[0].not_before if later else None,
    )


def _full(running: int, limit: int, ahead: int) -> str:
    reason = f"a free place: {running} of {limit} run"
    return f"{reason}, {ahead} more before it" if ahead else reason


def _line(ready: Sequence[Entry], busy: Sequence[Entry]) -> list[Entry]:
    """The order in which `ready` would start if nothing ended meanwhile."""
    shares: Counter[str | None] = Counter(entry.project for entry in busy)
    by_priority: defaultdict[int, list[Entry]] = defaultdict(list)
    for entry in ready:
        by_priority[entry.priority].append(entry)
    line: list[Entry] = []
    for priority in sorted(by_priority, reverse=True):
        projects: defaultdict[str | None, deque[Entry]] = defaultdict(deque)
        for entry in sorted(by_priority[priority], key=lambda e: e.number):
            projects[entry.project].append(entry)
        # Fewest running first, then whose oldest job is older.
        heap = [(shares[name], jobs[0].number, name) for name, jobs in projects.items()]
        heapq.heapify(heap)
        while heap:
            _, _, name = heapq.heappop(heap)
            line.append(projects[name].popleft())
            shares[name] += 1
            if projects[name]:
                heapq.heappush(heap, (shares[name], projects[name][0].number, name))
    return line
