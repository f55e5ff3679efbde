"""The store on a thread of its own, for the event loop; events are announced after the commit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from ..errors import ExportError, QueueBusy
from .disk import filesystem_type
from .rows import Event
from .schema import meaning
from .store import Store

__all__ = ["Database", "OnEvent"]

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

OnEvent = Callable[[Event], None]
"""Called in the event loop with each event, in order; must not block."""

#: How often to look for what other servers on the same store have written: one pragma, no query.
LOOK_SECONDS = 0.5
#: How often a move is offered again to a store that another process keeps locked.
BUSY_SECONDS = 1.0
_PAGE = 500


class Database:
    """The job store of the file `path`.

    Listeners hear every event, in order and without a gap, whichever server wrote it.
    `on_written` is called in the store's thread with the events that this server committed.
    """

    def __init__(
        self, path: Path, on_written: Callable[[Sequence[Event]], None] | None = None
    ) -> None:
        self.path = path
        self.listeners: list[OnEvent] = []
        self.epoch = ""
        self.journal_mode = ""
        self.filesystem = ""
        """The type of the one that the store is on; empty if unknown."""
        self.last_seq = 0
        """The number of the latest event that was announced."""
        self._on_written = on_written
        self._thread: ThreadPoolExecutor | None = None
        self._store: Store | None = None
        self._read_seq = 0
        self._version = 0
        self._looking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the store and begin to announce events.

        Raises:
            QueueError, OutputError: as `Store` does.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jupyter_export-store")
        try:
            loop = asyncio.get_running_loop()
            self._read_seq = await loop.run_in_executor(self._thread, self._open)
        except BaseException:
            self._thread.shutdown(wait=False)
            self._thread = None
            raise
        self.last_seq = self._read_seq
        self._looking = asyncio.create_task(self._look())

    async def close(self) -> None:
        """Finish what was begun, then close the store."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
            self._looking = None
        thread, self._thread = self._thread, None
        if thread is not None and self._store is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._store.close)
            thread.shutdown(wait=False)

    async def call(
        self,
        function: Callable[Concatenate[Store, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run ``function(store, *args, **kwargs)``, such as ``Store.get``, in the store's thread.

        Listeners have heard of its events when this returns. A cancelled caller does not stop
        what has begun.

        Raises:
            ExportError: as the function does.
            QueueBusy: the store is not open.
        """
        if self._thread is None:
            raise QueueBusy("The job store is not open.", "Wait until the server has started.")
        loop = asyncio.get_running_loop()

        def work() -> T:
            assert self._store is not None
            try:
                with meaning(self.path):
                    return function(self._store, *args, **kwargs)
            finally:
                events = self._news(self._store)
                if events:
                    # Queued before the result, so that nobody acts on a move that others
                    # have not heard of.
                    loop.call_soon_threadsafe(self._announce, events)

        return await loop.run_in_executor(self._thread, work)

    async def insist(
        self,
        given_up: Callable[[], bool],
        function: Callable[Concatenate[Store, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As `call`, but try again for as long as another process keeps the store locked.

        Hours of work are not thrown away because the store was busy for some seconds.

        Raises:
            ExportError: as the function does.
            QueueBusy: the store was locked when the caller had `given_up`.
        """
        while True:
            try:
                return await self.call(function, *args, **kwargs)
            except QueueBusy as error:
                if given_up():
                    raise
                log.warning("an outcome waits: %s", error)
            await asyncio.sleep(BUSY_SECONDS)

    def _open(self) -> int:
        store = Store(self.path)
        self._store = store
        self.epoch = store.epoch
        self.journal_mode = store.journal_mode
        self.filesystem = filesystem_type(self.path.parent)
        self._version = store.data_version()
        return store.last_seq()

    def _news(self, store: Store) -> list[Event]:
        """What was committed since the last time, by this server or another one."""
        try:
            written = store.take_written()
            if written and self._on_written is not None:
                self._on_written(written)
            version = store.data_version()
            if not written and version == self._version:
                return []
            events: list[Event] = []
            while page := store.events_since(self._read_seq, _PAGE):
                events += page
                self._read_seq = page[-1].seq
            self._version = version
            return events
        except Exception:
            # The change itself is committed; what was not announced now, is next time.
            log.exception("the events of %s cannot be announced", self.path)
            return []

    def _announce(self, events: Sequence[Event]) -> None:
        for event in events:
            self.last_seq = event.seq
            for listener in list(self.listeners):
                try:
                    listener(event)
                except Exception:
                    log.exception("a listener failed at event %d", event.seq)

    async def _look(self) -> None:
        failed = False
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.call(lambda store: None)
                failed = False
            except ExportError as error:
                if not failed:
                    log.warning("the job store cannot be watched: %s", error)
                failed = True
