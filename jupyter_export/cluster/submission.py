"""One task on the cluster: submitted, listened to, cancelled, or left to go on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import ClusterError, WorkersUnfit
from ..workers.executor import OnProgress
from .parcel import Parcel

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Died", "Lost", "Submission"]

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
#: Dask's word for the reason.
CONNECTION_LOST = "scheduler-connection-lost"
#: What a cancelled task gets to end on its worker, and to be heard to have begun at all.
CANCEL_SECONDS = 1.5
UNHEARD_SECONDS = 0.25


class Lost(Exception):
    """The task is not known to the scheduler any more, or the scheduler is not there.

    `connection`: it was lost with the connection, which serves for nothing else either.
    """

    def __init__(self, reason: str, *, connection: bool = False) -> None:
        super().__init__(reason)
        self.connection = connection


class Died(Exception):
    """So many workers died with the task assigned to them that the scheduler gives it up, whether
    they had begun with it or it only stood in their line.

    `worker` is the address of the last one.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(f"the worker {worker} died")
        self.worker = worker


class Submission:
    """A parcel with the scheduler. `hear` gets the events that its worker tells of it."""

    def __init__(
        self, client: Client, parcel: Parcel, on_progress: OnProgress, silence_seconds: float
    ) -> None:
        self.worker = ""
        """The address of the worker that does it, once it has begun."""
        self._client = client
        self._parcel = parcel
        self._on_progress = on_progress
        self._silence_seconds = silence_seconds
        self._runs: set[str] = set()
        """Those that began and have not ended: two, for a moment, when a worker is lost."""
        self._unended: set[str] = set()
        """All that ever began, less those that ended."""
        self._future: Any = None
        self._heard = 0.0
        self._ended = asyncio.Event()
        self._unwanted = False

    def hear(self, event: dict[str, Any]) -> None:
        """Take in an event, as `host.work` has them."""
        self._heard = time.monotonic()
        run = event["run"]
        if event.get("began"):
            # Whatever did it before is gone, or does not count any more.
            self._runs = {run}
            self._unended.add(run)
            self.worker = event["worker"]
            self._on_progress({"waiting_for": None})
        elif event.get("ended"):
            self._runs.discard(run)
            self._unended.discard(run)
            if not self._runs:
                self._ended.set()
        elif "progress" in event:
            self._runs.add(run)
            self.worker = event["worker"]
            self._on_progress(event["progress"])

    def move(self) -> None:
        """Take it from the worker in whose line it may wait, unless one has begun with it."""
        self._unwanted = not self.begun

    @property
    def begun(self) -> bool:
        """Whether a worker does it now."""
        return bool(self._runs)

    @property
    def unended(self) -> int:
        """How often a worker has begun with it and was not heard to end, dead or alive."""
        return len(self._unended)

    async def answer(
        self,
        workers: list[str] | None,
        leaving: Callable[[], bool],
        waiting: Callable[[float], None],
    ) -> dict[str, Any]:
        """What `host.work` gives, or ``{"silent": address}`` of a worker that hangs, or
        ``{"moved": true}``.

        Only `workers` may do it (None: all). A cancelled caller cancels it, unless `leaving`.
        `waiting` is called now and then with the seconds for which nobody has begun with it; what
        it raises ends the wait.

        Raises:
            Lost: it must be submitted again.
            Died: the scheduler has given it up, since its workers died.
            WorkersUnfit: no worker can even load it.
        """
        from distributed import fire_and_forget

        from .host import work

        parcel = self._parcel
        if self._client.status != "running":
            raise Lost(f"the connection is {self._client.status}", connection=True)
        self._future = future = self._client.submit(
            work,
            parcel.key,
            parcel.content,
            key=parcel.key,
            pure=False,
            resources=parcel.resources or None,
            workers=workers,
            allow_other_workers=False,
        )
        # It goes on when this server dies; its successor asks for the same key.
        fire_and_forget(future)
        outcome = asyncio.create_task(_outcome(future))
        submitted = time.monotonic()
        try:
            while not outcome.done():
                await asyncio.wait({outcome}, timeout=_LOOK_SECONDS)
                silent, moved = self._silent(), self._unwanted and not self.begun
                if (silent or moved) and not outcome.done():
                    await self._withdraw()
                    return {"silent": self.worker} if silent else {"moved": True}
                if not self.begun and not outcome.done():
                    waiting(time.monotonic() - submitted)
            return outcome.result()
        except asyncio.CancelledError:
            if not leaving():
                await self.cancel()
            raise
        except ClusterError:
            await self.cancel()
            raise
        finally:
            outcome.cancel()
            future.release()

    def _silent(self) -> bool:
        return self.begun and time.monotonic() - self._heard > self._silence_seconds

    async def cancel(self) -> None:
        """Stop it, and wait until its worker has."""
        log.info("task=%s action=cancel worker=%s", self._parcel.key, self.worker or None)
        await self._withdraw()
        limit = time.monotonic() + CANCEL_SECONDS
        unheard = time.monotonic() + UNHEARD_SECONDS
        while time.monotonic() < (limit if self.begun else unheard):
            if self._ended.is_set() and not self.begun:
                return
            await asyncio.sleep(0.01)

    async def _withdraw(self) -> None:
        from distributed.client import ClosedClientError

        try:
            await self._future.cancel(force=True)
        except (OSError, ClosedClientError) as error:
            # With its client the scheduler has lost the task, too.
            log.info("task=%s action=withdraw %s", self._parcel.key, error)


async def _outcome(future: Any) -> dict[str, Any]:
    from distributed import KilledWorker

    try:
        answer: dict[str, Any] = await future
        return answer
    except concurrent.futures.CancelledError as error:
        reason = str(getattr(error, "reason", ""))
        raise Lost(reason, connection=reason == CONNECTION_LOST) from None
    except KilledWorker as error:
        address = getattr(error.last_worker, "address", error.last_worker)
        raise Died(str(address)) from None
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        if future.status != "error":
            # The task has not failed: its result could not be fetched.
            raise Lost(f"{type(error).__name__}: {text}", connection=True) from None
        raise WorkersUnfit(
            f"The workers of the Dask cluster cannot run exports ({type(error).__name__}: {text}).",
            "Install the same version of jupyter-export[dask] on the cluster as on the server.",
        ) from None
