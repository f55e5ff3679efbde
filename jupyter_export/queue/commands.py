"""What users ask of jobs and of the queue: each a call of the store, answered with JSON values."""

from __future__ import annotations

import builtins
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import DuplicateJob, ExportError, OutputInUse, SpecError
from ..job import State
from ..settings import Settings
from .choice import QueueState
from .database import Database
from .snapshot import count
from .store import Store
from .view import View

__all__ = ["Commands"]

_QUEUE_ACTIONS = {
    "pause": QueueState.PAUSED,
    "resume": QueueState.RUNNING,
    "drain": QueueState.DRAINING,
}


class Commands:
    """The part of `Exports` that reads and changes jobs."""

    settings: Settings
    _database: Database
    _view: View

    async def get(self, id: str) -> dict[str, Any]:
        """One job.

        Raises:
            JobNotFound: there is none.
        """
        return await self._view.one(await self._database.call(Store.get, id))

    async def list(
        self,
        state: State | None = None,
        project: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> builtins.list[dict[str, Any]]:
        """A page of jobs, newest first; `before` is the id of the last job of the page before."""
        return await self._view.all(
            await self._database.call(Store.list, state, project, before, limit)
        )

    async def active(self, project: str | None = None) -> builtins.list[dict[str, Any]]:
        """The live jobs, oldest first."""
        return await self._view.all(await self._database.call(Store.active, project))

    async def recent(
        self, hours: float = 24, project: str | None = None
    ) -> builtins.list[dict[str, Any]]:
        """What finished within the last `hours`, the latest first."""
        since = datetime.now(UTC) - timedelta(hours=hours)
        return await self._view.all(await self._database.call(Store.recent, since, project))

    async def cancel(self, id: str) -> dict[str, Any]:
        """Cancel a queued job, or ask a running one to stop: it is cancelled within a second.

        Raises:
            JobNotFound, IllegalMove: there is none, or it cannot be cancelled any more.
        """
        return await self._view.one(await self._database.call(Store.cancel, id))

    async def retry(self, id: str) -> dict[str, Any]:
        """Queue a failed or cancelled job again; finished segments are reused.

        Raises:
            JobNotFound, IllegalMove: there is none, or there is nothing to retry.
            OutputInUse, DuplicateJob: another live job has come in its way.
        """
        try:
            job = await self._database.call(Store.retry, id)
        except (OutputInUse, DuplicateJob) as error:
            await self._add_progress(error)
            raise
        return await self._view.one(job)

    async def pause(self, id: str) -> dict[str, Any]:
        """Stop working on a job, or keep it from starting, until `resume`.

        Raises:
            JobNotFound, IllegalMove: there is none, or it is finished or about to be.
        """
        return await self._view.one(await self._database.call(Store.set_paused, id, True))

    async def resume(self, id: str) -> dict[str, Any]:
        """Let a paused job go on; finished segments are reused.

        Raises:
            JobNotFound, IllegalMove: there is none, or it is finished.
        """
        return await self._view.one(await self._database.call(Store.set_paused, id, False))

    async def set_priority(self, id: str, priority: int) -> dict[str, Any]:
        """Change the priority of a queued job; higher goes first.

        Raises:
            JobNotFound, IllegalMove: there is none, or it does not wait any more.
        """
        return await self._view.one(await self._database.call(Store.set_priority, id, priority))

    async def delete(self, id: str) -> dict[str, Any]:
        """Forget a finished job and its log; its output stays.

        Raises:
            JobNotFound, IllegalMove: there is none, or it is live.
        """
        return await self._view.one(await self._database.call(Store.delete, id))

    async def projects(self) -> builtins.list[dict[str, Any]]:
        """Every project: ``{name, jobs, state, complete}``."""
        return await self._database.call(Store.projects)

    async def queue_state(self) -> dict[str, Any]:
        """``{state, running, queued, limit, notice}``; state is running, paused or draining."""
        return await self._database.call(count, self.settings.max_concurrent_exports)

    async def set_queue(self, action: str) -> dict[str, Any]:
        """Pause or resume the queue, or drain it: finish what runs and start nothing.

        Raises:
            SpecError: `action` is none of pause, resume and drain.
        """
        if action not in _QUEUE_ACTIONS:
            raise SpecError(f"A queue cannot {action!r}.", "Use pause, resume or drain.")
        await self._database.call(Store.set_queue, _QUEUE_ACTIONS[action])
        return await self.queue_state()

    async def _add_progress(self, error: ExportError) -> None:
        """Tell, with the job in the way, how far it is."""
        other = await self._database.call(Store.find, error.extra["job"])
        if other is not None:
            error.extra["progress"] = (await self._view.one(other))["progress"]
