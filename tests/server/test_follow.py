"""The Python client follows the feed, through restarts, and does without it where it must."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from server_support import RunningServer, clip

import jupyter_export as jx
from jupyter_export import Client, connect
from jupyter_export.errors import ServerUnreachable
from jupyter_export.job import State
from jupyter_export.notebook.connection import Connection

CLIP = "timecode_720p30.mp4"


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with connect(server.url, server.token) as client:
        yield client


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The REST requests that clients send."""
    sent: list[str] = []
    send = Connection.call

    def call(self: Connection, method: str, path: str, **more: Any) -> Any:
        sent.append(f"{method} {path}")
        return send(self, method, path, **more)

    monkeypatch.setattr(Connection, "call", call)
    return sent


def test_a_follower_sees_an_export_from_submit_to_completed(
    client: Client, server: RunningServer
) -> None:
    with client.follow() as feed:
        assert next(feed)["type"] == "snapshot" and feed.live
        id = server.submit(clip(CLIP, "followed.mp4"))["id"]
        seen: list[str] = []
        for message in feed:
            assert message["type"] not in {"ping", "pong"}
            if message["type"] == "event" and message["job"]["id"] == id:
                seen.append(message["event"])
                if message["event"] == "completed":
                    break
    assert [e for e in seen if e != "advanced"] == [
        "submitted",
        "started",
        "planned",
        "publishing",
        "completed",
    ]


def test_a_follower_goes_on_where_another_one_stopped(
    client: Client, paused: RunningServer
) -> None:
    with client.follow() as feed:
        next(feed)
        position = feed.position
    first = paused.submit(clip(CLIP, "position1.mp4"))["id"]
    second = paused.submit(clip(CLIP, "position2.mp4"))["id"]
    with client.follow(since=position) as feed:
        jobs: list[str] = []
        while second not in jobs:
            message = next(feed)
            if message["type"] == "event" and message["event"] != "queue":
                jobs.append(message["job"]["id"])
    # A snapshot may be a second old, and the end of another test's job come after it.
    assert [id for id in jobs if id in (first, second)] == [first, second]


def test_a_follower_comes_back_after_a_killed_server_and_misses_nothing(
    own_server: Callable[..., RunningServer],
) -> None:
    server = own_server()
    server.add(CLIP)
    server.post("queue/pause")
    with connect(server.url, server.token) as client, client.follow() as feed:
        seqs = [next(feed)["seq"]]
        first = server.submit(clip(CLIP, "one.mp4"))["id"]
        second = server.submit(clip(CLIP, "two.mp4"))["id"]
        server.stop(signal.SIGKILL)
        timer = Timer(1.0, lambda: (server.start(), server.post(f"jobs/{second}/cancel")))
        timer.start()
        told: list[tuple[str, str]] = []
        while (second, "cancelled") not in told:
            message = next(feed)
            assert message["type"] in {"event", "positions"}
            if message["type"] == "event":
                seqs.append(message["seq"])
                told.append((message["job"]["id"], message["event"]))
        timer.join()
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert told == [(first, "submitted"), (second, "submitted"), (second, "cancelled")]


def test_a_follower_without_rights_or_server_is_told_why(
    own_server: Callable[..., RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own_server()
    with connect(server.url, server.token) as client:
        client._connection.server = type(client._connection.server)(
            url=server.url, token="wrong", origin="given"
        )
        with client.follow() as feed, pytest.raises(ServerUnreachable, match="HTTP 403"):
            next(feed)
    server.stop()
    monkeypatch.setattr("jupyter_export.notebook.follow.PATIENCE_SECONDS", 1.0)
    with client.follow() as feed, pytest.raises(ServerUnreachable, match="was lost"):
        next(feed)


def test_waiting_listens_instead_of_asking(
    client: Client, server: RunningServer, requests: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(server.root)
    job = client.submit(
        jx.clip(CLIP, 0, 12, output="listened.mp4", quality="balanced", smart=False)
    )
    requests.clear()
    job.wait(120, progress=False)
    assert job.state is State.COMPLETED
    assert job.json == server.job(job.id)
    assert len(requests) <= 3, requests


def test_waiting_asks_where_the_feed_cannot_be_had(
    own_server: Callable[..., RunningServer],
    requests: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "no_feed.py").write_text(
        "from jupyter_server.auth import Authorizer\n"
        "class NoFeed(Authorizer):\n"
        "    def is_authorized(self, handler, user, action, resource):\n"
        "        return not handler.request.path.endswith('/feed')\n"
    )
    server = own_server(**{"ServerApp.authorizer_class": "no_feed.NoFeed"}, search=[str(tmp_path)])
    server.add(CLIP)
    monkeypatch.chdir(server.root)
    with connect(server.url, server.token) as client:
        job = client.submit(
            jx.clip(CLIP, 0, 12, output="asked.mp4", quality="balanced", smart=False)
        )
        requests.clear()
        job.wait(120, progress=False)
        assert (server.root / "asked.mp4").is_file()
        assert len(requests) > 3
        with client.follow() as feed, pytest.raises(ServerUnreachable, match="may not see"):
            next(feed)
