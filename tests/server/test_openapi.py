"""The published description is valid, and the server keeps to it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from server_support import RunningServer, clip

CLIP = "subtitles_mov_text.mp4"


@pytest.fixture
def described(server: RunningServer) -> dict[str, Any]:
    document: dict[str, Any] = server.http.get("openapi.json").json()
    return document


def check(described: dict[str, Any], path: str, response: httpx.Response) -> None:
    """The response is one that `described` promises for `path`."""
    method = response.request.method.lower()
    promised = described["paths"][path][method]["responses"]
    status = str(response.status_code)
    assert status in promised, f"{method} {path} may not answer {status}: {response.text}"
    media = response.headers.get("content-type", "").split(";")[0]
    if "content" not in promised[status]:
        assert response.content == b""
        return
    if media.startswith("video/"):
        assert promised[status]["content"] == {"video/*": {}}
        return
    schema = promised[status]["content"][media]["schema"]
    value = response.text if media.startswith(("text/", "image/")) else response.json()
    # The schemas refer to each other from the root of the document.
    errors = list(Draft202012Validator({**described, **schema}).iter_errors(value))
    assert not errors, f"{method} {path}: {errors[0].json_path}: {errors[0].message}"


def test_the_document_is_valid_openapi(described: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(described).validate()
    assert described["servers"] == [{"url": "/base/jupyter-export"}]


def test_the_schema_of_a_spec_accepts_what_the_server_accepts(server: RunningServer) -> None:
    response = server.http.get("schema/spec.json")
    assert response.headers["content-type"].startswith("application/schema+json")
    schema = response.json()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert validator.is_valid(clip(CLIP, "a.mp4"))
    assert not validator.is_valid(clip(CLIP, "a.mp4", colour="red"))


def test_every_get_answers_as_described(server: RunningServer, described: dict[str, Any]) -> None:
    id = server.submit(clip(CLIP, "described.mp4", project="described"))["id"]
    server.until(id, "completed")
    # The feed answers only those who ask for a WebSocket.
    asked = [p for p, item in described["paths"].items() if "get" in item and p != "/feed"]
    assert len(asked) > 8
    for path in asked:
        query = {"path": CLIP} if path == "/probe" else {}
        response = server.http.get(path.lstrip("/").replace("{id}", id), params=query)
        assert response.status_code == 200, (path, response.text)
        check(described, path, response)
    check(described, "/jobs/{id}", server.http.get("jobs/none"))
    check(described, "/jobs", server.http.get("jobs?limit=x"))
    check(described, "/jobs/{id}", server.http.delete(f"jobs/{id}"))


def test_every_answer_about_a_job_is_as_described(
    paused: RunningServer, described: dict[str, Any]
) -> None:
    body = {"spec": clip(CLIP, "shape.mp4", project="shape")}
    created = paused.post("jobs", body, headers={"Idempotency-Key": "shape-of-answers"})
    check(described, "/jobs", created)
    check(described, "/jobs", paused.post("jobs", body))
    check(
        described,
        "/jobs",
        paused.post("jobs", body, headers={"Idempotency-Key": "shape-of-answers"}),
    )
    check(described, "/jobs", paused.post("jobs", {"spec": {}}))
    check(described, "/jobs", paused.http.post("jobs", content=b"{"))
    id = created.json()["id"]
    check(described, "/jobs/{id}", paused.http.patch(f"jobs/{id}", json={"priority": 3}))
    for action in ("pause", "resume", "cancel", "retry", "cancel", "pause"):
        response = paused.post(f"jobs/{id}/{action}")
        check(described, "/jobs/{id}/{action}", response)
    for action in ("drain", "pause"):
        check(described, "/queue/{action}", paused.post(f"queue/{action}"))


def test_a_failed_job_is_as_described(server: RunningServer, described: dict[str, Any]) -> None:
    source = server.add(CLIP, to="vanishing.mp4")
    server.post("queue/pause")
    id = server.submit(clip(source, "failed.mp4"))["id"]
    (server.root / source).unlink()
    server.post("queue/resume")
    job = server.until(id, "failed")
    check(described, "/jobs/{id}", server.http.get(f"jobs/{id}"))
    assert job["error"]["type"] == "source-missing" and job["error"]["advice"], json.dumps(job)
