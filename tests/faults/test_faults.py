"""Servers and workers that die or stop at any moment lose nothing, and show nothing half."""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Iterator

import pytest
from fault_support import FILMS, LOCKED_IN, Faults, Site, Violation, films_of, open_site
from server_support import eventually

from jupyter_export.points import Point

THIRDS = "thirds.mp4"
"""A film that is rendered, in three segments, with sound."""

OF_SERVER = [
    Point.SUBMITTED,
    Point.CLAIMED,
    Point.PLANNED,
    Point.INTENDED,
    Point.RENAMED,
    Point.PUBLISHED,
    Point.COMPLETED,
]
OF_WORKER = [
    Point.PLAN_KEPT,
    Point.SEGMENT_WRITTEN,
    Point.SEGMENT_PLACED,
    Point.SEGMENT_KEPT,
    Point.PART_WRITTEN,
    Point.PART_SYNCED,
]
#: Each seed strikes 200 times, in parts that can be run by themselves.
LONG_SEEDS, LONG_PARTS, LONG_FAULTS = 5, 4, 50
QUICK_FAULTS = 12


def test_every_named_point_is_one_at_which_something_dies_here() -> None:
    assert {*OF_SERVER, *OF_WORKER, Point.REQUEUED, Point.RECOVERED} == set(Point)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "long_seed" in metafunc.fixturenames:
        seeds = metafunc.config.getoption("--fault-seed") or range(1, LONG_SEEDS + 1)
        metafunc.parametrize("part", range(LONG_PARTS), ids=lambda part: f"part-{part}")
        metafunc.parametrize("long_seed", seeds, ids=lambda seed: f"seed-{seed}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, right: dict[str, str]) -> Iterator[Site]:
    """One server that dies at one point after the other; audited at the end, too."""
    with open_site(tmp_path_factory.mktemp("points"), right) as site:
        yield site
        site.audit()


@pytest.mark.parametrize("old", [False, True], ids=["new", "over-an-old-film"])
@pytest.mark.parametrize("point", OF_SERVER)
def test_server_killed_at_a_named_point_finishes_the_export_after_its_restart(
    site: Site, point: Point, old: bool, long: bool
) -> None:
    if old is not (point in {Point.INTENDED, Point.RENAMED}) and not long:
        pytest.skip("with --long")
    site.arm(point)
    site.submit(THIRDS, old=old)
    site.wait_for_death()
    assert not site.armed(point)
    site.restart()
    site.until_done()
    site.audit_visible()


@pytest.mark.parametrize("whom", ["itself", "its server"])
@pytest.mark.parametrize("point", OF_WORKER)
def test_worker_killed_at_a_named_point_costs_a_segment_at_most(
    site: Site, point: Point, whom: str, long: bool
) -> None:
    if whom == "its server" and not long and point is not Point.PART_SYNCED:
        pytest.skip("with --long")
    site.forget_segments()
    site.arm(point, "SIGKILL parent" if whom == "its server" else "SIGKILL")
    site.submit(THIRDS)
    if whom == "its server":
        site.wait_for_death()
        site.restart()
    site.until_done()
    assert not site.armed(point)
    site.audit_visible()


def test_server_killed_while_it_puts_a_paused_job_back_goes_on_later(site: Site) -> None:
    site.forget_segments()
    # The worker stands still in its first segment, so that the pause comes in time.
    site.arm(Point.SEGMENT_WRITTEN, "SIGSTOP")
    asked = site.submit(THIRDS)
    eventually(lambda: not site.armed(Point.SEGMENT_WRITTEN), seconds=60, why=site.story)
    site.arm(Point.REQUEUED)
    site.server.post(f"jobs/{asked.id}/pause").raise_for_status()
    site.wait_for_death()
    site.restart()
    job = site.server.job(asked.id)
    assert (job["state"], job["paused"]) == ("queued", True)
    site.server.post(f"jobs/{asked.id}/resume").raise_for_status()
    site.until_done()


def test_server_killed_while_it_recovers_recovers_at_the_next_start(site: Site) -> None:
    site.forget_segments()
    site.arm(Point.SEGMENT_WRITTEN, "SIGSTOP")
    site.submit(THIRDS)  # is running whenever the server dies
    eventually(lambda: not site.armed(Point.SEGMENT_WRITTEN), seconds=60, why=site.story)
    site.arm(Point.RECOVERED)
    site.arm(Point.INTENDED)
    site.submit("copy.mp4")
    site.wait_for_death()
    with contextlib.suppress(AssertionError):  # it may have answered before it died
        site.restart()
    assert site.server.process.wait(30) == -signal.SIGKILL
    assert not site.armed(Point.RECOVERED)
    site.restart()
    site.until_done()


def test_random_faults_lose_nothing_and_leave_nothing_half(
    tmp_path_factory: pytest.TempPathFactory, right: dict[str, str], pytestconfig: pytest.Config
) -> None:
    """Seeds and faults are in the output; ``--fault-seed N`` strikes in the same way again."""
    seeds = pytestconfig.getoption("--fault-seed") or [random.randrange(10**6)]
    for seed in seeds:
        with open_site(tmp_path_factory.mktemp("quick"), right, **LOCKED_IN) as site:
            Faults(site, seed).run(QUICK_FAULTS)
            site.audit()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_hundreds_of_random_faults_lose_nothing_and_leave_nothing_half(
    tmp_path_factory: pytest.TempPathFactory, right: dict[str, str], long_seed: int, part: int
) -> None:
    with open_site(tmp_path_factory.mktemp("long"), right, **LOCKED_IN) as site:
        faults = Faults(site, f"{long_seed}.{part}")
        faults.run(LONG_FAULTS)
        site.audit()
    print(f"seed={faults.seed} jobs={len(site.asked)} faults={dict(faults.done)}")


def test_other_numbers_of_workers_give_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, right: dict[str, str]
) -> None:
    """Undisturbed with one worker per export: `right`. Killed and resumed: every test above."""
    wide = {"ExportApp.segment_workers": 3, "ExportApp.max_concurrent_exports": 2, **LOCKED_IN}
    with open_site(tmp_path_factory.mktemp("wide"), **wide) as site:
        assert films_of(site) == right


@pytest.mark.parametrize("how", ["killed", "undisturbed"])
def test_a_publish_without_rename_is_found_out(
    tmp_path_factory: pytest.TempPathFactory, right: dict[str, str], how: str
) -> None:
    """The audit bites: a mutant of the server writes into the output itself."""
    folder = tmp_path_factory.mktemp("mutant")
    with open_site(folder, right, mutant="careless_publish") as site:
        if how == "killed":
            site.arm(Point.RENAMED)
            site.submit(random.choice(list(FILMS)))
            with pytest.raises(Violation, match="is visible and not whole"):
                site.wait_for_death()
        else:
            site.submit(random.choice(list(FILMS)), old=True)
            site.until_done()
            with pytest.raises(Violation, match="written to in its place"):
                site.audit_visible()
