"""Whatever the published description allows or forbids: the server answers as it says it does.

Schemathesis makes requests from the OpenAPI document of the running server; `--long` makes many
more of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from server_support import RunningServer, clip

CLIP = "subtitles_mov_text.mp4"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
FEW, MANY = 10, 400


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of this module alone: its limits are changed and its queue is drained."""
    server = RunningServer(
        tmp_path_factory.mktemp("target"),
        **{"ExportApp.force_cpu": True, "ExportApp.submits_per_minute": 0},
    )
    server.add(CLIP)
    done = server.submit(clip(CLIP, "done.mp4", project="done"))["id"]
    server.until(done, "completed")
    server.post("queue/pause").raise_for_status()
    waiting = [server.submit(clip(CLIP, f"waits{n}.mp4"))["id"] for n in range(4)]
    server.ids = [done, *waiting]  # type: ignore[attr-defined]
    yield server
    server.stop()


@pytest.fixture(scope="module")
def operations(target: RunningServer) -> dict[str, Any]:
    document = target.http.get("openapi.json").json()
    del document["paths"]["/feed"]  # a WebSocket
    schema = schemathesis.openapi.from_dict(document)
    found = {found.ok().label: found.ok() for found in schema.get_all_operations()}
    assert len(found) > 20
    return found


def make_real(case: Any, ids: list[str], draw: Any) -> None:
    """Names of jobs and files that are there, now and then: others get no further than 404."""
    if "id" in (case.path_parameters or {}) and draw(st.booleans()):
        case.path_parameters["id"] = draw(st.sampled_from(ids))
    if "refresh" in (case.query or {}):
        case.query["refresh"] = "false"  # trying all encoders takes seconds
    if "path" in (case.query or {}) and draw(st.booleans()):
        case.query["path"] = CLIP
    spec = case.body.get("spec") if isinstance(case.body, dict) else None
    if isinstance(spec, dict) and isinstance(spec.get("sources"), list) and draw(st.booleans()):
        for source in spec["sources"]:
            if isinstance(source, dict):
                source["path"] = CLIP
        spec["output"] = draw(st.sampled_from(["a.mp4", "b.mkv", "c.webm", "d.gif"]))


def send(target: RunningServer, case: Any) -> httpx.Response:
    """The answer of the server, asked as Schemathesis would ask."""
    prepared = case.as_transport_kwargs(base_url=f"{target.url}jupyter-export")
    request = {
        name: prepared[name] for name in ("method", "url", "params", "json") if name in prepared
    }
    if isinstance(prepared.get("data"), str | bytes):
        request["content"] = prepared["data"]
    headers = dict(prepared.get("headers") or {}) | {"Authorization": f"token {target.token}"}
    return target.http.request(**request, headers=headers)


@pytest.mark.timeout(3600)
def test_nothing_that_can_be_asked_is_answered_otherwise_than_described(
    target: RunningServer, operations: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    long = bool(request.config.getoption("--long", default=False))
    answers: Counter[int] = Counter()
    wrong: list[str] = []

    def explore(operation: Any, mode: GenerationMode) -> None:
        @settings(
            max_examples=MANY if long else FEW,
            deadline=None,
            database=None,
            derandomize=not long,
            print_blob=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
        def asked(case: Any, data: Any) -> None:
            make_real(case, target.ids, data.draw)  # type: ignore[attr-defined]
            response = send(target, case)
            answers[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        asked()

    for mode in GenerationMode:
        for label, operation in operations.items():
            try:
                explore(operation, mode)
            except FailureGroup as failures:
                notes = "\n".join(getattr(failures, "__notes__", ()))
                wrong.append(f"{label}, {mode.value}: {failures}\n{notes}")
    assert not wrong, "\n\n".join(wrong)
    assert target.http.get("queue").status_code == 200
    assert {200, 404, 422} <= set(answers), answers
    assert "Traceback" not in target.log.read_text()
