"""Which queued jobs start now, and what each of the others waits for: a pure function.

The order is priority (higher first), then the project with the fewest running exports, then age.
Jobs without a project share as one project.

Jobs that use a GPU and jobs that do not have places of their own, so that neither kind holds up
the other. A GPU job that waits for more than is free lets later ones go first that need less, but
only `MAX_PASSES` times; then it is kept free for it.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from ..hardware.needs import Need
from ..hardware.room import Room, Space
from ..job import State
from .retry import waits

__all__ = ["MAX_PASSES", "Decision", "Entry", "Place", "QueueState", "choose"]

MAX_PASSES = 8
"""How often a waiting GPU job is passed by later ones that need less."""


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
    need: Need = field(default_factory=Need)
    """What it needs of a GPU, as far as that is known."""


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
    passes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Of the jobs in `start` those that go before waiting ones: the ids of these."""
    first_waiting: Entry | None = None
    """The GPU job that is next of those that wait for more of a GPU than is free."""
    gpus_matter: bool = False
    """Jobs that use a GPU are in the line: another `room` can change the decision."""


def choose(
    entries: Iterable[Entry],
    now: datetime,
    *,
    limit: int,
    queue: QueueState = QueueState.RUNNING,
    room: Room | None = None,
    passed: Mapping[str, int] | None = None,
    refused: Mapping[str, str] | None = None,
) -> Decision:
    """Decide about all live jobs.

    At most `limit` run at once of those that use no GPU; those that do run as `room` allows (None:
    nothing is known of the GPUs, none starts). `passed` counts how often each job was passed.
    `refused` are GPU jobs that cannot start now for a reason that `room` does not show.
    """
    entries = list(entries)
    busy = [entry for entry in entries if entry.state is not State.QUEUED]
    waiting = [entry for entry in entries if entry.state is State.QUEUED]
    paused = [e for e in waiting if e.paused or e.cancel_requested]
    present = [e for e in waiting if not (e.paused or e.cancel_requested)]
    later = sorted(
        (e for e in present if waits(e.not_before, now)),
        key=lambda e: (e.not_before or now, e.number),
    )
    ready = _line([e for e in present if not waits(e.not_before, now)], busy)

    starts = _Starts(sum(not entry.need.gpu for entry in busy), limit, room, passed or {})
    places = {e.id: Place(position=None, waiting_for="somebody to resume it") for e in paused}
    for position, entry in enumerate([*ready, *later], start=1):
        if queue is QueueState.PAUSED:
            reason = "the queue, which is paused"
        elif queue is QueueState.DRAINING:
            reason = "the queue, which is draining and starts nothing"
        elif entry.not_before is not None and waits(entry.not_before, now):
            at = entry.not_before.astimezone(UTC)
            reason = f"its next try at {at:%H:%M:%S} UTC"
        else:
            why = starts.consider(entry, (refused or {}).get(entry.id, ""))
            reason = why or "its start, which is due"
        places[entry.id] = Place(position=position, waiting_for=reason)
    return Decision(
        start=tuple(starts.chosen),
        places=places,
        wake_at=later[0].not_before if later else None,
        passes=starts.passes,
        first_waiting=starts.waiting[0] if starts.waiting else None,
        gpus_matter=any(entry.need.gpu for entry in ready),
    )


class _Starts:
    """Goes along the line and fills what is free."""

    def __init__(
        self, running: int, limit: int, room: Room | None, passed: Mapping[str, int]
    ) -> None:
        self.chosen: list[Entry] = []
        self.passes: dict[str, tuple[str, ...]] = {}
        self.waiting: list[Entry] = []
        """GPU jobs that do not fit now."""
        self._running = running
        self._limit = limit
        self._free = max(0, limit - running)
        self._ahead = 0
        self._room = room
        self._passed = Counter(passed)
        self._kept_for: Entry | None = None
        self._answers: dict[Need, tuple[Space | None, str]] = {}
        """For each need, as long as `room` stays as it is: thousands can need the same."""

    def consider(self, entry: Entry, refusal: str) -> str:
        """Let it start, or tell what it waits for."""
        if entry.need.gpu:
            return self._gpu(entry, refusal)
        if self._free:
            self._free -= 1
            self.chosen.append(entry)
            return ""
        reason = f"a free place: {self._running} of {self._limit} run"
        if self._ahead:
            reason += f", {self._ahead} more before it"
        self._ahead += 1
        return reason

    def _gpu(self, entry: Entry, refusal: str) -> str:
        room, kept_for = self._room, self._kept_for
        if room is None:
            return "the GPUs to be looked at"
        if kept_for is not None:
            return f"job {kept_for.id}, which {MAX_PASSES} later ones have passed already"
        space, reason = (None, refusal) if refusal else self._ask(room, entry.need)
        if space is None:
            self.waiting.append(entry)
            self._keep_for(entry, room)
            return reason
        self._room = room.without(entry.need, space)
        self._answers.clear()
        self.chosen.append(entry)
        if self.waiting:
            self.passes[entry.id] = tuple(one.id for one in self.waiting)
            self._passed.update(self.passes[entry.id])
            for one in self.waiting:
                self._keep_for(one, room)
        return ""

    def _ask(self, room: Room, need: Need) -> tuple[Space | None, str]:
        if need not in self._answers:
            space = room.place(need)
            self._answers[need] = space, "" if space else room.refusal(need)
        return self._answers[need]

    def _keep_for(self, entry: Entry, room: Room) -> None:
        """Let nobody pass it any more if that was often enough.

        Where strangers have taken what it needs, keeping the rest free would not help it.
        """
        often = self._passed[entry.id] >= MAX_PASSES
        if self._kept_for is None and often and room.reachable(entry.need):
            self._kept_for = entry


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
