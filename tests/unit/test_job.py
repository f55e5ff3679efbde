"""A job's legal moves, its JSON form, and what becomes of it after a failure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from queue_support import make_job

from jupyter_export.errors import DiskFull, EncoderFailed, ExportError, IllegalMove, WorkerLost
from jupyter_export.job import ACTIVE, FINISHED, MOVES, State, check_move
from jupyter_export.queue.retry import MAX_DELAY_SECONDS, Verdict, after_failure, backoff

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def judge(error: ExportError, *, failures: int = 0, lost_workers: int = 0) -> Verdict:
    return after_failure(
        make_job(failures=failures, lost_workers=lost_workers),
        error,
        NOW,
        max_attempts=3,
        max_lost_workers=3,
        base_seconds=2.0,
        draw=lambda: 0.5,
    )


def test_every_state_is_live_or_finished_and_none_is_a_dead_end_but_completed() -> None:
    assert set(State) == ACTIVE | FINISHED
    assert not ACTIVE & FINISHED
    assert [state for state in State if not MOVES[state]] == [State.COMPLETED]


def test_illegal_move_names_the_job_and_both_states() -> None:
    with pytest.raises(IllegalMove, match="Job a is completed and cannot become running"):
        check_move(make_job("a", state=State.COMPLETED), State.RUNNING)


def test_times_are_shown_in_utc_whatever_zone_they_came_in() -> None:
    east = datetime(2030, 1, 1, 12, tzinfo=UTC).astimezone()
    assert make_job(created_at=east).to_json()["created_at"] == "2030-01-01T12:00:00.000Z"


def test_completed_job_is_at_100_percent_without_any_live_progress() -> None:
    job = make_job(state=State.COMPLETED, result={"frames": 240})
    progress = job.to_json()["progress"]
    assert (progress["percent"], progress["frames"], progress["phase"]) == (100.0, 240, "completed")


def test_passing_error_is_tried_again_with_growing_waits_and_then_is_final() -> None:
    error = EncoderFailed("It stopped.")
    first, second, third = (judge(error, failures=n) for n in range(3))
    assert first.retry_at == NOW + timedelta(seconds=1)
    assert second.retry_at == NOW + timedelta(seconds=2)
    assert (third.retry_at, third.failures, third.error) == (None, 3, error)


def test_error_that_cannot_pass_is_final_at_once() -> None:
    assert judge(DiskFull("There is no space left.")).retry_at is None


def test_lost_workers_do_not_use_up_the_tries_for_other_errors() -> None:
    verdict = judge(WorkerLost("Killed."), failures=2)
    assert verdict.retry_at is not None
    assert (verdict.failures, verdict.lost_workers) == (2, 1)


def test_third_lost_worker_ends_the_job_and_says_how_many_were_lost() -> None:
    verdict = judge(WorkerLost("It was killed by signal 11."), lost_workers=2)
    assert verdict.retry_at is None
    assert "3 worker processes died" in verdict.error.detail
    assert "signal 11" in verdict.error.detail


def test_waits_are_spread_over_the_whole_range_and_bounded() -> None:
    assert backoff(3, 2.0, lambda: 0.0) == 0.0
    assert backoff(3, 2.0, lambda: 1.0) == 8.0
    assert backoff(10_000, 2.0, lambda: 1.0) == MAX_DELAY_SECONDS
