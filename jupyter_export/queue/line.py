"""The line of waiting jobs: the scheduler's choice over the store, remembered until it changes."""

from __future__ import annotations

from datetime import UTC, datetime

from ..settings import Settings
from .choice import Decision, QueueState, choose
from .database import Database
from .store import Store

__all__ = ["Line"]


class Line:
    """What starts next, and what each job waits for; one for scheduler and REST."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._known: tuple[int, int, Decision] | None = None
        """Last event, limit, and what was decided then."""

    async def decide(self) -> Decision:
        """The decision as of now."""
        limit = self._settings.max_concurrent_exports
        if self._known is not None:
            seq, then_limit, decision = self._known
            late = decision.wake_at is not None and decision.wake_at <= datetime.now(UTC)
            if (seq, then_limit) == (self._database.last_seq, limit) and not late:
                return decision
        # In the store's thread: ten thousand waiting jobs must not hold up the event loop.
        seq, decision = await self._database.call(_decide, limit)
        self._known = (seq, limit, decision)
        return decision


def _decide(store: Store, limit: int) -> tuple[int, Decision]:
    seq = store.last_seq()
    queue: QueueState = store.queue_state()
    return seq, choose(store.entries(), datetime.now(UTC), limit=limit, queue=queue)
