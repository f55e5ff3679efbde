"""Which job starts next, and what each of the others waits for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_export.job import State
from jupyter_export.queue.choice import Decision, Entry, QueueState, choose

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


def entries(*ids: str, **fields: Any) -> list[Entry]:
    """Entries in the order of submission; ``p1`` belongs to project ``p``."""
    return [
        Entry(id=id, number=number, project=id[:-1] or None, **fields)
        for number, id in enumerate(ids)
    ]


def running(*ids: str) -> list[Entry]:
    return [Entry(id=id, number=-1, project=id[:-1] or None, state=State.RUNNING) for id in ids]


def order(decision: Decision) -> list[str]:
    """The ids of the jobs in the line, the next one first."""
    places = {id: p.position for id, p in decision.places.items() if p.position is not None}
    return sorted(places, key=lambda id: places[id])


def test_oldest_starts_first() -> None:
    decision = choose(entries("a1", "b1", "c1"), NOW, limit=2)
    assert [e.id for e in decision.start] == ["a1", "b1"]


def test_higher_priority_goes_before_older_and_before_fair_share() -> None:
    line = [*entries("a1", "b1"), Entry(id="a9", number=9, project="a", priority=1)]
    decision = choose([*running("a0"), *line], NOW, limit=2)
    assert [e.id for e in decision.start] == ["a9"]
    assert order(decision) == ["a9", "b1", "a1"]


def test_project_with_fewest_running_goes_first() -> None:
    decision = choose([*running("a8", "a9", "b9"), *entries("a1", "b1", "c1")], NOW, limit=4)
    assert [e.id for e in decision.start] == ["c1"]
    assert order(decision) == ["c1", "b1", "a1"]


def test_one_project_with_many_jobs_does_not_keep_the_others_waiting() -> None:
    decision = choose(entries("a1", "a2", "a3", "a4", "b1", "b2"), NOW, limit=2)
    assert [e.id for e in decision.start] == ["a1", "b1"]
    assert order(decision) == ["a1", "b1", "a2", "b2", "a3", "a4"]


def test_jobs_without_a_project_share_as_one() -> None:
    decision = choose(entries("1", "2", "p1"), NOW, limit=2)
    assert [e.id for e in decision.start] == ["1", "p1"]


def test_waiting_job_tells_how_many_run_and_how_many_come_before() -> None:
    decision = choose([*running("a0", "b0", "c0"), *entries("a1", "b1")], NOW, limit=3)
    assert decision.start == ()
    assert decision.places["a1"].position == 1
    assert decision.places["a1"].waiting_for == "a free place: 3 of 3 run"
    assert decision.places["b1"].waiting_for == "a free place: 3 of 3 run, 1 more before it"


def test_publishing_job_still_takes_a_place() -> None:
    publishing = Entry(id="x", number=0, state=State.PUBLISHING)
    assert choose([publishing, *entries("a1")], NOW, limit=1).start == ()


def test_lower_limit_than_what_runs_starts_nothing() -> None:
    assert choose([*running("a0", "b0"), *entries("a1")], NOW, limit=1).start == ()


def test_paused_job_is_passed_over_and_has_no_place() -> None:
    decision = choose([*entries("a1", paused=True), *entries("b2")], NOW, limit=1)
    assert [e.id for e in decision.start] == ["b2"]
    assert decision.places["a1"].position is None
    assert "resume" in decision.places["a1"].waiting_for


def test_retry_waits_for_its_time_behind_those_who_can_start() -> None:
    soon, later = NOW + timedelta(seconds=5), NOW + timedelta(seconds=9)
    line = [
        Entry(id="later", number=0, not_before=later),
        Entry(id="soon", number=1, not_before=soon),
        Entry(id="due", number=2, not_before=NOW),
    ]
    decision = choose(line, NOW, limit=3)
    assert [e.id for e in decision.start] == ["due"]
    assert order(decision) == ["due", "soon", "later"]
    assert decision.places["soon"].waiting_for == "its next try at 12:00:05 UTC"
    assert decision.wake_at == soon
    assert [e.id for e in choose(line, soon, limit=3).start] == ["soon", "due"]


def test_retry_is_due_when_the_clock_was_put_back_behind_it() -> None:
    entry = Entry(id="a", number=0, not_before=NOW + timedelta(days=1))
    decision = choose([entry], NOW, limit=1)
    assert decision.start == (entry,)
    assert decision.wake_at is None


@pytest.mark.parametrize(
    ("queue", "word"), [(QueueState.PAUSED, "paused"), (QueueState.DRAINING, "draining")]
)
def test_stopped_queue_starts_nothing_and_says_why(queue: QueueState, word: str) -> None:
    decision = choose(entries("a1", "b1"), NOW, limit=3, queue=queue)
    assert decision.start == ()
    assert word in decision.places["a1"].waiting_for
    assert order(decision) == ["a1", "b1"]


@given(
    st.lists(
        st.builds(
            dict,
            project=st.sampled_from([None, "a", "b", "c"]),
            priority=st.integers(-2, 2),
            state=st.sampled_from([State.QUEUED, State.QUEUED, State.RUNNING, State.PUBLISHING]),
            paused=st.booleans(),
            not_before=st.sampled_from([None, NOW - timedelta(1), NOW + timedelta(minutes=5)]),
        ),
        max_size=30,
    ),
    st.integers(1, 5),
    st.sampled_from(list(QueueState)),
)
def test_every_queued_job_has_a_place_and_no_place_is_given_twice(
    fields: list[dict[str, Any]], limit: int, queue: QueueState
) -> None:
    jobs = [Entry(id=str(n), number=n, **f) for n, f in enumerate(fields)]
    decision = choose(jobs, NOW, limit=limit, queue=queue)
    queued = [job for job in jobs if job.state is State.QUEUED]
    assert set(decision.places) == {job.id for job in queued}
    assert all(place.waiting_for for place in decision.places.values())
    numbers = sorted(p.position for p in decision.places.values() if p.position is not None)
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(decision.start) + len(jobs) - len(queued) <= max(limit, len(jobs) - len(queued))
    for job in decision.start:
        assert not job.paused
        assert job.not_before is None or job.not_before <= NOW
        assert queue is QueueState.RUNNING
    if queue is QueueState.RUNNING and decision.start:
        least = min(job.priority for job in decision.start)
        left = [j for j in queued if j not in decision.start and not j.paused]
        ready = [j for j in left if j.not_before is None or j.not_before <= NOW]
        assert all(job.priority <= least for job in ready)
