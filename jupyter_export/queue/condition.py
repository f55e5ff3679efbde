"""How the queue of one server is: for its health, its metrics and its feed."""

from __future__ import annotations

from typing import Any

from .commands import Commands
from .database import Database
from .reservations import Reservations
from .scheduler import Scheduler
from .store import Store

__all__ = ["Condition"]


class Condition(Commands):
    """The part of `Exports` that tells how it is itself."""

    reservations: Reservations
    _database: Database
    _scheduler: Scheduler

    @property
    def epoch(self) -> str:
        """Names the store: event numbers of another one mean nothing."""
        return self._database.epoch

    @property
    def seq(self) -> int:
        """The number of the latest event that was announced."""
        return self._database.last_seq

    @property
    def journal_mode(self) -> str:
        """How SQLite keeps the changes of the store: wal or delete."""
        return self._database.journal_mode

    @property
    def leading(self) -> bool:
        """Whether this server starts the jobs of its store."""
        return self._scheduler.leading

    @property
    def trouble(self) -> str:
        """Why the scheduler could not work when it last tried to; empty: it could."""
        return self._scheduler.trouble

    async def health(self) -> dict[str, Any]:
        """``{leading, epoch, seq, journal_mode, filesystem, queue, leases}``."""
        return {
            "leading": self.leading,
            "epoch": self.epoch,
            "seq": self.seq,
            "journal_mode": self.journal_mode,
            "filesystem": self._database.filesystem or None,
            "queue": await self.queue_state(),
            "leases": self.reservations.to_json(),
        }

    async def try_store(self) -> None:
        """See whether the store could be written now.

        Raises:
            QueueError, OutputError: it could not; the reason is given.
        """
        await self._database.call(Store.try_writing)
