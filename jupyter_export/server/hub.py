"""The feed's other half: hears the queue, keeps the journal, and writes to every client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Coroutine, Iterable
from typing import Any, Protocol

from ..errors import ExportError
from ..job import State
from ..metrics import FEED_CLIENTS, FEED_MESSAGES, FEED_SNAPSHOTS
from ..queue.choice import Place
from ..queue.service import Exports
from .outbox import KEPT, OUTBOX, Journal, Outbox

__all__ = ["FINISHED_JOBS", "LARGE_SPEC", "Close", "FeedClient", "Hub"]

log = logging.getLogger(__name__)

#: Finished jobs in a snapshot.
FINISHED_JOBS = 200
#: A spec with more characters than this is left out, and read by REST.
LARGE_SPEC = 16_384
#: Seconds between two messages about the progress of a job.
PROGRESS_SECONDS = 0.25
#: Seconds between two pings of ours, and of a client's silence until it counts as gone.
PING_SECONDS = 10.0
SILENCE_SECONDS = 30.0
#: Seconds for which newcomers share a snapshot and the events that followed it.
SNAPSHOT_SECONDS = 1.0
#: Seconds until the line is looked at again: time alone changes it, too.
LINE_SECONDS = 2.0
#: Waiting jobs whose places are told in one second.
PLACES_PER_SECOND = 2000
#: After a round of writing, the loop is left to others for so many times as long.
SHARE = 4
LONGEST_PAUSE = 0.5
#: Clients written to before others get the event loop.
CLIENTS_AT_ONCE = 16

_WORKED_ON = frozenset({State.RUNNING, State.PUBLISHING})


class Close:
    """Why the server ends a connection: WebSocket close codes."""

    STOPPING = 1012
    REFUSED = 1013
    BAD_MESSAGE = 4400
    FORBIDDEN = 4403
    SILENT = 4408


class FeedClient(Protocol):
    """A connection."""

    outbox: Outbox
    heard_at: float
    """When it said something last, by `time.monotonic`."""

    @property
    def ready(self) -> bool:
        """Whether all that was sent has left this process."""
        ...

    def send(self, frames: Iterable[bytes]) -> None:
        """Write whole WebSocket frames; `Hub.wake` when a slow client has taken them."""
        ...

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """End the connection."""
        ...


class Hub:
    """All feed clients of one server. Costs one message each, whatever the number of events."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.closed = False
        self._clients: set[FeedClient] = set()
        self._exports: Exports | None = None
        self._wake = asyncio.Event()
        self._line_changed = asyncio.Event()
        self._places: dict[str, Place] = {}
        self._release_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._making: asyncio.Task[None] | None = None

    async def start(self, exports: Exports) -> None:
        """Begin with what happened last, so that clients can go on where they were.

        Raises:
            ExportError: the store cannot be read.
        """
        self._exports = exports
        late: list[dict[str, Any]] = []
        exports.listeners.append(late.append)
        try:
            events = await exports.events_since(max(0, exports.seq - OUTBOX), 2 * KEPT)
        finally:
            exports.listeners.remove(late.append)
        self.journal.begin(exports.epoch, events[0]["seq"] - 1 if events else exports.seq)
        for message in (*events, *late):
            self.hear(message)
        exports.listeners.append(self.hear)
        for work in (self._write(), self._beat(), self._follow_line(exports)):
            self._spawn(work)

    @property
    def clients(self) -> int:
        """How many follow."""
        return len(self._clients)

    def join(self, client: FeedClient) -> None:
        """A client has come."""
        self._clients.add(client)
        FEED_CLIENTS.set(len(self._clients))

    def leave(self, client: FeedClient) -> None:
        """A client has gone."""
        self._clients.discard(client)
        FEED_CLIENTS.set(len(self._clients))

    def wake(self) -> None:
        """There may be something to write."""
        self._wake.set()

    def hear(self, message: dict[str, Any]) -> None:
        """Take note of one message of the queue to its listeners."""
        if message["type"] == "progress":
            self.journal.progress(message["job"], _encode(message))
        elif message["seq"] > self.journal.seq:
            self._happened(message)
        self._wake.set()

    async def close(self) -> None:
        """Tell all clients that the server goes down."""
        self.closed = True
        if self._exports is not None:
            with contextlib.suppress(ValueError):
                self._exports.listeners.remove(self.hear)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for client in list(self._clients):
            client.close(Close.STOPPING, "The server stops.")

    def _happened(self, event: dict[str, Any]) -> None:
        message = {"type": "event", "seq": event["seq"], "event": event["event"]}
        message["time"] = event["at"]
        job = event.get("job")
        if job is None:
            message["queue"] = {"state": event["queue"]}
            self.journal.event(event["seq"], _encode(message))
        else:
            if job["state"] == State.QUEUED and (place := self._places.get(job["id"])):
                # As last told: what has changed since then follows in a message of its own.
                job = {**job, "queue_position": place.position, "waiting_for": place.waiting_for}
            message["job"] = _without_large_spec(job)
            self.journal.event(
                event["seq"], _encode(message), job["id"], running=job["state"] in _WORKED_ON
            )
        self._line_changed.set()

    # Writing

    async def _write(self) -> None:
        """Write what there is, then leave the loop to others for a while."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self.journal.unreleased:
                if loop.time() >= self._release_at:
                    self._release_at = loop.time() + PROGRESS_SECONDS
                    self.journal.release()
                else:
                    loop.call_at(self._release_at, self._wake.set)
            spent = await self._round()
            if self.journal.snapshot_wanted and (self._making is None or self._making.done()):
                self._making = self._spawn(self._make_snapshot())
            await asyncio.sleep(min(LONGEST_PAUSE, SHARE * spent))

    async def _round(self) -> float:
        """Write to all who can take it; seconds that the loop was held up."""
        spent, messages, snapshots = 0.0, 0, 0
        clients = list(self._clients)
        for first in range(0, len(clients), CLIENTS_AT_ONCE):
            began = time.perf_counter()
            for client in clients[first : first + CLIENTS_AT_ONCE]:
                if not client.ready:
                    continue
                outbox = client.outbox
                before = outbox.messages, outbox.snapshots
                frames = outbox.take()
                if not frames:
                    continue
                messages += outbox.messages - before[0]
                snapshots += outbox.snapshots - before[1]
                client.send(frames)
                if outbox.more:
                    self._wake.set()
            spent += time.perf_counter() - began
            await asyncio.sleep(0)
        FEED_MESSAGES.inc(messages)
        FEED_SNAPSHOTS.inc(snapshots)
        return spent

    async def _make_snapshot(self) -> None:
        assert self._exports is not None
        try:
            seq, jobs, queue = await self._exports.snapshot(
                FINISHED_JOBS, lambda job: _encode(_without_large_spec(job))
            )
        except ExportError as error:
            log.warning("feed: no snapshot now: %s", error)
            await asyncio.sleep(1.0)
        else:
            head = _encode({"type": "snapshot", "epoch": self.journal.epoch, "seq": seq})
            text = f'{head[:-1]},"jobs":[{",".join(jobs)}],"queue":{_encode(queue)}}}'
            self.journal.snapshot(seq, text)
            # What happened long before a client came must not reach it as news.
            asyncio.get_running_loop().call_later(SNAPSHOT_SECONDS, self.journal.age)
        self._wake.set()

    # Time

    async def _beat(self) -> None:
        """Ping the clients, and end the connections of those that are gone."""
        ping_at = 0.0
        while True:
            now = time.monotonic()
            ping = now >= ping_at
            if ping:
                ping_at = now + PING_SECONDS
            for client in list(self._clients):
                client.outbox.pings |= ping
                if now - client.heard_at > SILENCE_SECONDS:
                    client.close(Close.SILENT, "Nothing was heard from this client.")
                    self.leave(client)
            if ping:
                self._wake.set()
            await asyncio.sleep(PING_SECONDS / 10)

    async def _follow_line(self, exports: Exports) -> None:
        """Tell where the queued jobs stand: other jobs' events change that, and so does time."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINE_SECONDS if self._places else None):
                    await self._line_changed.wait()
            self._line_changed.clear()
            try:
                places = await exports.places()
            except ExportError as error:
                log.warning("feed: the line is not known now: %s", error)
                await asyncio.sleep(1.0)
                continue
            if places != self._places:
                before, self._places = self._places, places
                whole, changed = await asyncio.to_thread(_line_texts, before, places)
                self.journal.line(whole, changed)
                self._wake.set()
            await asyncio.sleep(PROGRESS_SECONDS + len(places) / PLACES_PER_SECOND)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("feed: stopped by a bug", exc_info=error)


def _line_texts(before: dict[str, Place], now: dict[str, Place]) -> tuple[str | None, str | None]:
    def text(places: dict[str, Place]) -> str | None:
        if not places:
            return None
        positions = {id: [place.position, place.waiting_for] for id, place in places.items()}
        return _encode({"type": "positions", "positions": positions})

    return text(now), text({id: place for id, place in now.items() if before.get(id) != place})


def _without_large_spec(job: dict[str, Any]) -> dict[str, Any]:
    if job["spec"] is None or _small(job["id"], job["spec"]):
        return job
    return {**job, "spec": None}


_sizes: dict[str, bool] = {}


def _small(id: str, spec: dict[str, Any]) -> bool:
    known = _sizes.get(id)
    if known is None:
        if len(_sizes) >= 4096:
            _sizes.clear()
        known = _sizes[id] = len(_encode(spec)) <= LARGE_SPEC
    return known


def _encode(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
