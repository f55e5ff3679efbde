"""The queue at one moment: what a feed begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..job import Job, State
from .choice import Place
from .damage import notice
from .line import Chooser
from .store import Store

__all__ = ["Snapshot", "count", "take"]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The live jobs and the latest finished ones, as they were after the event `seq`."""

    seq: int
    jobs: tuple[Job, ...]
    """The live ones, oldest first, then the finished ones, the latest first."""
    places: Mapping[str, Place]
    """Of the queued jobs, by id."""
    queue: dict[str, Any]
    """As `count` gives it."""


def take(store: Store, choose: Chooser, limit: int, finished: int) -> Snapshot:
    """What the store holds now, with at most `finished` finished jobs; `limit` jobs may run."""
    with store.at_one_moment():
        seq = store.last_seq()
        queue = store.queue_state()
        entries = store.entries()
        jobs = (*store.active(), *store.latest_finished(finished))
    return Snapshot(
        seq=seq,
        jobs=jobs,
        places=choose(entries, datetime.now(UTC), queue=queue).places,
        queue=_counted(store, [entry.state for entry in entries], queue.value, limit),
    )


def count(store: Store, limit: int) -> dict[str, Any]:
    """``{state, running, queued, limit, notice}``; state is running, paused or draining."""
    states = [entry.state for entry in store.entries()]
    return _counted(store, states, store.queue_state().value, limit)


def _counted(store: Store, states: list[State], state: str, limit: int) -> dict[str, Any]:
    queued = states.count(State.QUEUED)
    return {
        "state": state,
        "running": len(states) - queued,
        "queued": queued,
        "limit": limit,
        "notice": notice(store.path),
    }
