"""GPUs and cores for the exports of this server: leases, driver and settings together."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..hardware.allocation import Allocation, allocation
from ..hardware.encoders import ENCODERS, Family
from ..hardware.gpus import Device, Gpus
from ..hardware.leases import Held, Lease, Leases, LeasesBusy, Standing, Want
from ..hardware.needs import NVENC_WIDTH, Need, calibrated, gpu_need
from ..hardware.room import GpuLimits, Room, measure, turn
from ..settings import Settings
from .lease_folder import LeaseFolder, find_folder

__all__ = ["MustWait", "OnWait", "Peaks", "Reservations"]

log = logging.getLogger(__name__)

T = TypeVar("T")

OnWait = Callable[[str | None], None]
"""Told what is waited for, and None when the waiting is over."""

Peaks = Callable[[str], Awaitable[Sequence[int]]]
"""The measured peaks of GPU memory, in MiB, that are remembered under a key."""

#: How often who waits looks again: at first, and at most.
FIRST_SECONDS = 0.05
LAST_SECONDS = 0.25

#: Those who hold no directory in common cannot hold leases either.
_NOTHING = Standing(held=(), wanted=())


class MustWait(Exception):
    """An attempt needs more of a GPU than can be had now: `need`, and the reason."""

    def __init__(self, need: Need, reason: str) -> None:
        super().__init__(reason)
        self.need = need
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class _Answer:
    lease: Lease | None
    reason: str = ""


class Reservations:
    """What this server holds, and may hold, of the machine. Lives in one event loop."""

    def __init__(
        self,
        settings: Settings,
        *,
        peaks: Peaks | None = None,
        gpus: Gpus | None = None,
        folder: LeaseFolder | None = None,
        allotted: Allocation | None = None,
    ) -> None:
        self.folder = find_folder(settings.lease_dir) if folder is None else folder
        self._settings = settings
        self._peaks = peaks
        self._gpus = Gpus() if gpus is None else gpus
        self._allotted = allocation() if allotted is None else allotted
        self._person = _person(os.environ.get("JUPYTERHUB_USER", ""))
        path = self.folder.path
        self._leases = None if path is None else Leases(path, person=self._person)
        if self.folder.notice:
            log.info("leases=%s notice=%r", self.folder.path, self.folder.notice)

    def to_json(self) -> dict[str, Any]:
        """``{directory, shared, notice, cores, cores_by}``: for the server's health and doctor."""
        return {
            "directory": None if self.folder.path is None else str(self.folder.path),
            "shared": self.folder.shared,
            "notice": self.folder.notice or None,
            "cores": self._core_limit(),
            "cores_by": self._allotted.by or None,
        }

    async def need(self, encoder: str, vram: dict[str, Any] | None) -> Need:
        """What an export needs of a GPU, with the memory that such exports were measured to take.

        `encoder` is the name of the encoder chosen for it; `vram` is what the worker tells of its
        effects: ``{"mib": estimate, "key": what such exports are remembered under}``.
        """
        settings = self._settings
        limits = (settings.segment_width, settings.nvenc_sessions, settings.nvenc_sessions_per_gpu)
        row = ENCODERS.get(encoder)
        mib, key = (vram["mib"], vram["key"]) if vram else (0, "")
        if mib and key and self._peaks is not None:
            mib = calibrated(mib, await self._peaks(key))
        return gpu_need(
            nvenc=row is not None and row.family is Family.NVENC,
            width=min(NVENC_WIDTH, *(limit for limit in limits if limit)),
            vram_mib=mib,
            key=key,
        )

    async def room(self) -> Room:
        """What is left of the GPUs now."""
        return await asyncio.to_thread(self._room)

    async def try_gpu(self, need: Need, priority: int, want: Want | None = None) -> _Answer:
        """Hold `need` of the GPU where it fits best, or tell what it waits for; never waits.

        `want` is the place in the line that is held for it already.
        """
        return await _owned(asyncio.to_thread(self._try_gpu, need, priority, want))

    async def want(self, need: Need, priority: int) -> Want | None:
        """A place in the line of all users; None if that cannot be had now."""
        return await _owned(asyncio.to_thread(self._want, need, priority))

    async def gpu(self, need: Need, on_wait: OnWait, priority: int = 0) -> Lease:
        """Hold `need` of a GPU; waits for as long as it takes."""
        return await self._wait(need, priority, self._try_gpu, on_wait)

    @contextlib.asynccontextmanager
    async def cores(self, on_wait: OnWait, priority: int = 0) -> AsyncIterator[None]:
        """Hold a core for one encoder in software; waits for as long as it takes."""
        lease = await self._wait(Need(cores=1), priority, self._try_cores, on_wait)
        try:
            yield
        finally:
            # Here, not in a thread: a cancelled export must not leave before it has given it back.
            lease.release()

    async def _wait(
        self,
        need: Need,
        priority: int,
        attempt: Callable[[Need, int, Want | None], _Answer],
        on_wait: OnWait,
    ) -> Lease:
        answer = await _owned(asyncio.to_thread(attempt, need, priority, None))
        if answer.lease is not None:
            return answer.lease
        want = await self.want(need, priority)
        pause = FIRST_SECONDS
        try:
            while True:
                on_wait(answer.reason)
                await asyncio.sleep(pause)
                pause = min(LAST_SECONDS, pause * 1.5)
                answer = await _owned(asyncio.to_thread(attempt, need, priority, want))
                if answer.lease is not None:
                    on_wait(None)
                    return answer.lease
        finally:
            if want is not None:
                want.release()

    # In threads

    def standing(self) -> Standing:
        """All that is held and wanted of the machine; nothing where that cannot be seen. Blocks."""
        if self._leases is None:
            return _NOTHING
        try:
            return self._leases.standing()
        except (LeasesBusy, OSError) as error:
            log.warning("leases=%s cannot be read: %s", self.folder.path, error)
            return _NOTHING

    def _room(self) -> Room:
        return self._measured(self.standing(), self._gpus.view().devices)

    def _measured(self, standing: Standing, devices: Sequence[Device]) -> Room:
        settings = self._settings
        limits = GpuLimits(
            places=settings.gpu_exports_per_device,
            headroom_mib=settings.gpu_headroom_mib,
            sessions=settings.nvenc_sessions,
            sessions_per_gpu=settings.nvenc_sessions_per_gpu,
        )
        return measure(devices, standing.held, limits, time.time())

    def _want(self, need: Need, priority: int) -> Want | None:
        if self._leases is None:
            return None
        try:
            return self._leases.want(need, priority)
        except (LeasesBusy, OSError) as error:
            log.warning("leases=%s no place in the line: %s", self.folder.path, error)
            return None

    def _try_gpu(self, need: Need, priority: int, want: Want | None) -> _Answer:
        reason = ""
        # Asked before the directory is locked: a driver that hangs must not keep all others out.
        devices = self._gpus.view().devices

        def pick(standing: Standing) -> str | None:
            nonlocal reason
            room = self._measured(standing, devices)
            space = room.place(need)
            if space is None:
                reason = room.refusal(need)
                return None
            if not turn(
                self._me(need, priority, want),
                standing.wanted,
                standing.held,
                time.time(),
                fits=room.fits,
                reachable=room.reachable,
            ):
                reason = f"its turn on {space.label}: another server's export goes first"
                return None
            return space.id

        return self._acquire(need, pick, lambda: reason)

    def _try_cores(self, need: Need, priority: int, want: Want | None) -> _Answer:
        pool, limit = self._allotted.pool, self._core_limit()
        reason = ""

        def pick(standing: Standing) -> str | None:
            nonlocal reason
            taken = sum(lease.need.cores for lease in standing.held if lease.device == pool)

            def fits(needs: Iterable[Need]) -> bool:
                return taken + sum(one.cores for one in needs) <= limit

            me = self._me(need, priority, want)
            if not fits([need]):
                reason = f"a free core: {taken} of {limit} encode"
            elif not turn(
                me,
                standing.wanted,
                standing.held,
                time.time(),
                fits=fits,
                reachable=lambda other: other.cores <= limit,
            ):
                reason = "its turn: another server's export goes first"
            else:
                return pool
            return None

        return self._acquire(need, pick, lambda: reason)

    def _acquire(
        self, need: Need, pick: Callable[[Standing], str | None], why: Callable[[], str]
    ) -> _Answer:
        if self._leases is not None:
            try:
                return _Answer(lease=self._leases.acquire(need, pick), reason=why())
            except LeasesBusy as error:
                if need.gpu:
                    return _Answer(lease=None, reason=str(error))
                log.warning("leases=%s encoding without one: %s", self.folder.path, error)
            except OSError as error:
                # Such as an administrator who has removed the directory.
                log.warning("leases=%s counting alone: %s", self.folder.path, error)
        device = pick(_NOTHING)
        lease = None if device is None else Lease.unshared(device, need)
        return _Answer(lease=lease, reason=why())

    def _me(self, need: Need, priority: int, want: Want | None) -> Held:
        if want is not None:
            want.look()
        return Held(
            id="" if want is None else want.id,
            uid=os.getuid() if hasattr(os, "getuid") else 0,
            person=self._person,
            device="",
            need=need,
            since=time.time() if want is None else want.since,
            priority=priority,
        )

    def _core_limit(self) -> int:
        settings = self._settings
        alone = settings.max_concurrent_exports * settings.segment_width
        return settings.encoding_cores or max(self._allotted.cores, alone)


def _person(name: str) -> str:
    """A mark of a hub's user: servers in containers often run as one user of the system."""
    return hashlib.sha256(name.encode()).hexdigest()[:8] if name else ""


async def _owned(work: Awaitable[T]) -> T:
    """The result of a thread; if the caller is cancelled meanwhile, what it got is given back."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_give_back)
        raise


def _give_back(task: asyncio.Future[Any]) -> None:
    if task.cancelled() or task.exception() is not None:
        return
    result = task.result()
    found = result.lease if isinstance(result, _Answer) else result
    if found is not None:
        found.release()
