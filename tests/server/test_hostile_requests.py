"""Requests that nobody means well: malformed, huge, deep. Told what is wrong, and harmless."""

from __future__ import annotations

import errno
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from server_support import RunningServer, clip

CLIP = "subtitles_mov_text.mp4"
NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, "1e-999")
SECONDS = 2.0
"""Longer than this nobody may hold up the server for everybody else."""


@pytest.fixture(autouse=True)
def still_well(server: RunningServer) -> Iterator[None]:
    """Whatever was sent, the server goes on, and it was no bug of ours that refused it."""
    size = server.log.stat().st_size
    yield
    assert server.http.get("queue").status_code == 200
    with server.log.open() as log:
        log.seek(size)
        told = log.read()
    assert "Traceback" not in told and "Uncaught exception" not in told, told[-3000:]


def send(server: RunningServer, body: str | bytes, path: str = "jobs") -> httpx.Response:
    return server.http.post(path, content=body, headers={"Content-Type": "application/json"})


def with_value(text: str) -> list[str]:
    """Bodies with `text` in the place of every kind of number in a spec."""
    spec = clip(CLIP, "hostile.mp4")
    spec["sources"][0] |= {
        "start": "@",
        "speed": [{"start": 0, "end": 1, "rate": 1}],
        "effects": [
            {
                "type": "crop",
                "size": [64, 64],
                "keyframes": [{"time": 0, "x": 0, "y": 0, "width": 64, "height": 64}],
            }
        ],
    }
    template = json.dumps({"spec": spec, "priority": 0})
    places = [
        ('"start": "@"', '"start": %s'),
        ('"rate": 1', '"rate": %s'),
        ('"x": 0', '"x": %s'),
        ('"size": [64, 64]', '"size": [%s, 64]'),
        ('"priority": 0', '"priority": %s'),
    ]
    return [
        template.replace(old, new % text).replace('"start": "@"', '"start": 0')
        for old, new in places
    ]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_that_are_none_are_refused_wherever_they_stand(
    server: RunningServer, number: str
) -> None:
    for body in with_value(number):
        if number == "1e-999" and '"rate"' not in body.split(number)[0][-9:]:
            continue  # that is 0, and fine in most places
        response = send(server, body)
        assert response.status_code in {400, 422}, (body, response.text)
        assert response.json()["detail"], response.text


@pytest.mark.parametrize(
    "body",
    [
        "[" * 200_000,
        '{"spec": ' * 50_000 + "1" + "}" * 50_000,
        '{"spec": {"kind": "\\ud800"}}',
        b'{"spec": {"kind": "\xff\xfe"}}',
        b"\xef\xbb\xbf{}",
        '{"spec": {"kind": "clip", "kind": "concat"}}',
        '{"spec": null}',
        '{"spec": []}',
        "null",
        '"spec"',
        "",
        "\x00",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_no_request_is_refused(server: RunningServer, body: str | bytes) -> None:
    for path in ("jobs", "preview"):
        response = send(server, body, path)
        assert response.status_code in {400, 422}, (path, response.text)
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("text", ["\ud800", "a\x00b", "x" * 100_000, "..//" * 1000])
def test_texts_that_are_no_names_are_refused_wherever_they_stand(
    server: RunningServer, text: str
) -> None:
    changes: list[dict[str, Any]] = [
        {"output": text},
        {"sources": [{"path": text}]},
        {"kind": text},
        {"encoding": {"encoder": text}},
    ]
    if text != "a\x00b":  # a name that is only shown
        changes.append({"project": text})
    for change in changes:
        response = send(server, json.dumps({"spec": clip(CLIP, "named.mp4") | change}))
        assert response.status_code in {400, 422}, (change, response.text)
        # What is long is not sent back whole.
        assert len(response.content) < 20_000


@pytest.mark.parametrize(
    "query",
    [
        "limit=99999999999999999999999",
        "limit=-1",
        "limit=1e3",
        "state=%00",
        "before=%ff",
        "before=" + "x" * 60_000,
        "project=%ed%a0%80",
        "project=" + "x" * 300,
    ],
    ids=lambda query: query[:30],
)
def test_a_query_that_makes_no_sense_is_refused(server: RunningServer, query: str) -> None:
    response = server.http.get(f"jobs?{query}")
    assert response.status_code in {400, 414, 422, 431}, (query, response.text)


def raw(server: RunningServer, request: bytes) -> bytes:
    """The answer to bytes that no client would send; empty if the connection was just ended."""
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        connection.settimeout(20)
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while data := connection.recv(65536):
                answer += data
        except OSError as error:  # not connected any more is one that has no class of its own
            assert error.errno in {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}, error
            return b""
        return answer


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: abc\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: nothing\r\n",
        b"X-Long: " + b"x" * 200_000 + b"\r\n",
        b"X-Many: 1\r\n" * 20_000,
        b"Idempotency-Key: " + b"k" * 1000 + b"\r\n",
        b"Idempotency-Key: \xff\xfe\r\n",
        b"Content-Type: \xff/\xfe\r\n",
    ],
    ids=lambda headers: repr(headers[:40]),
)
def test_headers_that_are_none_end_in_a_refusal(server: RunningServer, headers: bytes) -> None:
    request = (
        b"POST /base/jupyter-export/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        b"Authorization: token " + server.token.encode() + b"\r\n" + headers + b"\r\n{}"
    )
    status = raw(server, request).split(b"\r\n", 1)[0]
    assert not status or status.split()[1] in {b"400", b"413", b"415", b"422", b"431"}, status


def longest_pause(server: RunningServer, work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` gives, and the longest that anybody else waited for an answer meanwhile."""
    pauses = [0.0]
    done = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, trust_env=False) as http:
            while not done.is_set():
                began = time.monotonic()
                http.get("api", timeout=60)
                pauses.append(time.monotonic() - began)
                time.sleep(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        return work(), max(pauses)
    finally:
        done.set()
        thread.join()


def keyframes(count: int) -> list[dict[str, float]]:
    return [{"time": i / 1e4, "x": 0, "y": 0, "width": 64, "height": 64} for i in range(count)]


def highlight(count: int) -> dict[str, Any]:
    places = [{"time": i / 1e4, "x": 9, "y": 9, "radius_x": 5, "radius_y": 5} for i in range(count)]
    return {
        "type": "highlight",
        "shape": "box",
        "effect": "outline",
        "start": 0,
        "end": 1,
        "keyframes": places,
    }


LARGE: dict[str, Callable[[], dict[str, Any]]] = {
    "10000 keyframes": lambda: clip(
        CLIP,
        "large.mp4",
        kind="framing",
        sources=[
            {
                "path": CLIP,
                "start": 0,
                "end": 1,
                "effects": [{"type": "crop", "size": [64, 64], "keyframes": keyframes(10_000)}],
            }
        ],
    ),
    "1000 effects": lambda: clip(
        CLIP, "large.mp4", kind="overlay", effects=[highlight(1) for _ in range(1000)]
    ),
    "1001 effects": lambda: clip(
        CLIP, "large.mp4", kind="overlay", effects=[highlight(1) for _ in range(1001)]
    ),
    "1000 sources": lambda: clip(
        CLIP,
        "large.mp4",
        kind="concat",
        sources=[{"path": CLIP, "start": 0, "end": 0.1} for _ in range(1000)],
    ),
    "1000 sources that are not there": lambda: clip(
        CLIP,
        "large.mp4",
        kind="concat",
        sources=[{"path": f"missing{i}.mp4"} for i in range(1000)],
    ),
    "20000 fields too many": lambda: clip(
        CLIP, "large.mp4", **{f"field{i}": i for i in range(20_000)}
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_spec_is_taken_or_refused_while_others_are_served(
    paused: RunningServer, name: str
) -> None:
    body = json.dumps({"spec": LARGE[name](), "allow_duplicate": True})
    response, pause = longest_pause(paused, lambda: send(paused, body))
    expected = {422} if name.split()[0] in {"1001", "20000"} or "not there" in name else {201}
    assert response.status_code in expected, (name, response.text[:500])
    assert pause < SECONDS, f"nobody else was served for {pause:.1f} s"


def test_an_answer_never_tells_where_the_server_keeps_its_files(paused: RunningServer) -> None:
    """Only health does, for programs on the same machine: and only the root."""
    outside = paused.folder / "outside.mp4"
    outside.touch()
    (paused.root / "leads_out.mp4").symlink_to(outside)
    (paused.root / "noise.mp4").write_bytes(b"\x00" * 5000)
    (paused.root / "folder.mp4").mkdir(exist_ok=True)
    sources = ["missing.mp4", "leads_out.mp4", "noise.mp4", "folder.mp4", "../outside.mp4"]
    sources += [str(outside), "/etc/passwd", ".hidden.mp4", "~/a.mp4", "x/" * 200 + "a.mp4"]
    outputs = ["nowhere/out.mp4", "../out.mp4", str(outside), "folder.mp4", "out.txt", "/out.mp4"]
    specs = [clip(source, "told.mp4") for source in sources]
    specs += [clip(CLIP, output) for output in outputs]
    answers = [paused.post(path, {"spec": spec}) for spec in specs for path in ("jobs", "preview")]
    answers += [paused.http.get("probe", params={"path": source}) for source in sources]
    id = paused.submit(clip(CLIP, "told_well.mp4"))["id"]
    described = paused.http.get("openapi.json").json()["paths"]
    for path, item in described.items():
        for method in sorted({"get", "post", "patch", "delete"} & set(item)):
            for known in (id, "none", "..", "%2e%2e%2f%2e%2e%2fetc", "%00"):
                if path == "/feed" or (method, path) == ("delete", "/jobs/{id}"):
                    continue
                address = path.lstrip("/").replace("{id}", known).replace("{action}", "pause")
                answers.append(paused.http.request(method, address))
    assert len(answers) > 100
    secret = [str(paused.folder), str(paused.root), "Traceback", "site-packages", "/python3"]
    for answer in answers:
        told = answer.text + str(answer.headers)
        if answer.request.url.path.endswith("/health"):
            told = told.replace(json.dumps(str(paused.root)), "")
            # Where leases are is for whoever shares the machine.
            assert str(paused.root) not in told
            continue
        asked = str(answer.request.url.params.get("path")) + answer.request.content.decode()
        for text in secret:
            if str(outside) in asked and text in str(outside):
                continue  # who says it knows it
            assert text not in told, (answer.request.method, answer.request.url, told[:2000])
        assert answer.status_code != 500, (answer.request.url, answer.text)
