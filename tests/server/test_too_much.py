"""Limits against too much of a good thing: each a setting, each refusal with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from feed_support import Listener
from server_support import RunningServer, clip
from websockets.exceptions import ConnectionClosed

from jupyter_export.errors import TooManyRequests
from jupyter_export.notebook.client import connect
from jupyter_export.server.gate import Gate
from jupyter_export.settings import Settings

CLIP = "subtitles_mov_text.mp4"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with small limits, whose queue is paused."""
    server = RunningServer(
        tmp_path_factory.mktemp("strict"),
        **{
            "ExportApp.submits_per_minute": 5,
            "ExportApp.max_queued": 3,
            "ExportApp.max_previews": 2,
            "ExportApp.max_feed_clients": 2,
            "ExportApp.max_request_bytes": 8192,
        },
    )
    server.add(CLIP)
    server.post("queue/pause").raise_for_status()
    yield server
    server.stop()


def test_too_many_jobs_in_the_queue_and_too_many_submits_are_refused(
    strict: RunningServer,
) -> None:
    for number in range(3):
        strict.submit(clip(CLIP, f"queued{number}.mp4"))
    full = strict.post("jobs", {"spec": clip(CLIP, "one_more.mp4")})
    assert (full.status_code, full.json()["type"]) == (503, "queue-busy")
    assert "3 exports wait already" in full.json()["detail"]
    strict.post("jobs", {"spec": clip(CLIP, "and_more.mp4")})

    often = strict.post("jobs", {"spec": clip(CLIP, "too_often.mp4")})
    assert often.status_code == 429
    assert often.headers["content-type"] == "application/problem+json"
    problem = often.json()
    assert problem["type"] == "too-many-requests" and "submits_per_minute" in problem["advice"]
    assert 1 <= int(often.headers["retry-after"]) == problem["retry_after"] <= 60
    assert len(strict.http.get("jobs").json()["jobs"]) == 3


def test_a_body_within_jupyters_limit_but_beyond_ours_is_refused(strict: RunningServer) -> None:
    project = {"spec": {"kind": "clip", "filler": ["x" * 100] * 100}}
    refused = strict.post("preview", project)
    assert refused.status_code == 413
    assert "8192 bytes" in refused.json()["detail"]
    assert "max_request_bytes" in refused.json()["advice"]


def test_more_previews_at_once_than_allowed_are_refused_and_the_others_come(
    strict: RunningServer,
) -> None:
    body = json.dumps({"spec": clip(CLIP, "look.mp4"), "time": 0.2})
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: strict.http.post("preview", content=body), range(8)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}, statuses
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert "max_previews" in refused.json()["advice"]
    assert strict.http.get("probe", params={"path": CLIP}).status_code == 200


def test_more_feed_clients_than_allowed_are_told_so_and_come_in_later(
    strict: RunningServer,
) -> None:
    inside = [Listener(strict).connect().caught_up() for _ in range(2)]
    outside = Listener(strict).connect()
    with pytest.raises(ConnectionClosed) as end:
        outside.hear()
    assert end.value.rcvd is not None and end.value.rcvd.code == 1013
    assert "max_feed_clients" in end.value.rcvd.reason
    for listener in inside:
        listener.close()
    outside.close()

    def comes_in() -> bool:
        try:
            Listener(strict).connect().caught_up().close()
        except ConnectionClosed:
            return False
        return True

    assert any(comes_in() for _ in range(50))


def test_a_program_that_submits_too_fast_waits_instead_of_failing(
    own_server: Callable[..., RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own_server(**{"ExportApp.submits_per_minute": 2})
    server.add(CLIP)
    server.post("queue/pause").raise_for_status()
    waited: list[float] = []

    def no_time_to_lose(seconds: float) -> None:
        waited.append(seconds)
        # As if the minute had passed.
        server.stop()
        server.start()

    clock = SimpleNamespace(sleep=no_time_to_lose)
    monkeypatch.setattr("jupyter_export.notebook.connection.time", clock)
    with connect(server.url, token=server.token) as client:
        for number in range(3):
            client.submit(clip(CLIP, f"fast{number}.mp4"))
    assert len(waited) == 1 and 50 < waited[0] <= 60
    assert len(server.http.get("jobs").json()["jobs"]) == 3


def test_a_minute_later_there_is_room_again() -> None:
    now = [1000.0]
    settings = Settings(submits_per_minute=2)
    gate = Gate(settings, lambda: now[0])
    gate.submit()
    now[0] += 20
    gate.submit()
    with pytest.raises(TooManyRequests) as refused:
        gate.submit()
    assert refused.value.extra["retry_after"] == 40
    now[0] += 40
    gate.submit()
    with pytest.raises(TooManyRequests):
        gate.submit()
    settings.submits_per_minute = 0
    for _ in range(1000):
        gate.submit()
