"""The feed tells everything, in order, once, to those who may hear it."""

from __future__ import annotations

import re
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from feed_support import SUBPROTOCOL, Listener
from jsonschema import Draft202012Validator
from server_support import RunningServer, clip
from websockets.exceptions import ConnectionClosed, InvalidStatus

CLIP = "subtitles_mov_text.mp4"


@pytest.fixture
def listen(request: pytest.FixtureRequest) -> Iterator[Callable[[RunningServer], Listener]]:
    """Makes listeners that are closed afterwards."""
    made: list[Listener] = []

    def make(server: RunningServer) -> Listener:
        made.append(Listener(server))
        return made[-1]

    yield make
    for listener in made:
        listener.close()


def closed(listener: Listener) -> tuple[int, str]:
    """Code and reason of the end of the connection."""
    with pytest.raises(ConnectionClosed) as end:
        while True:
            listener.hear()
    assert end.value.rcvd is not None, "the connection just broke"
    return end.value.rcvd.code, end.value.rcvd.reason


def nudge(server: RunningServer, id: str, times: int, first: int = 1) -> None:
    """Cause so many events of a queued job."""
    for priority in range(first, first + times):
        server.http.patch(f"jobs/{id}", json={"priority": priority}).raise_for_status()


def test_a_newcomer_sees_all_jobs_then_an_export_from_submit_to_completed(
    server: RunningServer, listen: Callable[[RunningServer], Listener]
) -> None:
    old = server.submit(clip(CLIP, "feed_old.mp4"))["id"]
    server.until(old, "completed")
    listener = listen(server).connect().caught_up()
    assert listener.heard[0]["type"] == "snapshot"
    assert listener.state(old) == "completed"
    assert listener.jobs[old] == server.job(old)

    # A range of its own: segments that another test rendered would be found again.
    sources = [{"path": "timecode_720p30.mp4", "start": 3.3, "end": 8.7}]
    id = server.submit(clip("", "feed_new.mp4", sources=sources))["id"]
    listener.until(lambda: listener.state(id) == "completed")
    about = [m for m in listener.heard if m["type"] == "event" and m["job"]["id"] == id]
    names = [m["event"] for m in about if m["event"] != "advanced"]
    assert names == ["submitted", "started", "planned", "publishing", "completed"]
    assert "progress" in listener.types()
    assert listener.jobs[id] == server.job(id)

    server.http.delete(f"jobs/{id}").raise_for_status()
    listener.until(lambda: id not in listener.jobs)
    assert listener.events()[-1] == "deleted"


def test_who_comes_back_gets_only_what_was_missed(
    paused: RunningServer, listen: Callable[[RunningServer], Listener]
) -> None:
    listener = listen(paused).connect().caught_up()
    listener.close()
    id = paused.submit(clip(CLIP, "feed_missed.mp4"))["id"]
    nudge(paused, id, 3)
    listener.connect().caught_up()
    assert listener.events() == ["submitted", *["prioritised"] * 3]
    assert "snapshot" not in listener.types()
    assert listener.jobs[id]["priority"] == 3
    # On the same connection, too: nothing again, and after a gap what is missing.
    listener.heard = []
    listener.say({"type": "hello", "epoch": listener.epoch, "since": listener.seq})
    assert listener.seq is not None
    listener.seq -= 2
    listener.say({"type": "hello", "epoch": listener.epoch, "since": listener.seq})
    listener.caught_up()
    assert listener.events() == ["prioritised"] * 2


def test_who_missed_too_much_or_knows_another_store_gets_a_snapshot(
    paused: RunningServer, listen: Callable[[RunningServer], Listener]
) -> None:
    listener = listen(paused).connect().caught_up()
    listener.close()
    id = paused.submit(clip(CLIP, "feed_much.mp4"))["id"]
    nudge(paused, id, 256)
    listener.connect().caught_up()
    assert listener.events() == [] and "snapshot" in listener.types()
    assert listener.jobs[id]["priority"] == 256
    listener.close()
    listener.epoch, epoch = "another", listener.epoch
    listener.connect().until(lambda: "snapshot" in listener.types())
    assert listener.epoch == epoch


def test_places_in_the_line_follow_the_jobs_before_them(
    paused: RunningServer, listen: Callable[[RunningServer], Listener]
) -> None:
    listener = listen(paused).connect().caught_up()
    ids = [paused.submit(clip(CLIP, f"feed_line{n}.mp4"))["id"] for n in range(3)]
    listener.until(lambda: [listener.place(i) for i in ids] == [1, 2, 3])
    assert "paused" in listener.jobs[ids[0]]["waiting_for"]
    paused.post(f"jobs/{ids[0]}/cancel")
    listener.until(lambda: [listener.place(i) for i in ids[1:]] == [1, 2])
    paused.http.patch(f"jobs/{ids[2]}", json={"priority": 9})
    listener.until(lambda: [listener.place(i) for i in ids[1:]] == [2, 1])
    assert {id: job for id, job in listener.jobs.items() if job["state"] == "queued"} == {
        job["id"]: job for job in paused.http.get("jobs/active").json()["jobs"]
    }
    late = listen(paused).connect()
    late.until(lambda: [late.place(i) for i in ids[1:]] == [2, 1])


def test_the_queue_tells_when_it_is_paused(
    server: RunningServer, listen: Callable[[RunningServer], Listener]
) -> None:
    listener = listen(server).connect().caught_up()
    assert listener.queue == "running"
    server.post("queue/pause")
    listener.until(lambda: listener.queue == "paused")
    server.post("queue/resume")
    listener.until(lambda: listener.queue == "running")


def test_no_event_is_lost_when_the_server_is_killed_and_started_again(
    own_server: Callable[..., RunningServer], listen: Callable[[RunningServer], Listener]
) -> None:
    server = own_server()
    server.add("timecode_720p30.mp4")
    listener = listen(server).connect().caught_up()
    id = server.submit(
        clip(
            "timecode_720p30.mp4",
            "killed.mp4",
            sources=[{"path": "timecode_720p30.mp4", "start": 0, "end": 20}],
            encoding={"quality": "quality", "smart": False},
        )
    )["id"]
    listener.until(lambda: id in listener.jobs and listener.jobs[id]["progress"]["frames"] > 30)
    server.stop(signal.SIGKILL)
    with pytest.raises((ConnectionClosed, OSError)):
        while True:
            listener.hear()
    before = listener.seq
    server.start()
    listener.connect()
    listener.until(lambda: listener.state(id) == "completed", seconds=180)
    assert "snapshot" not in listener.types()
    first = next(m for m in listener.heard if m["type"] == "event")
    assert before is not None and first["seq"] == before + 1
    assert "requeued" in listener.events()
    assert listener.jobs[id] == server.job(id)
    # The same place, but another store: everything is another.
    epoch = listener.epoch
    server.stop()
    (database,) = Path(server.environment["JUPYTER_DATA_DIR"]).rglob("jobs.sqlite*")
    database.rename(database.with_suffix(".old"))
    server.start()
    listener.connect().until(lambda: "snapshot" in listener.types())
    assert listener.epoch != epoch and listener.jobs == {}


def test_who_cannot_keep_up_gets_one_snapshot_instead_of_a_backlog(
    paused: RunningServer, listen: Callable[[RunningServer], Listener]
) -> None:
    listener = listen(paused)
    address = urlsplit(paused.url)
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect((address.hostname, address.port))
    listener.connect(sock=narrow, max_queue=1, compression=None).caught_up()
    listener.heard = []
    crop = [{"time": n / 100, "x": 0, "y": 0, "width": 64, "height": 64} for n in range(150)]
    id = paused.submit(
        {
            "kind": "framing",
            "output": "slow.mp4",
            "sources": [
                {
                    "path": "timecode_720p30.mp4",
                    "start": 0,
                    "end": 2,
                    "effects": [{"type": "crop", "size": [64, 64], "keyframes": crop}],
                }
            ],
        }
    )["id"]
    nudge(paused, id, 500)
    listener.caught_up()
    kinds = [m["type"] for m in listener.heard if m["type"] in {"event", "snapshot"}]
    assert kinds.count("snapshot") == 1
    assert len(kinds) < 400, "the backlog was sent all the same"
    assert listener.jobs[id]["priority"] == 500
    # And it goes on as if nothing had been.
    nudge(paused, id, 1, first=501)
    listener.until(lambda: listener.jobs[id]["priority"] == 501)


def test_a_large_spec_is_left_to_rest(
    paused: RunningServer, listen: Callable[[RunningServer], Listener]
) -> None:
    listener = listen(paused).connect().caught_up()
    crop = [{"time": n / 1000, "x": 0, "y": 0, "width": 64, "height": 64} for n in range(1500)]
    spec: dict[str, Any] = {
        "kind": "framing",
        "output": "large.mp4",
        "sources": [
            {
                "path": "timecode_720p30.mp4",
                "start": 0,
                "end": 2,
                "effects": [{"type": "crop", "size": [64, 64], "keyframes": crop}],
            }
        ],
    }
    large = paused.submit(spec)["id"]
    small = paused.submit(clip(CLIP, "small.mp4"))["id"]
    listener.until(lambda: small in listener.jobs)
    assert listener.jobs[large]["spec"] is None and paused.job(large)["spec"]
    assert listener.jobs[small]["spec"] == paused.job(small)["spec"]
    late = listen(paused).connect().caught_up()
    assert late.jobs[large]["spec"] is None and late.jobs[small]["spec"]


def test_every_message_is_as_the_schema_says(
    server: RunningServer, listen: Callable[[RunningServer], Listener]
) -> None:
    schema = server.http.get("schema/feed.json").raise_for_status().json()
    Draft202012Validator.check_schema(schema)
    told = Draft202012Validator({**schema, "anyOf": [{"$ref": "#/$defs/ServerMessage"}]})
    said = Draft202012Validator({**schema, "anyOf": [{"$ref": "#/$defs/ClientMessage"}]})
    listener = listen(server).connect().caught_up()
    listener.say({"type": "ping"})
    server.post("queue/pause")
    missing = server.add(CLIP, to="feed_vanishes.mp4")
    failing = server.submit(clip(missing, "feed_fails.mp4"))["id"]
    (server.root / missing).unlink()
    id = server.submit(clip(CLIP, "feed_shape.mp4", project="feed"))["id"]
    nudge(server, id, 1)
    for action in ("pause", "resume", "cancel", "retry"):
        server.post(f"jobs/{id}/{action}").raise_for_status()
    listener.until(lambda: "positions" in listener.types())
    server.post("queue/resume")
    listener.until(lambda: listener.state(id) == "completed" and listener.state(failing))
    listener.until(lambda: listener.state(failing) == "failed")
    server.http.delete(f"jobs/{id}").raise_for_status()
    listener.until(lambda: id not in listener.jobs)
    heard = listener.heard
    heard += listen(server).connect().caught_up().heard
    assert {m["type"] for m in heard} >= {"snapshot", "event", "progress", "positions", "pong"}
    assert {m["event"] for m in heard if m["type"] == "event"} >= {"queue", "failed", "deleted"}
    for message in heard:
        errors = list(told.iter_errors(message))
        assert not errors, f"{errors[0].json_path}: {errors[0].message}"
    for good in ({"type": "hello", "epoch": None, "since": 3}, {"type": "pong"}):
        assert said.is_valid(good)
    assert not said.is_valid({"type": "hello", "since": -1})


def test_every_close_code_and_event_is_on_the_page_of_the_protocol(server: RunningServer) -> None:
    from jupyter_export.server import feed, hub

    page = (Path(feed.__file__).parent / "feed.md").read_text()
    codes = {v for k, v in vars(hub.Close).items() if not k.startswith("_")}
    assert codes <= {int(code) for code in re.findall(r"^\| (\d{4}) \|", page, re.MULTILINE)}
    schema = server.http.get("schema/feed.json").json()
    for name in schema["$defs"]["JobEvent"]["properties"]["event"]["enum"]:
        assert f"`{name}`" in page
    assert SUBPROTOCOL in page


def test_a_stranger_is_refused(
    server: RunningServer, listen: Callable[[RunningServer], Listener]
) -> None:
    for headers in ({}, {"Authorization": "token wrong"}):
        with pytest.raises(InvalidStatus) as refused:
            listen(server).connect(additional_headers=headers)
        assert refused.value.response.status_code == 403


def test_a_page_of_another_site_is_refused_even_with_the_users_cookie(
    server: RunningServer, listen: Callable[[RunningServer], Listener]
) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as browser:
        browser.get("login")
        browser.get(f"login?token={server.token}")
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    own = server.url.rstrip("/").removesuffix("/base")
    listen(server).connect(additional_headers={"Cookie": cookie}, origin=own).caught_up()
    with pytest.raises(InvalidStatus) as refused:
        listen(server).connect(additional_headers={"Cookie": cookie}, origin="http://evil.example")
    assert refused.value.response.status_code == 403


def test_a_user_without_permission_is_told_so_by_a_code_that_a_page_can_see(
    own_server: Callable[..., RunningServer],
    listen: Callable[[RunningServer], Listener],
    tmp_path: Path,
) -> None:
    (tmp_path / "nobody_may.py").write_text(
        "from jupyter_server.auth import Authorizer\n"
        "class Nobody(Authorizer):\n"
        "    def is_authorized(self, handler, user, action, resource):\n"
        "        return resource != 'jupyter_export'\n"
    )
    server = own_server(
        **{"ServerApp.authorizer_class": "nobody_may.Nobody"}, search=[str(tmp_path)]
    )
    listener = listen(server).connect()
    assert closed(listener)[0] == 4403
    assert listener.heard == []


@pytest.mark.parametrize(
    "said",
    ["no JSON", "[]", '{"type": "shout"}', '{"type": "hello", "since": "1"}', "[" * 4000],
)
def test_nonsense_ends_the_connection_and_nothing_else(
    server: RunningServer, listen: Callable[[RunningServer], Listener], said: str
) -> None:
    other = listen(server).connect().caught_up()
    listener = listen(server).connect(hello=False)
    listener.say(said)
    assert closed(listener)[0] == 4400
    other.say({"type": "ping"})
    other.until(lambda: "pong" in other.types())


def test_a_message_that_is_too_large_is_not_read(
    server: RunningServer, listen: Callable[[RunningServer], Listener]
) -> None:
    listener = listen(server).connect(hello=False)
    listener.say('{"type": "hello", "epoch": "' + "x" * 5000 + '"}')
    with pytest.raises(ConnectionClosed):
        listener.hear()


def test_clients_that_leave_while_they_are_let_in_are_no_trouble(
    own_server: Callable[..., RunningServer],
) -> None:
    server = own_server()
    address = urlsplit(str(server.http.base_url))
    request = (
        f"GET {address.path}feed HTTP/1.1\r\n"
        f"Host: {address.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"
        f"Authorization: {server.http.headers['Authorization']}\r\n\r\n"
    ).encode()
    for _ in range(100):
        leaving = socket.create_connection((address.hostname or "", address.port or 0))
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        leaving.sendall(request)
        leaving.close()
    staying = socket.create_connection((address.hostname or "", address.port or 0))
    with staying:
        staying.sendall(request)
        assert staying.recv(100).startswith(b"HTTP/1.1 101 "), "the others were not let in, either"
    assert server.http.get("health").status_code == 200
    assert "Traceback" not in server.log.read_text()


def test_nothing_is_told_before_the_hello(
    paused: RunningServer, listen: Callable[[RunningServer], Listener]
) -> None:
    silent = listen(paused).connect(hello=False)
    paused.submit(clip(CLIP, "feed_early.mp4"))
    listen(paused).connect().caught_up()
    silent.say({"type": "ping"})
    silent.until(lambda: "pong" in silent.types())
    assert silent.types() <= {"ping", "pong"}


def test_a_server_that_stops_says_so(
    own_server: Callable[..., RunningServer], listen: Callable[[RunningServer], Listener]
) -> None:
    server = own_server()
    listener = listen(server).connect().caught_up()
    server.process.send_signal(signal.SIGTERM)
    assert closed(listener)[0] == 1012


def test_a_server_that_cannot_export_says_why(
    own_server: Callable[..., RunningServer],
    listen: Callable[[RunningServer], Listener],
    tmp_path: Path,
) -> None:
    (tmp_path / "a file").write_text("")
    server = own_server(**{"ExportApp.data_dir": str(tmp_path / "a file" / "below")})
    code, reason = closed(listen(server).connect())
    assert code == 1013 and reason.startswith("The folder")


def test_metrics_count_clients_messages_and_snapshots(
    server: RunningServer, listen: Callable[[RunningServer], Listener]
) -> None:
    def metric(name: str) -> float:
        text = httpx.get(
            f"{server.url}metrics", headers={"Authorization": f"token {server.token}"}
        ).text
        return float(re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)[0])

    before = metric("jupyter_export_feed_snapshots_total")
    messages = metric("jupyter_export_feed_messages_total")
    listener = listen(server).connect().caught_up()
    assert metric("jupyter_export_feed_clients") >= 1
    assert metric("jupyter_export_feed_snapshots_total") == before + 1
    assert metric("jupyter_export_feed_messages_total") >= messages + 1
    listener.close()
    clients = metric("jupyter_export_feed_clients")
    deadline = time.monotonic() + 30
    while metric("jupyter_export_feed_clients") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert metric("jupyter_export_feed_clients") == 0, clients
