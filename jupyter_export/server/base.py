"""What every REST handler shares: who may call, how answers and errors are written."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from http.client import responses
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from jupyter_server.base.handlers import APIHandler
from pydantic import BaseModel, ValidationError
from tornado import web

from ..errors import ExportError, InternalError, SpecError

if TYPE_CHECKING:
    from ..app import ExportApp
    from ..queue.service import Exports

__all__ = ["ADMIN_ACTION", "AUTH_RESOURCE", "MAX_BODY_BYTES", "ExportHandler"]

log = logging.getLogger(__name__)

#: What an authoriser of Jupyter is asked about.
AUTH_RESOURCE = "jupyter_export"

#: Of what changes the server for everybody who uses it; other changes are Jupyter's "write".
ADMIN_ACTION = "admin"

#: A spec with ten thousand keyframes is about half of this.
MAX_BODY_BYTES = 2**20

ModelT = TypeVar("ModelT", bound=BaseModel)


class ExportHandler(APIHandler):
    """A REST handler: only for users who are logged in; all its errors are problem details."""

    auth_resource = AUTH_RESOURCE

    @property
    def app(self) -> ExportApp:
        """The extension."""
        return cast("ExportApp", self.settings["jupyter_export"])

    async def exports(self) -> Exports:
        """The queue, once it has started.

        Raises:
            QueueBusy: it cannot work on this server; the reason is given.
        """
        return await self.app.ready()

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse strangers, whatever the method, and bodies that are too large."""
        await super().prepare()
        # Preflight requests of browsers carry no credentials, and their answer has no content.
        if self.current_user is None and self.request.method != "OPTIONS":
            raise web.HTTPError(HTTPStatus.FORBIDDEN)
        if len(self.request.body) > MAX_BODY_BYTES:
            raise web.HTTPError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "The body of a request may have 1 MiB; use fewer keyframes.",
            )

    def reply(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.finish(json.dumps(value))

    def picture(self, jpeg: bytes) -> None:
        """Answer with a picture; a page that has it already (by its ETag) is told so instead."""
        self.set_header("Cache-Control", "private, no-cache")
        self.finish(jpeg, set_content_type="image/jpeg")

    def problem(self, status: HTTPStatus, detail: str) -> None:
        """Answer with a problem that is no exception: its headers stay."""
        self.set_status(status)
        problem = self._http_problem(status, web.HTTPError(status, detail))
        self.finish(json.dumps(problem), set_content_type="application/problem+json")

    def body(self, model: type[ModelT]) -> ModelT:
        """The request's body as `model`.

        Raises:
            SpecError: a field is wrong, missing or unknown.
            tornado.web.HTTPError: the body is no JSON (400).
        """
        try:
            value = json.loads(self.request.body or b"{}")
            # A lone surrogate is legal in JSON, but it is no text that could be stored.
            json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise web.HTTPError(
                HTTPStatus.BAD_REQUEST, "The body is not JSON: %s.", str(error).rstrip(".")
            ) from None
        return _validate(model, value)

    def query(self, model: type[ModelT]) -> ModelT:
        """The query parameters that `model` has as fields; others are left alone.

        Raises:
            SpecError: a parameter is wrong.
        """
        names = model.model_fields
        given = {name: self.get_query_argument(name, None) for name in names}
        return _validate(model, {n: text for n, text in given.items() if text is not None})

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write RFC 9457 problem details."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, ExportError):
            problem = error.to_problem()
        elif isinstance(error, web.HTTPError) or error is None:
            problem = self._http_problem(status_code, error)
        else:
            problem = InternalError(
                "This request met a bug in the server.", "The server's log has the details."
            ).to_problem()
        self.set_status(problem["status"])
        if status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join(self.allowed_methods()))
        self.finish(json.dumps(problem), set_content_type="application/problem+json")

    @classmethod
    def allowed_methods(cls) -> list[str]:
        """The HTTP methods that this handler answers."""
        return [
            method
            for method in cls.SUPPORTED_METHODS
            if hasattr(getattr(cls, method.lower()), "operation")
        ]

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """One line for what a user did wrong, the whole traceback for what we did wrong."""
        if isinstance(value, ExportError) and not isinstance(value, InternalError):
            log.info(
                "refused method=%s path=%s type=%s: %s",
                self.request.method,
                self.request.path,
                value.type(),
                value,
            )
        else:
            super().log_exception(typ, value, tb)

    def _http_problem(self, status: int, error: web.HTTPError | None) -> dict[str, Any]:
        title = responses.get(status, "Unknown")
        detail = title + "."
        if error is not None and error.log_message:
            detail = error.log_message % error.args if error.args else error.log_message
        return {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
            "advice": _ADVICE.get(status, ""),
            "field": None,
        }


_ADVICE: dict[int, str] = {
    400: "Send a JSON object, as openapi.json describes.",
    403: "Log in, or send the server's token in the Authorization header.",
    404: "See openapi.json for what there is.",
    405: "See the Allow header for the methods that this address answers.",
    413: "Send less.",
    416: "Ask for bytes that the file has.",
}


def _validate(model: type[ModelT], value: Any) -> ModelT:
    if not isinstance(value, dict):
        raise SpecError("The body must be a JSON object.", "See openapi.json for its fields.")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            raise SpecError(
                "There is no such field.", "Check the spelling against openapi.json.", field=field
            ) from None
        raise SpecError(f"{problem['msg']}.", field=field) from None
