"""What finished exports teach: estimates that come right with few examples."""

from __future__ import annotations

import random
from statistics import median

import pytest

from jupyter_export.queue.crowd import Crowd
from jupyter_export.queue.speeds import PARTS, Observation, Speeds, at_once, learn


def work(seconds: float, megapixels: float, bits: float = 0.2) -> tuple[float, ...]:
    """Of an export of so many seconds at so many megapixels a frame, as `media.cost` reckons."""
    frames = 30 * seconds
    pixels = megapixels * frames
    return (0.4, 1.6e-3 * pixels, 7.5e-3 * pixels, 10e-3 * pixels, 0.002 * seconds, bits * pixels)


class Machine:
    """One whose parts differ from the machine of reference, each in its own way."""

    def __init__(self, seed: int, noise: float = 0.1) -> None:
        self.random = random.Random(seed)
        self.speed = self.random.uniform(0.2, 5)
        self.factors = [self.speed * self.random.uniform(0.4, 2.5) for _ in PARTS]
        self.noise = noise

    def true(self, work: tuple[float, ...]) -> float:
        return sum(f * w for f, w in zip(self.factors, work, strict=False))

    def run(self) -> Observation:
        one = work(self.random.uniform(2, 120), self.random.choice([0.23, 0.92, 2.07, 8.3]))
        seconds = self.true(one) * self.random.lognormvariate(0, self.noise)
        return Observation(work=one, seconds=seconds, coded=one[5] * 1.7)


def errors(machine: Machine, speeds: Speeds, count: int = 40) -> list[float]:
    exports = [machine.run() for _ in range(count)]
    return [abs(speeds.seconds(e.work) / machine.true(e.work) - 1) for e in exports]


def test_without_an_example_it_is_the_machine_of_reference() -> None:
    speeds = learn([])
    assert speeds.seconds(work(10, 0.92)) == pytest.approx(sum(work(10, 0.92)[: len(PARTS)]))
    assert speeds.examples == 0


def test_after_five_jobs_of_a_kind_half_of_the_estimates_are_within_a_quarter() -> None:
    found = []
    for seed in range(60):
        machine = Machine(seed)
        found += errors(machine, learn([machine.run() for _ in range(5)]))
    assert median(found) < 0.15


def test_another_kind_tells_how_fast_the_machine_is() -> None:
    # The parts of another kind weigh otherwise; what they share is the machine.
    known, unknown = [], []
    for seed in range(60):
        machine = Machine(seed)
        known += errors(machine, learn([], [machine.run() for _ in range(5)]))
        unknown += errors(machine, learn([]))
    assert median(known) < 0.5 * median(unknown)


def test_one_bad_moment_does_not_spoil_what_is_known() -> None:
    machine = Machine(3)
    good = [machine.run() for _ in range(6)]
    one = machine.run()
    stalled = Observation(work=one.work, seconds=20 * one.seconds)
    assert median(errors(machine, learn([stalled, *good]))) < 0.25


def test_exports_that_shared_the_machine_count_for_what_they_took_of_it() -> None:
    machine = Machine(5, noise=0.02)
    shared = [
        Observation(work=e.work, seconds=3 * e.seconds, beside=3.0)
        for e in (machine.run() for _ in range(5))
    ]
    assert median(errors(machine, learn(shared))) < 0.2


def test_a_machine_that_got_slower_is_noticed() -> None:
    machine = Machine(8)
    fast = [machine.run() for _ in range(12)]
    machine.factors = [2 * f for f in machine.factors]
    slow = [machine.run() for _ in range(12)]
    assert median(errors(machine, learn([*slow, *fast]))) < 0.25


def test_sizes_are_learnt_too() -> None:
    machine = Machine(1)
    assert learn([machine.run() for _ in range(3)]).coded(work(10, 1)) == pytest.approx(
        1.7 * work(10, 1)[5]
    )


def test_segments_that_render_together_take_their_time_together() -> None:
    alone = work(10, 1)
    assert at_once(alone, 8, 4) == (
        alone[0], alone[1] / 4, alone[2] / 4, alone[3] / 4, alone[4], alone[5]
    )  # fmt: skip
    assert at_once(alone, 2, 4)[3] == alone[3] / 2
    assert at_once(alone, 0, 4) == alone


def test_a_crowd_knows_how_many_were_beside_whom() -> None:
    now = 0.0
    crowd = Crowd(lambda: now)
    first = crowd.enter()
    now = 10.0
    second = crowd.enter()
    now = 20.0
    assert second() == 2.0
    now = 30.0
    assert first() == pytest.approx(4 / 3)
