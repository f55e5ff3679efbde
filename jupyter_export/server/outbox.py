"""What feed clients are told: one journal, encoded once, and how far each client has read it.

Pure: no I/O and no clock. A client that cannot keep up costs a few numbers, not a queue: what it
has not been sent yet is in the journal, which is bounded, or in the next snapshot.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable
from itertools import islice

__all__ = ["BATCH", "KEPT", "OUTBOX", "Journal", "Outbox", "frame"]

#: Events that a client may have outstanding; with more it gets a snapshot instead.
OUTBOX = 256
#: Events that are written at once.
BATCH = 64
#: Events that a snapshot may be behind; every client gets it until then.
SNAPSHOT_LAG = 64
#: Whoever may get events, and whoever gets a snapshot, must find all that follow it.
KEPT = OUTBOX + 2 * SNAPSHOT_LAG


def frame(text: str) -> bytes:
    """`text` as an unmasked WebSocket text frame (RFC 6455, section 5.2): the same for all."""
    data = text.encode()
    size = len(data)
    if size < 126:
        return struct.pack("!BB", 0x81, size) + data
    if size < 2**16:
        return struct.pack("!BBH", 0x81, 126, size) + data
    return struct.pack("!BBQ", 0x81, 127, size) + data


PING = frame('{"type":"ping"}')
PONG = frame('{"type":"pong"}')


class Journal:
    """The last events, and what is volatile: each job's latest progress, and the line."""

    def __init__(self) -> None:
        self.epoch = ""
        self.seq = 0
        """The number of the latest event."""
        self.version = 0
        """Grows whenever something volatile is released to the clients."""
        self.snapshot_wanted = False
        """A client waits for a snapshot, and the one that there is cannot be used."""
        self._events: deque[bytes] = deque(maxlen=KEPT)
        self._joined: dict[int, tuple[int, bytes]] = {}
        self._snapshot: tuple[int, bytes] | None = None
        self._running: set[str] = set()
        self._heard: dict[str, bytes] = {}
        self._progress: dict[str, tuple[int, bytes]] = {}
        self._line = (0, b"", b"")
        self._line_before = 0

    def begin(self, epoch: str, seq: int) -> None:
        """Events of the store `epoch` go on after `seq`; what was before is forgotten."""
        self.epoch, self.seq = epoch, seq
        self._events.clear()
        self._joined.clear()
        self._snapshot = None

    def event(self, seq: int, text: str, job: str | None = None, *, running: bool = False) -> None:
        """The event `seq` has happened; `running` says whether its job has progress."""
        if seq != self.seq + 1:
            # A gap, which no client may see: all of them begin again.
            self.begin(self.epoch, seq - 1)
        self.seq = seq
        self._events.append(frame(text))
        self._joined.clear()
        if job is None:
            return
        if running:
            self._running.add(job)
        else:
            self._running.discard(job)
            self._heard.pop(job, None)
            self._progress.pop(job, None)

    def progress(self, job: str, text: str) -> None:
        """A running job has got further; clients hear of it at the next `release`."""
        if job in self._running:
            self._heard[job] = frame(text)

    @property
    def unreleased(self) -> bool:
        """Whether there is progress that `release` would let out."""
        return bool(self._heard)

    def release(self) -> None:
        """Let the latest progress of each job out."""
        if self._heard:
            self.version += 1
            self._progress.update((job, (self.version, f)) for job, f in self._heard.items())
            self._heard.clear()

    def line(self, whole: str | None, changed: str | None) -> None:
        """The line is now `whole`; `changed` is what differs from the line told before."""
        self.version += 1
        self._line_before = self._line[0]
        self._line = (
            self.version,
            frame(whole) if whole else b"",
            frame(changed) if changed else b"",
        )

    def snapshot(self, seq: int, text: str) -> bool:
        """How everything was after event `seq`; whether that is of use."""
        self.snapshot_wanted = False
        if not 0 <= self.seq - seq <= len(self._events):
            return False
        self._snapshot = (seq, frame(text))
        return True

    def covers(self, seq: int) -> bool:
        """Whether all events after `seq` are here."""
        return 0 <= self.seq - seq <= len(self._events)

    def after(self, seq: int) -> tuple[int, bytes]:
        """The next events after `seq`, at most `BATCH`: the number of the last one, and all."""
        known = self._joined.get(seq)
        if known is None:
            first = len(self._events) - (self.seq - seq)
            some = list(islice(self._events, first, first + BATCH))
            known = self._joined[seq] = (seq + len(some), b"".join(some))
        return known

    def latest(self, least: int) -> tuple[int, bytes] | None:
        """A snapshot of event `least` or later; without one, one is wanted."""
        known = self._snapshot
        if (
            known is not None
            and known[0] >= least
            and self.seq - known[0] <= SNAPSHOT_LAG
            and self.covers(known[0])
        ):
            return known
        self.snapshot_wanted = True
        return None

    def volatile(self, version: int) -> Iterable[bytes]:
        """What a client that knows `version` has not heard."""
        at, whole, changed = self._line
        if at > version and (text := changed if version >= self._line_before else whole):
            yield text
        for then, text in self._progress.values():
            if then > version:
                yield text


class Outbox:
    """One client: how far it has been told, and what comes next."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.pings = False
        """A ping is due."""
        self.pongs = False
        """A ping of the client is to be answered."""
        self.messages = 0
        """Messages sent so far."""
        self.snapshots = 0
        """Snapshots sent so far."""
        self._seq: int | None = None
        """The last event sent; None before the first hello."""
        self._behind = False
        """Needs a snapshot."""
        self._version = 0

    @property
    def more(self) -> bool:
        """Whether `take` would give more news at once."""
        if self._seq is None or self._behind:
            return False
        return self._seq != self._journal.seq or self._version != self._journal.version

    def hello(self, epoch: str | None, since: int | None) -> None:
        """The client has everything up to the event `since` of the store `epoch`, or nothing."""
        journal = self._journal
        known = since is not None and epoch == journal.epoch and journal.covers(since)
        self._behind = not known
        self._seq = since if known and since is not None else 0
        self._version = 0

    def take(self) -> bytes:
        """What to write now; empty when there is nothing, or only a snapshot could follow.

        To be called only when all that it gave before has been written.
        """
        parts: list[bytes] = []
        if self.pings:
            self.pings = False
            parts.append(PING)
        if self.pongs:
            self.pongs = False
            parts.append(PONG)
        self.messages += len(parts)
        if self._seq is not None:
            parts.extend(self._news(self._seq))
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def _news(self, seq: int) -> Iterable[bytes]:
        journal = self._journal
        if not self._behind and (not journal.covers(seq) or journal.seq - seq > OUTBOX):
            self._behind = True
        if self._behind:
            found = journal.latest(seq)
            if found is None:
                return
            seq, snapshot = found
            self._behind = False
            self._version = 0
            self.messages += 1
            self.snapshots += 1
            yield snapshot
        if seq != journal.seq:
            last, events = journal.after(seq)
            self.messages += last - seq
            seq = last
            yield events
        self._seq = seq
        # What is volatile is newer than every event, so it goes last.
        if seq == journal.seq and self._version != journal.version:
            for text in journal.volatile(self._version):
                self.messages += 1
                yield text
            self._version = journal.version
