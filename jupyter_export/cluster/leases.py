"""Leases of a cluster machine's GPUs: kept between the segments of an export, then given back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..hardware.leases import Lease
from ..hardware.needs import Need
from ..queue.reservations import OnWait, Reservations
from ..workers.executor import Executor, GpuShare

__all__ = ["Shares"]

#: Loading a model and a CUDA context takes seconds: the next segment of the export finds both.
KEPT_SECONDS = 5.0


@dataclass(eq=False)
class _Kept:
    job: str
    lease: Lease
    expiry: asyncio.TimerHandle | None = None


class Shares:
    """Shares of GPUs for one segment at a time. Lives in one event loop."""

    def __init__(self, reservations: Reservations, executor: Executor) -> None:
        self._reservations = reservations
        self._executor = executor
        self._idle: list[_Kept] = []
        self._ending: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def held(self, job: str, need: Need, on_wait: OnWait) -> AsyncIterator[GpuShare]:
        """Hold `need` of a GPU; waits for as long as it takes."""
        kept = self._taken(job, need)
        if kept is None:
            kept = _Kept(job, await self._reservations.gpu(need, on_wait))
        try:
            yield GpuShare(lease=kept.lease.key, device=kept.lease.device)
        finally:
            self._idle.append(kept)
            loop = asyncio.get_running_loop()
            kept.expiry = loop.call_later(KEPT_SECONDS, self._expire, kept)

    async def close(self) -> None:
        """Give all back."""
        for kept in [*self._idle]:
            self._expire(kept)
        if self._ending:
            await asyncio.wait(self._ending)

    def _taken(self, job: str, need: Need) -> _Kept | None:
        for kept in self._idle:
            if kept.job == job and kept.lease.need.covers(need):
                self._idle.remove(kept)
                if kept.expiry is not None:
                    kept.expiry.cancel()
                return kept
        return None

    def _expire(self, kept: _Kept) -> None:
        if kept.expiry is not None:
            kept.expiry.cancel()
        self._idle.remove(kept)
        ending = asyncio.create_task(self._give_back(kept.lease))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _give_back(self, lease: Lease) -> None:
        try:
            await self._executor.retire(lease.key)
        finally:
            lease.release()
