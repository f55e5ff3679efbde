"""Nobody gets at exports without logging in, by any route or method."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jupyter_server.auth import Authorizer
from jupyter_server.serverapp import ServerApp
from server_support import RunningServer
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import ReversibleRouter, Rule
from traitlets.config import Config

from jupyter_export.server.base import AUTH_RESOURCE, ExportHandler
from jupyter_export.server.feed import FeedHandler
from jupyter_export.server.openapi import document

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def rules(router: Any) -> list[Rule]:
    """All rules of a Tornado application, however deeply nested."""
    found: list[Rule] = []
    for rule in getattr(router, "rules", []):
        inner = rules(rule.target) if isinstance(rule.target, ReversibleRouter) else []
        found += inner or [rule]
    return found


def ours(app: ServerApp) -> list[tuple[str, Any]]:
    """The patterns below our prefix that the application really has, with their handlers."""
    found = []
    for rule in [*rules(app.web_app.wildcard_router), *rules(app.web_app.default_router)]:
        pattern = getattr(getattr(rule.matcher, "regex", None), "pattern", "")
        if "jupyter-export" in pattern or "jupyter_export" in str(rule.target):
            found.append((pattern, rule.target))
    return found


def example(pattern: str) -> str:
    """An address that `pattern` matches."""
    address = re.sub(r"\(\?P<\w+>\[\^/\]\+\)", "x1", pattern)
    address = re.sub(r"\(\?P<\w+>(\w+)[^)]*\)", r"\1", address)
    address = address.replace("(?:/.*)?", "/nothing/here").replace("\\", "").rstrip("$")
    assert re.fullmatch(pattern, address), (pattern, address)
    return address


@pytest.fixture
async def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ServerApp]:
    """A server in this process, so that its table of handlers can be walked."""
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name))
    monkeypatch.setenv("JUPYTER_NO_CONFIG", "1")  # no other extension that is installed
    app = ServerApp(
        config=Config(
            ServerApp={
                "jpserver_extensions": {"jupyter_export": True},
                "reraise_server_extension_failures": True,
                "root_dir": str(tmp_path),
                "allow_root": True,
                "open_browser": False,
                "base_url": "/base/",
            },
            IdentityProvider={"token": "secret"},
        )
    )
    app.init_signal = lambda: None  # type: ignore[method-assign]
    app.initialize(argv=[], new_httpserver=False)
    yield app
    await app._cleanup()
    ServerApp.clear_instance()


@pytest.fixture
async def address(app: ServerApp) -> AsyncIterator[str]:
    (socket,) = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(app.web_app)
    server.add_socket(socket)
    yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    server.stop()
    await server.close_all_connections()


async def test_no_route_answers_a_stranger(app: ServerApp, address: str) -> None:
    found = ours(app)
    assert len(found) > 10, "the handlers were not found; this test would prove nothing"
    async with httpx.AsyncClient(base_url=address, trust_env=False) as http:
        for pattern, _ in found:
            for method in METHODS:
                response = await http.request(method, example(pattern))
                assert response.status_code == 403, (method, pattern, response.text)


async def test_a_wrong_token_is_no_token(app: ServerApp, address: str) -> None:
    async with httpx.AsyncClient(
        base_url=address, trust_env=False, headers={"Authorization": "token wrong"}
    ) as http:
        for pattern, _ in ours(app):
            response = await http.get(example(pattern))
            assert response.status_code == 403, (pattern, response.text)


async def test_a_preflight_request_tells_nothing(app: ServerApp, address: str) -> None:
    async with httpx.AsyncClient(base_url=address, trust_env=False) as http:
        for pattern, _ in ours(app):
            response = await http.options(example(pattern))
            assert response.content == b"", (pattern, response.text)


async def test_every_handler_asks_the_authoriser(app: ServerApp, address: str) -> None:
    asked: list[tuple[str, str]] = []

    class Refuses(Authorizer):
        def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
            asked.append((action, resource))
            return False

    app.web_app.settings["authorizer"] = Refuses(parent=app)
    async with httpx.AsyncClient(
        base_url=address, trust_env=False, headers={"Authorization": "token secret"}
    ) as http:
        for pattern, handler in ours(app):
            for method in handler.allowed_methods():
                asked.clear()
                response = await http.request(method, example(pattern))
                action = "read" if method == "GET" else "write"
                if method == "PATCH" and pattern.rstrip("$").endswith("/limits"):
                    action = "admin"
                assert (response.status_code, asked) == (403, [(action, AUTH_RESOURCE)]), (
                    method,
                    pattern,
                )


async def test_every_address_and_method_is_in_openapi(app: ServerApp) -> None:
    described = document()["paths"]
    for pattern, handler in ours(app):
        assert issubclass(handler, ExportHandler | FeedHandler)
        path = "/base/jupyter-export/" + re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", pattern).split(
            "jupyter-export/"
        )[-1].replace("\\", "").rstrip("$")
        if "(?:" in pattern:
            assert handler.allowed_methods() == [], "what answers the rest must answer nothing"
            continue
        item = described[path.removeprefix("/base/jupyter-export")]
        documented = {m.upper() for m in item if m in {"get", "post", "put", "patch", "delete"}}
        # A method that is defined, but not described, would be served all the same.
        defined = {
            m
            for m in METHODS
            if getattr(handler, m.lower()).__qualname__.split(".")[0]
            not in {"RequestHandler", "JupyterHandler", "APIHandler"}
        }
        assert documented == set(handler.allowed_methods()) == defined, pattern


def test_a_page_of_another_site_cannot_submit(server: RunningServer) -> None:
    """A browser sends the cookie by itself; without the XSRF token that is not enough."""
    with httpx.Client(base_url=server.url, trust_env=False) as browser:
        browser.get("login")
        browser.get(f"login?token={server.token}")
        assert browser.get("jupyter-export/jobs").status_code == 200
        refused = browser.post("jupyter-export/queue/resume")
        assert refused.status_code == 403
        assert refused.headers["content-type"] == "application/problem+json"
        own_page = {"X-XSRFToken": browser.cookies["_xsrf"]}
        allowed = browser.post("jupyter-export/queue/resume", headers=own_page)
        assert allowed.status_code == 200, allowed.text
