"""Every handler that the application has keeps the rules of the web: none is told twice."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from audit_support import METHODS, every_operation, example, ours
from jupyter_server.serverapp import ServerApp

from jupyter_export.server.feed import FeedHandler

ELSEWHERE = "https://evil.example"


@pytest.fixture
async def page(app: ServerApp, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A page of the server in a browser where the user is logged in: by cookie, with the XSRF
    token. The queue is not started, so what is let through ends with 503."""
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=120) as http:
        await http.get("/base/login")
        await http.get("/base/login?token=secret")
        http.headers["X-XSRFToken"] = http.cookies["_xsrf"]
        yield http


def refused(response: httpx.Response) -> bool:
    return response.status_code in {403, 404} and "evil" not in response.text


def is_problem(response: httpx.Response) -> bool:
    if response.headers["content-type"] != "application/problem+json":
        return False
    problem = response.json()
    return problem["status"] == response.status_code and {"type", "title", "detail", "advice"} <= {
        *problem
    }


async def test_a_page_of_the_server_is_let_through(app: ServerApp, page: httpx.AsyncClient) -> None:
    """Else the tests below would show nothing."""
    for method, path, handler in every_operation(app):
        response = await page.request(method, path)
        assert response.status_code not in {401, 403, 404, 500}, (method, path, response.text)
        if handler is not FeedHandler:
            assert response.is_success or is_problem(response), (method, path, response.text)


async def test_without_the_xsrf_token_nothing_can_be_changed(
    app: ServerApp, page: httpx.AsyncClient
) -> None:
    del page.headers["X-XSRFToken"]
    for method, path, _ in every_operation(app):
        if method == "GET":
            continue
        response = await page.request(method, path)
        assert response.status_code == 403 and is_problem(response), (method, path, response.text)
        page.headers["X-XSRFToken"] = "2|00000000|0000000000000000|0"
        forged = await page.request(method, path)
        del page.headers["X-XSRFToken"]
        assert forged.status_code == 403, (method, path)


@pytest.mark.parametrize(
    "foreign",
    [
        {"Origin": ELSEWHERE},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Referer": f"{ELSEWHERE}/page"},
        {"Referer": f"{ELSEWHERE}/page"},
    ],
    ids=["origin", "null", "image", "neighbour", "link", "old-browser"],
)
async def test_a_page_of_another_site_gets_nothing_by_any_route(
    app: ServerApp, page: httpx.AsyncClient, foreign: dict[str, str]
) -> None:
    for method, path, handler in every_operation(app):
        if handler is FeedHandler and "Origin" not in foreign:
            continue  # browsers always send one with a WebSocket
        headers = dict(foreign)
        if handler is FeedHandler:
            headers |= {"Connection": "Upgrade", "Upgrade": "websocket"}
            headers |= {
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
            }
            headers |= {"Sec-WebSocket-Protocol": "v1.feed.jupyter-export"}
        response = await page.request(method, path, headers=headers)
        assert refused(response), (method, path, response.status_code)
        assert "access-control-allow-origin" not in response.headers, (method, path)


async def test_pages_of_the_server_itself_may_say_where_they_are(
    app: ServerApp, page: httpx.AsyncClient, address: str
) -> None:
    for headers in (
        {"Sec-Fetch-Site": "same-origin", "Referer": f"{address}/base/lab"},
        {"Sec-Fetch-Site": "none"},
        {"Referer": f"{address}/base/lab"},
        {"Origin": address},
    ):
        response = await page.get("/base/jupyter-export/openapi.json", headers=headers)
        assert response.status_code == 200, (headers, response.text)


async def test_the_configured_origin_is_let_in(app: ServerApp, page: httpx.AsyncClient) -> None:
    app.web_app.settings["allow_origin"] = ELSEWHERE
    for headers in (
        {"Origin": ELSEWHERE},
        {"Sec-Fetch-Site": "cross-site", "Referer": f"{ELSEWHERE}/page"},
    ):
        response = await page.get("/base/jupyter-export/openapi.json", headers=headers)
        assert response.status_code == 200, (headers, response.text)


async def test_every_answer_is_safe_to_look_at(app: ServerApp, page: httpx.AsyncClient) -> None:
    for method in METHODS:
        for pattern, handler in ours(app):
            if handler is FeedHandler:
                continue
            response = await page.request(method, example(pattern))
            where = (method, pattern, dict(response.headers))
            assert response.headers["x-content-type-options"] == "nosniff", where
            assert response.headers["cross-origin-resource-policy"] == "same-origin", where
            assert "default-src 'none'" in response.headers["content-security-policy"], where
            assert "frame-ancestors 'self'" in response.headers["content-security-policy"], where
            if method not in handler.allowed_methods():
                assert response.status_code in {404, 405}, where
            if not response.is_success and method != "HEAD":
                assert is_problem(response), (where, response.text)


async def test_a_body_that_is_too_large_is_refused_whole_or_in_pieces(
    app: ServerApp, page: httpx.AsyncClient
) -> None:
    limit = app.web_app.settings["jupyter_export"].max_request_bytes

    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"spec": "'
        for _ in range(2 * limit // 65536):
            yield b"x" * 65536
        yield b'"}'

    with_body = 0
    for method, path, handler in every_operation(app):
        if handler is FeedHandler or getattr(handler, method.lower()).operation.body is None:
            continue
        with_body += 1
        for content in (b" " * (limit + 1), b" " * 20 * limit, pieces()):
            response = await page.request(
                method, path, content=content, headers={"Content-Type": "application/json"}
            )
            assert response.status_code == 413 and is_problem(response), (method, path)
    assert with_body >= 4


async def test_a_stranger_is_refused_before_the_body_is_read(app: ServerApp, address: str) -> None:
    """Jupyter would take 512 MB of it first."""
    kept: list[int] = []
    handlers = {handler for _, _, handler in every_operation(app)} - {FeedHandler}

    def watch(self: Any, chunk: bytes) -> None:
        kept.append(len(chunk))

    with pytest.MonkeyPatch.context() as patch:
        for handler in handlers:
            patch.setattr(handler, "data_received", watch)
        async with httpx.AsyncClient(base_url=address, trust_env=False) as http:
            answer = await http.post("/base/jupyter-export/jobs", content=b"x" * 1000)
            assert answer.status_code == 403
            # Who sends on is cut off.
            with contextlib.suppress(httpx.TransportError):
                answer = await http.post("/base/jupyter-export/jobs", content=b"x" * 2**24)
                assert answer.status_code == 403
    assert kept == []


@pytest.mark.parametrize(
    "type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_what_a_form_can_send_is_no_request(
    app: ServerApp, page: httpx.AsyncClient, type: str
) -> None:
    """Also where an administrator has turned the XSRF check off."""
    app.web_app.settings["disable_check_xsrf"] = True
    for method, path, handler in every_operation(app):
        if handler is FeedHandler or getattr(handler, method.lower()).operation.body is None:
            continue
        response = await page.request(method, path, content=b"{}", headers={"Content-Type": type})
        assert response.status_code == 415 and is_problem(response), (method, path, response.text)
