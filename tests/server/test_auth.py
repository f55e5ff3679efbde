"""Nobody gets at exports without logging in, by any route or method."""

from __future__ import annotations

import re
from typing import Any

import httpx
from audit_support import METHODS, every_operation, example, ours
from jupyter_server.auth import Authorizer
from jupyter_server.serverapp import ServerApp
from server_support import RunningServer

from jupyter_export.server.base import AUTH_RESOURCE, ExportHandler
from jupyter_export.server.feed import FeedHandler
from jupyter_export.server.openapi import document


async def test_no_route_answers_a_stranger(app: ServerApp, address: str) -> None:
    async with httpx.AsyncClient(base_url=address, trust_env=False) as http:
        for pattern, _ in ours(app):
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
        for method, path, _ in every_operation(app):
            asked.clear()
            response = await http.request(method, path)
            assert response.status_code == 403, (method, path, response.text)
            ((action, resource),) = asked
            assert resource == AUTH_RESOURCE
            route = path.removeprefix("/base/jupyter-export/")
            if method == "GET":
                assert action == "read", (method, path)
            elif route == "limits":
                assert action == "admin", (method, path)
            elif method == "POST" and re.fullmatch(r"jobs|preview|jobs/x1/\w+|queue/\w+", route):
                assert action == "execute", (method, path)
            else:
                assert action in {"write", "execute"}, (method, path)


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
