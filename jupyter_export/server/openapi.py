"""The OpenAPI 3.1 document, written from the route table and the models."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .._version import __version__
from ..spec import ExportSpec
from . import schemas
from .operations import Operation
from .routes import PREFIX, ROUTES, Route

__all__ = ["document"]

#: What every operation can answer: no credentials or no right, a bug, or not ready.
COMMON_ERRORS = (403, 500, 503)


@lru_cache(maxsize=4)
def document(base_url: str = "/") -> dict[str, Any]:
    """The description of the REST interface of a server at `base_url` (it ends in a slash)."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "jupyter_export",
            "version": __version__,
            "description": "Video exports that Jupyter owns. Times are ISO 8601 in UTC; paths "
            "are relative to the server's root. Errors are RFC 9457 problem details.",
        },
        "servers": [{"url": f"{base_url}{PREFIX}"}],
        "security": [{"token": []}],
        "paths": {f"/{route.path}": _path(route) for route in ROUTES},
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`token <the server's token>`; a page of the server sends "
                    "its cookie and X-XSRFToken instead.",
                }
            },
            "schemas": _schemas(),
        },
    }


def _path(route: Route) -> dict[str, Any]:
    item: dict[str, Any] = {}
    if route.names:
        item["parameters"] = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string"}
                | ({"enum": list(route.choices[name])} if name in route.choices else {}),
            }
            for name in route.names
        ]
    for method, operation in operations(route):
        item[method] = _operation(route, method, operation)
    return item


def operations(route: Route) -> Iterator[tuple[str, Operation]]:
    """The methods that the route answers, in lower case."""
    for method in route.handler.allowed_methods():
        yield method.lower(), getattr(route.handler, method.lower()).operation


def _operation(route: Route, method: str, operation: Operation) -> dict[str, Any]:
    name = route.handler.__name__.removesuffix("Handler")
    result: dict[str, Any] = {
        "operationId": f"{method}{name}",
        "summary": operation.summary,
        "responses": {
            str(status): {"description": HTTPStatus(status).phrase} | _content(operation.answer)
            for status in operation.statuses
        },
    }
    problem = {"application/problem+json": {"schema": _reference(schemas.Problem)}}
    invalid = (400, 413, 415) if operation.body else ()
    nothing_there = (404,) if route.names else ()
    for status in sorted({*operation.errors, *invalid, *nothing_there, *COMMON_ERRORS}):
        phrase = HTTPStatus(status).phrase
        result["responses"][str(status)] = {"description": phrase, "content": problem}
    if operation.body:
        content = {"application/json": {"schema": _reference(operation.body)}}
        result["requestBody"] = {"required": True, "content": content}
    parameters = list(_query(operation.query)) if operation.query else []
    if operation.idempotent:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                "description": "the same key again gives the first job instead of a second one",
            }
        )
    if parameters:
        result["parameters"] = parameters
    return result


def _content(answer: type[BaseModel] | str | None) -> dict[str, Any]:
    if answer is None:
        return {}
    if isinstance(answer, str) and answer.startswith("video/"):
        return {"content": {answer: {}}}  # binary content has no schema in 3.1
    if isinstance(answer, str):
        kind = "string" if answer.startswith(("text/", "image/")) else "object"
        return {"content": {answer: {"schema": {"type": kind}}}}
    return {"content": {"application/json": {"schema": _reference(answer)}}}


def _query(model: type[BaseModel]) -> Iterator[dict[str, Any]]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    required = schema.get("required", ())
    for name, value in schema["properties"].items():
        yield {"name": name, "in": "query", "required": name in required, "schema": value}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _schemas() -> dict[str, Any]:
    models: list[type[BaseModel]] = [
        ExportSpec,
        schemas.SubmitBody,
        schemas.PriorityBody,
        schemas.PreviewBody,
        schemas.EstimateBody,
        schemas.Estimate,
        schemas.Job,
        schemas.Jobs,
        schemas.Projects,
        schemas.Probe,
        schemas.Hardware,
        schemas.Queue,
        schemas.Limits,
        schemas.LimitsBody,
        schemas.Health,
        schemas.Problem,
    ]
    _, whole = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    definitions: dict[str, Any] = whole["$defs"]
    for name in ("SubmitBody", "EstimateBody", "PreviewBody"):
        definitions[name]["properties"]["spec"] = _reference(ExportSpec)
    return definitions
