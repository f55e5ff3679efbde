"""What one attempt holds of the hardware while it works: a lease of a GPU, and cores."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from ..hardware.leases import Lease
from ..hardware.needs import NVENC_MIB, Need
from ..hardware.room import Room
from ..workers.executor import Executor, GpuShare
from .reservations import MustWait, OnWait, Reservations

__all__ = ["Hold"]


class Hold:
    """At most one lease of a GPU, given back by `close` when the workers that used it have ended.

    A `patient` attempt waits for what it needs; another one raises `MustWait`, so that its job can
    wait in the queue, where it holds up nobody.
    """

    def __init__(
        self,
        reservations: Reservations,
        executor: Executor,
        lease: Lease | None = None,
        *,
        patient: bool = False,
        priority: int = 0,
    ) -> None:
        self.need: Need | None = None if lease is None else lease.need
        """What the attempt needs of a GPU, once that is known."""
        self.peak_mib = 0
        """The most GPU memory that one of its tasks was measured to take."""
        self._reservations = reservations
        self._executor = executor
        self._lease = lease
        self._patient = patient
        self._priority = priority
        self._encoding = 0
        """How many segments are encoded in software now."""

    async def ensure(self, encoder: str, vram: dict[str, Any] | None, on_wait: OnWait) -> None:
        """Hold what an export with this `encoder` and these effects needs of a GPU.

        `vram` is what the plan tells of the memory of its effects, as for `Reservations.need`.

        Raises:
            MustWait: it is not free now, and the attempt is not patient.
        """
        need = await self._reservations.need(encoder, vram)
        if self.need is not None and self.need.alone and need.gpu:
            need = replace(need, alone=True)
        if self._lease is not None and need.gpu and self._lease.need.covers(need):
            return
        # What it has is given back first: who holds a part and waits for more blocks others.
        await self.close()
        self.need = need
        if not need.gpu:
            return
        if self._patient:
            self._lease = await self._reservations.gpu(need, on_wait, self._priority)
            return
        answer = await self._reservations.try_gpu(need, self._priority)
        if answer.lease is None:
            raise MustWait(need, answer.reason)
        self._lease = answer.lease

    def to_json(self) -> dict[str, Any] | None:
        """The job's `need`: what is needed of a GPU, and what was taken at most, once measured."""
        if self.need is None:
            return None
        peak = {"peak_mib": self.peak_mib} if self.peak_mib else {}
        return {**self.need.to_json(), **peak}

    @property
    def computes(self) -> bool:
        """Whether its effects use the GPU's memory, as far as that is known."""
        return self.need is not None and self.need.vram_mib > (self.need.nvenc_sessions * NVENC_MIB)

    async def room(self) -> Room:
        """What is left of the machine's GPUs now."""
        return await self._reservations.room()

    @property
    def share(self) -> GpuShare | None:
        """What the tasks that use the GPU are told."""
        if self._lease is None:
            return None
        return GpuShare(lease=self._lease.key, device=self._lease.device)

    def width(self, most: int) -> int:
        """How many segments may render at once, of at most `most`."""
        return most if self._lease is None else min(most, self._lease.need.nvenc_sessions or 1)

    @contextlib.asynccontextmanager
    async def encoding(self, on_wait: OnWait) -> AsyncIterator[None]:
        """Hold a core while a segment is encoded in software; waits for it.

        What is waited for is told only while no other segment of the export is being encoded.
        """

        def told(reason: str | None) -> None:
            on_wait(None if self._encoding else reason)

        async with self._reservations.cores(told, self._priority):
            self._encoding += 1
            on_wait(None)
            try:
                yield
            finally:
                self._encoding -= 1

    def measured(self, mib: int) -> None:
        """A task took so much GPU memory at most."""
        self.peak_mib = max(self.peak_mib, mib)

    async def close(self) -> None:
        """End the workers that have memory on the GPU, then give the lease back."""
        lease, self._lease = self._lease, None
        if lease is not None:
            await asyncio.shield(asyncio.ensure_future(self._give_back(lease)))

    async def _give_back(self, lease: Lease) -> None:
        try:
            await self._executor.retire(lease.key)
        finally:
            lease.release()
