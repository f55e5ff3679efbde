"""Hub, proxy and servers that end and come back while exports run: nothing is lost or left over."""

from __future__ import annotations

import os
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hub_support import RunningHub, User
from server_support import eventually

from jupyter_export.hardware.leases import Leases
from jupyter_export.job import FINISHED

#: Servers are started and films are exported twice, on a machine that may be busy.
pytestmark = pytest.mark.timeout(1200)


def submit_film(user: User, film: Path, output: str) -> dict[str, Any]:
    """Queue an export of many segments: what ends it comes before its own end."""
    source = user.root / "long.mp4"
    if not source.exists():
        shutil.copy(film, source)
    # Of a size of its own: segments of an earlier export would be found again.
    size = [1280 - 2 * (sum(map(ord, output)) % 300), 720]
    spec = {
        "kind": "clip",
        "sources": [{"path": "long.mp4", "end": 120}],
        "output": output,
        "encoding": {"quality": "fast", "smart": False, "size": size},
    }
    return user.submit(spec)


def has_segments(user: User, job: dict[str, Any]) -> bool:
    """Whether there is something to lose."""
    now = user.job(job["id"])
    assert now["state"] != "completed", "it was too short"
    return bool(now["segments"]["rendered"])


def finished(user: User, job: dict[str, Any]) -> dict[str, Any]:
    """The job as it is at its end, which must be a good one."""
    done = user.until(job["id"], *FINISHED, seconds=600)
    assert done["state"] == "completed", done["error"]
    assert done["result"]["frames"] == done["progress"]["total_frames"]
    assert (user.root / done["output"]).stat().st_uid == user.account.uid
    assert [path.name for path in user.root.glob(f".*{job['id']}*.part")] == []
    return done


def test_exports_go_on_while_the_proxy_and_then_the_hub_are_killed(
    hub: RunningHub, alice: User, film: Path
) -> None:
    job = submit_film(alice, film, "while-killed.mp4")
    eventually(lambda: has_segments(alice, job), seconds=90)
    attempt = alice.job(job["id"])["attempt"]
    server = alice.pid
    proxy = hub.proxy_pid()
    os.kill(proxy, signal.SIGKILL)
    eventually(lambda: hub.proxy_pid() != proxy and alice.is_ready(), seconds=60)
    hub.end(signal.SIGKILL)
    assert alice.is_ready(), "the proxy and the server need no hub"
    hub.start()
    eventually(alice.is_ready, seconds=60)
    assert alice.pid == server, "the server was not found again"
    done = finished(alice, job)
    assert done["attempt"] == attempt == 1


def test_a_server_that_is_killed_loses_one_segment_of_work_at_most(alice: User, film: Path) -> None:
    job = submit_film(alice, film, "server-killed.mp4")
    eventually(lambda: has_segments(alice, job), seconds=90)
    workers = alice.workers()
    assert workers
    alice.kill()
    eventually(lambda: not set(workers) & set(alice.account.processes()), seconds=5)
    eventually(lambda: not alice.seen, seconds=30)
    alice.start()
    done = finished(alice, job)
    assert done["segments"]["reused"] >= 1, done["segments"]


@pytest.mark.parametrize(
    "last", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name
)
def test_the_signals_with_which_a_hub_ends_a_server_lose_one_segment_of_work_at_most(
    hub: RunningHub, alice: User, film: Path, last: signal.Signals
) -> None:
    """It sends SIGINT, then SIGTERM, then SIGKILL, for as long as there is a process."""
    order = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
    never = 3600
    waits = [0 if one in order[: order.index(last)] else never for one in order[:2]]
    hub.set_spawner(interrupt_timeout=waits[0], term_timeout=waits[1])
    try:
        alice.stop()
        alice.start()
    finally:
        hub.set_spawner()
    job = submit_film(alice, film, f"ended-by-{last.name}.mp4")
    eventually(lambda: has_segments(alice, job), seconds=90)
    workers, server = alice.workers(), alice.pid
    assert workers
    if last is signal.SIGKILL:  # it hears nothing of the others
        os.kill(server, signal.SIGSTOP)
    alice.stop()
    assert not Path("/proc", str(server), "exe").exists()
    eventually(lambda: not set(workers) & set(alice.account.processes()), seconds=5)
    eventually(lambda: not Leases(hub.leases).standing().held, seconds=5)
    alice.start()
    done = finished(alice, job)
    assert done["segments"]["reused"] >= 1, done["segments"]
    assert done["attempt"] == 2 and done["error"] is None


def test_a_hub_that_leaves_its_servers_alone_is_restarted_while_exports_go_on(
    hub: RunningHub, alice: User, film: Path
) -> None:
    hub.end()
    hub.start("--JupyterHub.cleanup_servers=False")
    alice.start()
    job = submit_film(alice, film, "hub-restarted.mp4")
    eventually(lambda: has_segments(alice, job), seconds=90)
    server = alice.pid
    hub.end(signal.SIGTERM)
    assert server in alice.account.processes()
    hub.start()
    eventually(alice.is_ready, seconds=60)
    assert alice.pid == server
    assert finished(alice, job)["attempt"] == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
def test_a_hub_that_is_stopped_takes_all_along_and_loses_nothing(
    hub: RunningHub,
    alice: User,
    bob: User,
    film: Path,
    how: signal.Signals,
    request: pytest.FixtureRequest,
) -> None:
    if how is not signal.SIGTERM and not request.config.getoption("--long", default=False):
        pytest.skip("as the other one; run with --long")
    both = {user: submit_film(user, film, f"{how.name}.mp4") for user in (alice, bob)}
    for user, job in both.items():
        eventually(partial(has_segments, user, job), seconds=120)
        for worker in user.workers():  # however fast the machine is, it does not finish meanwhile
            os.kill(worker, signal.SIGSTOP)
    proxy = hub.proxy_pid()
    hub.end(how)
    for user in both:
        assert user.account.processes() == {}, "it outlived the hub that started it"
    assert not Path("/proc", str(proxy), "exe").exists()
    assert list(hub.leases.iterdir()) == []
    hub.start()
    for user, job in both.items():
        user.start()
        done = finished(user, job)
        assert done["segments"]["reused"] >= 1, done["segments"]
        assert done["error"] is None
        # A worker that stands still for half a minute is a lost one: another attempt, besides.
        assert done["attempt"] in (2, 3)
