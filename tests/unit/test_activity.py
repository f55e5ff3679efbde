"""Which exports keep a server from being shut down as idle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from jupyter_export.server.activity import Activity
from jupyter_export.settings import Settings


def job(id: str, state: str, paused: bool = False) -> dict[str, Any]:
    return {"id": id, "state": state, "paused": paused, "kind": "clip", "encoder": None}


def event(job: dict[str, Any]) -> dict[str, Any]:
    return {"type": "event", "job": job}


def activity(hours: float = 24, leading: bool = True) -> Activity:
    return Activity("exports", Settings(keep_alive_hours=hours), lambda: leading)


def test_running_and_waiting_exports_are_work_and_paused_ones_are_not() -> None:
    work = activity()
    work.correct([job("a", "running"), job("b", "queued"), job("c", "queued", True)], "running")
    assert work.to_do == 2
    work.hear(event(job("b", "queued", paused=True)))
    assert work.to_do == 1
    work.hear(event(job("c", "queued", paused=False)))
    assert work.to_do == 2
    work.hear(event(job("c", "cancelled")))
    work.hear(event(job("a", "cancelled")))
    assert work.to_do == 0


def test_of_a_queue_that_starts_nothing_only_what_runs_is_work() -> None:
    work = activity()
    work.correct([job("a", "running"), job("b", "queued")], "running")
    for state in ("paused", "draining"):
        work.hear({"type": "event", "queue": state})
        assert work.to_do == 1
    work.hear({"type": "event", "queue": "running"})
    assert work.to_do == 2
    work.correct([job("b", "queued")], "paused")
    assert work.to_do == 0


class Application:
    """What Jupyter's web application knows of its use."""

    def __init__(self, hours_ago: float) -> None:
        self.settings: dict[str, Any] = {"last_activity_times": {}}
        self.used = datetime.now(UTC) - timedelta(hours=hours_ago)

    def last_activity(self) -> datetime:
        return max([self.used, *self.settings["last_activity_times"].values()])


def test_exports_keep_a_server_for_so_long_after_its_last_use_by_somebody_else() -> None:
    work = activity(hours=2)
    work.correct([job("a", "running")], "running")
    lately, long_ago = Application(hours_ago=1), Application(hours_ago=3)
    assert work.now(lately) == 1
    # That it was kept alive itself is no use by somebody.
    long_ago.settings["last_activity_times"]["exports"] = datetime.now(UTC)
    assert work.now(long_ago) == 0
    assert long_ago.last_activity() > long_ago.used, "what others read was changed"


def test_a_server_that_only_follows_the_queue_of_another_one_is_idle() -> None:
    work = activity(leading=False)
    work.correct([job("a", "running")], "running")
    assert work.now(Application(hours_ago=0)) == 0
