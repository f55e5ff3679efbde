"""What a page may ask of the kernel's relay: our own routes, and nothing that it could turn."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from jupyter_export.errors import ServerUnreachable
from jupyter_export.notebook.relay import ALLOWED, Relay, allowed


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "../api/contents"),
        ("GET", "jobs/../../api/kernels"),
        ("GET", "jobs/%2e%2e/api"),
        ("GET", "/jobs"),
        ("GET", "//evil.example/jobs"),
        ("GET", "http://evil.example/jobs"),
        ("GET", "jobs/a\n"),
        ("GET", "jobs/a b"),
        ("GET", "feed"),
        # Whole, it would fill the kernel's memory.
        ("GET", "jobs/a/file"),
        ("GET", ""),
        ("PUT", "jobs"),
        ("POST", "jobs/a/delete"),
        ("POST", "queue/stop"),
        ("DELETE", "jobs"),
        ("get", "jobs"),
    ],
)
def test_a_page_cannot_reach_anything_but_our_routes(method: str, path: str) -> None:
    assert not allowed(method, path)
    said: list[dict[str, Any]] = []
    told = threading.Event()

    def send(content: dict[str, Any], _: list[bytes]) -> None:
        said.append(content)
        told.set()

    def connect() -> Any:
        raise AssertionError("the server was asked")

    relay = Relay(send, connect)
    relay.handle({"type": "request", "tag": "t", "method": method, "path": path})
    assert told.wait(10)
    relay.close()
    assert said == [
        {"type": "reply", "tag": "t", "error": "This is no route that a panel may use."}
    ]


@pytest.mark.parametrize(
    ("path", "first"),
    [("jobs/a/log", 0), ("jobs/a/file", -1), ("jobs/../api/file", 0), ("jobs/a/file?x", 0)],
)
def test_only_finished_files_come_in_pieces(path: str, first: int) -> None:
    told = threading.Event()
    said: list[dict[str, Any]] = []
    relay = Relay(
        lambda content, _: (said.append(content), told.set()),
        lambda: pytest.fail("the server was asked"),
    )
    relay.handle({"type": "request", "tag": "t", "method": "GET", "path": path, "from": first})
    assert told.wait(10)
    relay.close()
    assert "error" in said[0]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "jobs"),
        ("GET", "jobs/active"),
        ("GET", "probe"),
        ("POST", "preview"),
        ("GET", "jobs/0123456789abcdef"),
        ("GET", "jobs/0123456789abcdef/log"),
        ("POST", "jobs"),
        ("POST", "jobs/0123456789abcdef/cancel"),
        ("POST", "queue/pause"),
        ("PATCH", "jobs/0123456789abcdef"),
        ("DELETE", "jobs/0123456789abcdef"),
        ("GET", "health"),
    ],
)
def test_a_page_reaches_what_a_panel_needs(method: str, path: str) -> None:
    assert allowed(method, path)


def test_every_route_that_is_allowed_exists_on_the_server() -> None:
    from jupyter_export.server.routes import PREFIX, ROUTES

    for method, patterns in ALLOWED.items():
        for pattern in patterns:
            for path in _examples(pattern):
                found = [r for r in ROUTES if re.fullmatch(r.pattern, f"/{PREFIX}/{path}")]
                assert found, f"{method} {path}"
                assert method in found[0].handler.allowed_methods()


def _examples(pattern: str) -> list[str]:
    """The paths that a pattern of ours stands for, with x for an id."""
    pattern = pattern.replace("[A-Za-z0-9_-]{1,64}", "x")
    if (choice := re.search(r"\(\?:([^)]*)\)", pattern)) is None:
        return [pattern]
    return [pattern.replace(choice[0], one) for one in choice[1].split("|")]


@pytest.mark.parametrize(
    "content",
    [
        None,
        7,
        {},
        {"type": "request"},
        {"type": "request", "tag": 1, "method": "GET", "path": "jobs"},
        {"type": "feed", "tag": "a", "action": "send", "message": "text"},
        {"type": "feed", "tag": "a", "action": "close"},
        {"type": "custom"},
    ],
)
def test_what_is_no_message_of_ours_is_left_alone(content: Any) -> None:
    said: list[Any] = []
    relay = Relay(lambda *what: said.append(what), lambda: pytest.fail("the server was asked"))
    relay.handle(content)
    relay.close()
    assert said == []


def test_a_server_that_is_gone_is_told_and_looked_for_again() -> None:
    said: list[dict[str, Any]] = []
    told = threading.Semaphore(0)
    looked = 0

    def send(content: dict[str, Any], _: list[bytes]) -> None:
        said.append(content)
        told.release()

    def connect() -> Any:
        nonlocal looked
        looked += 1
        raise ServerUnreachable("No running Jupyter server was found.", "Start one.")

    relay = Relay(send, connect)
    relay.handle({"type": "request", "tag": "a", "method": "GET", "path": "jobs"})
    assert told.acquire(timeout=10)
    relay.handle({"type": "feed", "tag": "b", "action": "open"})
    assert told.acquire(timeout=10)
    relay.close()
    assert said[0]["error"] == "No running Jupyter server was found. Start one."
    assert (said[1]["event"], said[1]["code"]) == ("closed", 1006)
    assert looked == 2
