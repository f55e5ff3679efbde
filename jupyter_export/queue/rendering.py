"""Where the segments of one attempt render: on this machine, with what they take of it, or not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Protocol

from ..errors import ClusterError
from ..workers.executor import Executor, GpuShare, Offer, OnProgress, Remote
from .hold import Hold
from .reservations import OnWait

__all__ = ["Rendering"]

log = logging.getLogger(__name__)


class _RunTask(Protocol):
    async def __call__(
        self,
        name: str,
        params: dict[str, Any],
        on_message: OnProgress | None = None,
        *,
        gpu: GpuShare | None = None,
        remote: Remote | None = None,
    ) -> dict[str, Any]: ...


class Rendering:
    """Renders the segments of one plan; what another machine cannot take is rendered here.

    `run` does a task; `hold` takes care of GPUs and cores of this machine (None: nobody does), of
    which a segment elsewhere takes none. `width` segments may render here at once.
    """

    def __init__(
        self,
        executor: Executor,
        run: _RunTask,
        hold: Hold | None,
        remote: Remote,
        *,
        width: int,
        on_wait: OnWait,
        note: Callable[[str], None],
    ) -> None:
        self._executor = executor
        self._run = run
        self._hold = hold
        self._remote = remote
        self._width = width
        self._on_wait = on_wait
        self._note = note
        self._frames = 0
        self._offer = Offer()
        self._here: asyncio.Semaphore | None = None
        self._preparing = asyncio.Lock()
        self.away = False
        """Whether another machine has rendered anything."""

    async def prepare(self, frames: int) -> None:
        """Decide where so many frames render; hold a GPU of this machine if it is here.

        Raises:
            MustWait: it is not free now, and the hold is not patient.
        """
        self._frames = frames
        if not frames:
            return
        if not (await self._offered()).width:
            await self._settle_here()
        elif self._hold is not None:
            await self._hold.close()

    @property
    def width(self) -> int:
        """How many segments to have under way at once."""
        return self._offer.width or self._width_here()

    async def segment(self, params: dict[str, Any], on_message: OnProgress) -> dict[str, Any]:
        """Do the task ``render``.

        Raises:
            ExportError: as the task raised it.
            MustWait: a GPU of this machine is needed now, and is not free.
        """
        if (await self._offered()).width:
            try:
                done = await self._run("render", params, on_message, remote=self._remote)
                self.away = True
                return done
            except ClusterError as error:
                log.warning("rendering here: %s", error)
                self._note(f"{error.detail} Segments were rendered on the server's machine.")
        async with await self._settle_here():
            async with self._encoding():
                share = None if self._hold is None else self._hold.share
                done = await self._run("render", params, on_message, gpu=share)
            if self._hold is not None:
                self._hold.measured(done.get("vram_peak_mib", 0))
            return done

    async def _offered(self) -> Offer:
        self._offer = await self._executor.offer(self._frames)
        if self._offer.notice:
            self._note(self._offer.notice)
        return self._offer

    async def _settle_here(self) -> asyncio.Semaphore:
        """Hold what rendering here takes, once; gives the places that there are then."""
        async with self._preparing:
            if self._here is None:
                if self._hold is not None:
                    remote = self._remote
                    await self._hold.ensure(remote.encoder, remote.vram, self._on_wait)
                self._here = asyncio.Semaphore(self._width_here())
            return self._here

    def _width_here(self) -> int:
        return self._width if self._hold is None else self._hold.width(self._width)

    def _encoding(self) -> contextlib.AbstractAsyncContextManager[None]:
        if self._hold is None or self._remote.hardware:
            return contextlib.nullcontext()
        return self._hold.encoding(self._on_wait)
