"""Store and scheduler against a dictionary: any order of commands, attempts, deaths and restarts.

Two stores are open on one database, as two servers have it; every step uses one of them, also the
scheduler's. The model knows the rules of the design only, none of the code.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from queue_support import make_job

from jupyter_export.errors import DuplicateJob, IllegalMove, JobNotFound, OutputInUse
from jupyter_export.job import Job, SegmentCounts
from jupyter_export.queue.choice import QueueState, choose
from jupyter_export.queue.store import Store

LIVE = ("queued", "running", "publishing")
LEGAL = {
    ("queued", "running"),
    ("queued", "cancelled"),
    ("running", "publishing"),
    ("running", "queued"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("publishing", "completed"),
    ("publishing", "queued"),
    ("publishing", "failed"),
    ("failed", "queued"),
    ("cancelled", "queued"),
}
RESULT = {"bytes": 3, "sha256": "abc", "frames": 30, "duration": 1.0}
ERROR = {"type": "worker-lost", "title": "t", "detail": "d", "advice": "a", "field": None}
COUNTS = SegmentCounts(rendered=2, total=2)
LIMIT = 2
"""How many jobs the scheduler lets run at once."""


@dataclass
class Known:
    """What the model knows of a job."""

    output: str
    project: str | None
    duplicate: bool
    priority: int = 0
    state: str = "queued"
    attempt: int = 0
    paused: bool = False
    cancel: bool = False
    waits: bool = False


class TwoServers(RuleBasedStateMachine):
    jobs = Bundle("jobs")
    open: type[Store] = Store
    steps = 0
    """Taken so far, in all runs of this machine together."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "jobs.sqlite"
        self.stores = [self.open(self.path), self.open(self.path)]
        self.known: dict[str, Known] = {}
        self.queue = "running"
        self.count = 0
        self.seq = self.stores[0].last_seq()
        self.history: dict[str, str] = {}

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.folder.cleanup()

    # What users do

    @rule(
        target=jobs,
        server=st.integers(0, 1),
        output=st.sampled_from("abc"),
        project=st.sampled_from([None, "p", "q"]),
        duplicate=st.booleans(),
    )
    def submit(self, server: int, output: str, project: str | None, duplicate: bool) -> str:
        self.count += 1
        id = f"job{self.count}"
        job = make_job(id, output=f"{output}.mp4", project=project)
        known = Known(job.output, project, duplicate)
        refusal = self.in_the_way(id, known)
        try:
            self.stores[server].submit(job, allow_duplicate=duplicate)
        except (OutputInUse, DuplicateJob) as error:
            assert type(error) is refusal
            return id
        assert refusal is None
        self.known[id] = known
        return id

    def in_the_way(self, id: str, new: Known) -> type[Exception] | None:
        live = [k for other, k in self.known.items() if other != id and k.state in LIVE]
        if any(k.output == new.output for k in live):
            return OutputInUse
        if new.project is None or new.duplicate:
            return None
        same = any(k.project == new.project for k in live)
        return DuplicateJob if same else None

    @rule(server=st.integers(0, 1), id=jobs)
    def cancel(self, server: int, id: str) -> None:
        known = self.known.get(id)
        if known is None:
            return self.refused(JobNotFound, lambda s: s.cancel(id), server)
        if known.state not in ("queued", "running"):
            return self.refused(IllegalMove, lambda s: s.cancel(id), server)
        self.stores[server].cancel(id)
        if known.state == "queued":
            self.end(known, "cancelled")
        else:
            known.cancel = True

    @rule(server=st.integers(0, 1), id=jobs)
    def retry(self, server: int, id: str) -> None:
        known = self.known.get(id)
        if known is None:
            return self.refused(JobNotFound, lambda s: s.retry(id), server)
        if known.state == "queued" and known.waits:
            self.stores[server].retry(id)
            known.waits = False
            return None
        if known.state not in ("failed", "cancelled"):
            return self.refused(IllegalMove, lambda s: s.retry(id), server)
        if refusal := self.in_the_way(id, known):
            return self.refused(refusal, lambda s: s.retry(id), server)
        self.stores[server].retry(id)
        known.state, known.paused, known.cancel, known.waits = "queued", False, False, False

    @rule(server=st.integers(0, 1), id=jobs, paused=st.booleans())
    def pause(self, server: int, id: str, paused: bool) -> None:
        known = self.known.get(id)
        if known is None:
            return self.refused(JobNotFound, lambda s: s.set_paused(id, paused), server)
        if known.state not in ("queued", "running"):
            return self.refused(IllegalMove, lambda s: s.set_paused(id, paused), server)
        self.stores[server].set_paused(id, paused)
        known.paused = paused

    @rule(server=st.integers(0, 1), id=jobs, priority=st.integers(-1, 1))
    def set_priority(self, server: int, id: str, priority: int) -> None:
        known = self.known.get(id)
        if known is None:
            return self.refused(JobNotFound, lambda s: s.set_priority(id, priority), server)
        if known.state != "queued":
            return self.refused(IllegalMove, lambda s: s.set_priority(id, priority), server)
        assert self.stores[server].set_priority(id, priority).priority == priority
        known.priority = priority

    @rule(server=st.integers(0, 1), id=jobs)
    def delete(self, server: int, id: str) -> None:
        known = self.known.get(id)
        if known is None:
            return self.refused(JobNotFound, lambda s: s.delete(id), server)
        if known.state in LIVE:
            return self.refused(IllegalMove, lambda s: s.delete(id), server)
        self.stores[server].delete(id)
        del self.known[id]
        self.history.pop(id, None)

    @rule(server=st.integers(0, 1), state=st.sampled_from(list(QueueState)))
    def set_queue(self, server: int, state: QueueState) -> None:
        assert self.stores[server].set_queue(state) is (self.queue != state.value)
        self.queue = state.value

    # What attempts do; `stale` is one that was replaced

    @rule(server=st.integers(0, 1), id=jobs, stale=st.booleans())
    def claim(self, server: int, id: str, stale: bool) -> None:
        known = self.known.get(id, Known("", None, False, state="gone"))
        claimed = self.stores[server].claim(id, known.attempt - stale)
        free = not (stale or known.paused or known.waits) and self.queue == "running"
        assert (claimed is not None) is (known.state == "queued" and free)
        if claimed is not None:
            known.state = "running"
            known.attempt += 1
            assert claimed.attempt == known.attempt

    @rule(server=st.integers(0, 1), id=jobs, stale=st.booleans())
    def begin_publishing(self, server: int, id: str, stale: bool) -> None:
        known = self.known.get(id, Known("", None, False, state="gone"))
        moved = self.stores[server].begin_publishing(
            id, known.attempt - stale, part="/x.part", result=RESULT, segments=COUNTS, notes=()
        )
        legal = known.state == "running" and not stale and not known.cancel
        assert (moved is not None) is legal
        if moved is not None:
            known.state = "publishing"

    @rule(server=st.integers(0, 1), id=jobs, stale=st.booleans())
    def complete(self, server: int, id: str, stale: bool) -> None:
        known = self.known.get(id, Known("", None, False, state="gone"))
        moved = self.stores[server].complete(id, known.attempt - stale)
        assert (moved is not None) is (known.state == "publishing" and not stale)
        if moved is not None:
            known.state, known.paused = "completed", False

    @rule(
        server=st.integers(0, 1),
        id=jobs,
        stale=st.booleans(),
        how=st.sampled_from(["requeue", "retry_later", "fail"]),
    )
    def end_attempt(self, server: int, id: str, stale: bool, how: str) -> None:
        known = self.known.get(id, Known("", None, False, state="gone"))
        store, attempt = self.stores[server], known.attempt - stale
        later = datetime.now(UTC) + timedelta(minutes=9)
        ended: Job | None
        if how == "requeue":
            ended = store.requeue(id, attempt)
        elif how == "retry_later":
            ended = store.retry_later(
                id, attempt, error=ERROR, not_before=later, failures=1, lost_workers=0
            )
        else:
            ended = store.fail(id, attempt, error=ERROR, failures=1, lost_workers=0)
        legal = known.state in ("running", "publishing") and not stale
        assert (ended is not None) is legal
        if ended is None:
            return
        if known.cancel:
            self.end(known, "cancelled")
        elif how == "fail":
            known.state, known.paused = "failed", False
        else:
            known.state, known.waits = "queued", how == "retry_later"

    # What the scheduler does

    @rule(server=st.integers(0, 1))
    def schedule(self, server: int) -> None:
        """Start what it chooses: as many as may run, none that must wait, the best first."""
        store = self.stores[server]
        decision = choose(
            store.entries(), datetime.now(UTC), limit=LIMIT, queue=store.queue_state()
        )
        ready = {id for id, k in self.known.items() if k.state == "queued" and not k.paused}
        assert decision.places.keys() == {i for i, k in self.known.items() if k.state == "queued"}
        ready = {id for id in ready if not self.known[id].waits}
        busy = sum(k.state in ("running", "publishing") for k in self.known.values())
        free = max(0, LIMIT - busy) if self.queue == "running" else 0
        started = [entry.id for entry in decision.start]
        assert len(started) == len(set(started)) == min(free, len(ready))
        assert ready.issuperset(started)
        worst = min((self.known[id].priority for id in started), default=1)
        assert all(self.known[id].priority <= worst for id in ready.difference(started) if started)
        for entry in decision.start:
            job = store.claim(entry.id, entry.attempt)
            known = self.known[entry.id]
            known.state, known.attempt = "running", known.attempt + 1
            assert job is not None and job.attempt == known.attempt

    @rule(server=st.integers(0, 1))
    def recover(self, server: int) -> None:
        """Whoever ran jobs has died: they go back, or are cancelled if that was asked for."""
        store = self.stores[server]
        for job in store.active():
            known = self.known[job.id]
            if known.state == "running":
                assert store.requeue(job.id, job.attempt) is not None
                if known.cancel:
                    self.end(known, "cancelled")
                else:
                    known.state, known.waits = "queued", False

    @rule(server=st.integers(0, 1), keep=st.integers(1, 3))
    def forget(self, server: int, keep: int) -> None:
        """The history is cut to the `keep` that finished last; what is live stays."""
        finished = [id for id, k in self.known.items() if k.state not in LIVE]
        gone = max(0, len(finished) - keep)
        assert self.stores[server].forget(keep=keep, before=None, limit=100) == gone
        left = {job.id for job in self.stores[server].list(limit=500)}
        for id in finished:
            if id not in left:
                del self.known[id]
                self.history.pop(id, None)
        assert left == self.known.keys()

    @rule(server=st.integers(0, 1))
    def restart(self, server: int) -> None:
        self.stores[server].close()
        self.stores[server] = self.open(self.path)

    # What always holds

    @invariant()
    def count_the_step(self) -> None:
        type(self).steps += 1

    @invariant()
    def both_servers_see_what_the_model_knows(self) -> None:
        for store in self.stores:
            stored = {job.id: job for job in store.list(limit=500)}
            assert {id: self.view(job) for id, job in stored.items()} == {
                id: (k.state, k.attempt, k.paused, k.cancel, k.waits)
                for id, k in self.known.items()
            }

    @invariant()
    def every_move_was_legal_and_every_event_is_there(self) -> None:
        store = self.stores[0]
        events = store.events_since(self.seq, limit=100)
        assert [e.seq for e in events] == list(range(self.seq + 1, store.last_seq() + 1))
        self.seq = store.last_seq()
        for id, known in self.known.items():
            before = self.history.get(id, "queued")
            assert before == known.state or (before, known.state) in LEGAL
            self.history[id] = known.state
            if before != known.state:
                assert any(e.job_id == id for e in events)

    @invariant()
    def no_output_is_written_twice(self) -> None:
        live = [k.output for k in self.known.values() if k.state in LIVE]
        assert len(live) == len(set(live))

    @staticmethod
    def view(job: Job) -> tuple[Any, ...]:
        waits = job.not_before is not None
        return job.state.value, job.attempt, job.paused, job.cancel_requested, waits

    def end(self, known: Known, state: str) -> None:
        known.state, known.paused, known.cancel, known.waits = state, False, False, False

    def refused(self, error: type[Exception], command: Any, server: int) -> None:
        try:
            command(self.stores[server])
        except error:
            return
        raise AssertionError(f"not refused with {error.__name__}")


class Unfenced(Store):
    """A mutant: an attempt that was replaced may still change the job."""

    def _change(self, id: str, *args: Any, attempt: int | None = None, **more: Any) -> Any:
        return super()._change(id, *args, **more)


class TwoCarelessServers(TwoServers):
    open = Unfenced


ORDINARY = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestTwoServers = TwoServers.TestCase
TestTwoServers.settings = ORDINARY


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_ten_thousand_steps_without_an_illegal_move() -> None:
    class Counted(TwoServers):
        pass

    examples = 260  # of forty steps each; the invariants hold once before the first one, too
    run_state_machine_as_test(Counted, settings=settings(ORDINARY, max_examples=examples))
    print(f"steps={Counted.steps - examples}")
    assert Counted.steps - examples >= 10_000


@pytest.mark.parametrize("chance", range(3))
def test_a_store_without_the_fence_is_found_out(chance: int) -> None:
    """Every time, whatever the chance."""
    quick = settings(ORDINARY, max_examples=200, phases=[Phase.generate], print_blob=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(seed(chance)(TwoCarelessServers), settings=quick)
