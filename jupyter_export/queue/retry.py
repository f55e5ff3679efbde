"""What becomes of a job whose attempt failed: again later, or failed. A pure function."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..errors import EncoderBusy, ExportError, WorkerLost
from ..job import Job

__all__ = ["MAX_DELAY_SECONDS", "Verdict", "after_failure", "backoff", "waits"]

#: However often it failed, a job is tried again within this time.
MAX_DELAY_SECONDS = 600.0

#: A session of an encoder becomes free at any moment: so long at most until it is asked for again.
MAX_BUSY_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What to do with a job whose attempt failed."""

    error: ExportError
    """What the job shows."""
    failures: int
    lost_workers: int
    retry_at: datetime | None
    """When to try again; None: it has failed for good."""
    notes: tuple[str, ...] = ()
    """What the job still tells when a later attempt has succeeded."""


def after_failure(
    job: Job,
    error: ExportError,
    now: datetime,
    *,
    max_attempts: int,
    max_lost_workers: int,
    base_seconds: float,
    draw: Callable[[], float] = random.random,
) -> Verdict:
    """Judge the failure `error` of `job`; `draw` gives numbers in [0, 1).

    Lost workers are counted apart from other errors that can pass by themselves, so that a file
    that crashes the codec comes to an end, and a passing trouble does not use up its tries. A
    busy encoder is no failure at all: the job waits for it as long as it takes.
    """
    failures, lost = job.failures, job.lost_workers
    if isinstance(error, EncoderBusy):
        waits = max(1, job.attempt - failures - lost)
        seconds = min(MAX_BUSY_SECONDS, base_seconds / 2 + backoff(waits, base_seconds, draw))
        return Verdict(
            error=error,
            failures=failures,
            lost_workers=lost,
            retry_at=now + timedelta(seconds=seconds),
            notes=(f"Waited for hardware: {error.detail}",),
        )
    if isinstance(error, WorkerLost):
        lost += 1
        again, nth = lost < max_lost_workers, lost
        if not again:
            error = WorkerLost(
                f"{lost} worker processes died under this export; the last one: "
                f"{error.detail or 'no reason known.'}",
                "The source probably crashes the codec, or memory is short: see the job's log.",
            )
    else:
        failures += 1
        again, nth = error.transient and failures < max_attempts, failures
    wait = timedelta(seconds=backoff(nth, base_seconds, draw))
    return Verdict(
        error=error,
        failures=failures,
        lost_workers=lost,
        retry_at=now + wait if again else None,
    )


def waits(not_before: datetime | None, now: datetime) -> bool:
    """Whether a retry's time is still to come.

    A time further ahead than any wait was set by another clock than the one that `now` tells: the
    computer's has been put back, and the retry is due.
    """
    longest = timedelta(seconds=MAX_DELAY_SECONDS)
    return not_before is not None and now < not_before <= now + longest


def backoff(nth: int, base_seconds: float, draw: Callable[[], float] = random.random) -> float:
    """Seconds until the try after the `nth` failure: exponential, with full jitter.

    Uniform in [0, base · 2^(n−1)), so that jobs that failed together do not come back together.
    """
    exponent = min(nth - 1, 30)
    return draw() * min(MAX_DELAY_SECONDS, base_seconds * 2.0**exponent)
