"""What a feed client is sent always adds up to the truth, however slowly it takes it."""

from __future__ import annotations

import json
import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_export.server.outbox import BATCH, KEPT, OUTBOX, Journal, Outbox, frame


def unframe(data: bytes) -> list[dict[str, Any]]:
    """The messages in unmasked text frames."""
    found = []
    while data:
        assert data[0] == 0x81
        size, head = data[1], 2
        if size == 126:
            (size,), head = struct.unpack("!H", data[2:4]), 4
        elif size == 127:
            (size,), head = struct.unpack("!Q", data[2:10]), 10
        found.append(json.loads(data[head : head + size]))
        data = data[head + size :]
    return found


class Truth:
    """Jobs that change, and the journal of it."""

    def __init__(self, epoch: str = "one") -> None:
        self.journal = Journal()
        self.journal.begin(epoch, 0)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.line: dict[str, int] = {}

    def event(self, id: str, state: str) -> None:
        seq = self.journal.seq + 1
        before = self.jobs.get(id)
        going_on = before is not None and before["state"] == state == "running"
        job = {"state": state, "progress": before["progress"] if before and going_on else None}
        self.jobs[id] = job
        if state == "gone":
            del self.jobs[id]
        text = json.dumps({"type": "event", "seq": seq, "job": id, **job})
        self.journal.event(seq, text, id, running=state == "running")

    def progress(self, id: str, percent: int) -> None:
        if self.jobs.get(id, {}).get("state") == "running":
            self.jobs[id]["progress"] = percent
        self.journal.progress(id, json.dumps({"type": "progress", "job": id, "percent": percent}))

    def place(self, line: dict[str, int]) -> None:
        changed = {k: v for k, v in line.items() if self.line.get(k) != v}
        self.line = line
        texts = [json.dumps({"type": "positions", "positions": p}) if p else None
                 for p in (line, changed)]  # fmt: skip
        self.journal.line(*texts)

    def snapshot(self) -> None:
        text = json.dumps({"type": "snapshot", "seq": self.journal.seq, "jobs": self.jobs})
        assert self.journal.snapshot(self.journal.seq, text)


class Reader:
    """A client: it notices gaps."""

    def __init__(self, truth: Truth) -> None:
        self.outbox = Outbox(truth.journal)
        self.epoch: str | None = None
        self.seq: int | None = None
        self.jobs: dict[str, dict[str, Any]] = {}
        self.line: dict[str, int] = {}
        self.snapshots = 0

    def reconnect(self, truth: Truth) -> None:
        self.outbox = Outbox(truth.journal)
        self.outbox.hello(self.epoch, self.seq)

    def read(self) -> int:
        messages = unframe(self.outbox.take())
        for message in messages:
            match message["type"]:
                case "snapshot":
                    assert self.seq is None or message["seq"] >= self.seq or self.epoch != "one"
                    self.snapshots += 1
                    self.seq, self.epoch = message["seq"], "one"
                    self.jobs = message["jobs"]
                case "event":
                    assert message["seq"] == (self.seq or 0) + 1, "a gap"
                    self.seq = message["seq"]
                    self.jobs[message["job"]] = {
                        "state": message["state"],
                        "progress": message["progress"],
                    }
                    if message["state"] == "gone":
                        del self.jobs[message["job"]]
                case "progress":
                    assert self.jobs[message["job"]]["state"] == "running"
                    self.jobs[message["job"]]["progress"] = message["percent"]
                case "positions":
                    self.line |= message["positions"]
        return len(messages)


ids = st.sampled_from("abcdef")
steps = st.one_of(
    st.tuples(st.just("event"), ids, st.sampled_from(["queued", "running", "done", "gone"])),
    st.tuples(st.just("burst"), st.integers(1, KEPT + 50)),
    st.tuples(st.just("progress"), ids, st.integers(0, 100)),
    st.tuples(st.just("release")),
    st.tuples(st.just("place"), st.dictionaries(ids, st.integers(1, 9))),
    st.tuples(st.just("snapshot")),
    st.tuples(st.just("read")),
    st.tuples(st.just("reconnect")),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=40))
def test_every_reader_ends_with_the_truth_and_never_sees_a_gap(plan: list[Any]) -> None:
    truth = Truth()
    reader = Reader(truth)
    reader.reconnect(truth)
    for name, *values in plan:
        match name:
            case "event":
                truth.event(*values)
            case "burst":
                for n in range(values[0]):
                    truth.event("abc"[n % 3], "running" if n % 2 else "queued")
            case "progress":
                truth.progress(*values)
            case "release":
                truth.journal.release()
            case "place":
                truth.place(values[0])
            case "snapshot":
                truth.snapshot()
            case "read":
                reader.read()
            case "reconnect":
                reader.reconnect(truth)
    truth.journal.release()
    for _ in range(KEPT // BATCH + 3):
        if not reader.read() and truth.journal.snapshot_wanted:
            truth.snapshot()
    assert reader.jobs == truth.jobs
    assert {k: v for k, v in reader.line.items() if k in truth.line} == truth.line
    assert reader.read() == 0, "nothing is told twice"


def test_a_reader_that_falls_too_far_behind_gets_one_snapshot_and_no_old_events() -> None:
    truth = Truth()
    reader = Reader(truth)
    reader.reconnect(truth)
    truth.snapshot()
    reader.read()
    for n in range(OUTBOX + 1):
        truth.event("a", f"state {n}")
    assert reader.read() == 0
    assert truth.journal.snapshot_wanted
    truth.snapshot()
    assert reader.read() == 1
    assert (reader.snapshots, reader.jobs) == (2, truth.jobs)


def test_a_reader_within_the_limit_gets_every_event_in_batches() -> None:
    truth = Truth()
    reader = Reader(truth)
    reader.reconnect(truth)
    truth.snapshot()
    reader.read()
    for n in range(OUTBOX):
        truth.event("a", f"state {n}")
    assert [reader.read() for _ in range(5)] == [BATCH] * 4 + [0]
    assert reader.snapshots == 1


def test_all_readers_share_the_bytes_of_events_and_snapshots() -> None:
    truth = Truth()
    readers = [Reader(truth) for _ in range(2)]
    for reader in readers:
        reader.reconnect(truth)
    truth.event("a", "queued")
    truth.snapshot()
    first, second = (reader.outbox.take() for reader in readers)
    assert first is second
    truth.event("b", "queued")
    truth.event("c", "queued")
    first, second = (reader.outbox.take() for reader in readers)
    assert first is second and len(unframe(first)) == 2


def test_another_store_or_a_number_from_the_future_means_a_snapshot() -> None:
    truth = Truth()
    for _ in range(3):
        truth.event("a", "queued")
    truth.snapshot()
    for epoch, since in (("two", 2), ("one", 9), ("one", None), (None, 2)):
        outbox = Outbox(truth.journal)
        outbox.hello(epoch, since)
        assert [m["type"] for m in unframe(outbox.take())] == ["snapshot"], (epoch, since)
    outbox = Outbox(truth.journal)
    outbox.hello("one", 2)
    assert [m["seq"] for m in unframe(outbox.take())] == [3]


def test_who_has_not_said_hello_hears_only_signs_of_life() -> None:
    truth = Truth()
    outbox = Outbox(truth.journal)
    truth.event("a", "queued")
    truth.snapshot()
    outbox.pings = outbox.pongs = True
    assert [m["type"] for m in unframe(outbox.take())] == ["ping", "pong"]
    assert outbox.take() == b""


def test_frames_of_every_size_are_read_back() -> None:
    for size in (0, 100, 125, 126, 2**16 - 10, 2**16, 2**17):
        text = json.dumps({"x": "y" * size})
        assert unframe(frame(text)) == [json.loads(text)]
