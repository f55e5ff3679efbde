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

__all__ = ["ADMIN_ACTION", "AUTH_RESOURCE", "EXECUTE_ACTION", "ExportHandler"]

log = logging.getLogger(__name__)

#: What an authoriser of Jupyter is asked about.
AUTH_RESOURCE = "jupyter_export"

#: Of what starts and stops work, as of running a cell; other changes are Jupyter's "write".
EXECUTE_ACTION = "execute"

#: Of what changes the server for everybody who uses it.
ADMIN_ACTION = "admin"

#: What a form of any web page can send without asking the server first.
_OF_FORMS = ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded")

ModelT = TypeVar("ModelT", bound=BaseModel)


@web.stream_request_body
class ExportHandler(APIHandler):
    """A REST handler: only for users who are logged in; all its errors are problem details.

    Bodies are read only once it is known who sends them, and no further than is allowed.
    """

    auth_resource = AUTH_RESOURCE
    _too_large = False
    _admitted = False

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

    def set_default_headers(self) -> None:
        """Jupyter's, and what keeps pages of other sites from showing or guessing at answers."""
        super().set_default_headers()
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse strangers and other sites, whatever the method."""
        await super().prepare()
        # Preflight requests of browsers carry no credentials, and their answer has no content.
        if self.request.method != "OPTIONS":
            if self.current_user is None:
                raise web.HTTPError(HTTPStatus.FORBIDDEN)
            self._refuse_other_sites()
        self._admitted = True

    def data_received(self, chunk: bytes) -> None:
        """Keep the body as it comes, as far as it may go.

        The rest is read all the same: who is cut off while sending never sees the answer.
        """
        size = len(self.request.body) + len(chunk)
        self._too_large = self._too_large or size > self.app.max_request_bytes
        self.request.body = b"" if self._too_large else self.request.body + chunk

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
            tornado.web.HTTPError: the body is no JSON (400), too large (413), or a form's (415).
        """
        if self._too_large:
            raise web.HTTPError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "The body of a request may have %d bytes.",
                self.app.max_request_bytes,
            )
        if self.request.headers.get("Content-Type", "").lower().startswith(_OF_FORMS):
            raise web.HTTPError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is of a type that forms send."
            )
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
        if not self._admitted:
            # Tornado ends a connection of which it has not read the body; clients must know.
            self.set_header("Connection", "close")
        if "retry_after" in problem:
            self.set_header("Retry-After", str(problem["retry_after"]))
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

    def _refuse_other_sites(self) -> None:
        """Images, links and forms of other sites come with the cookie, but without an Origin.

        Browsers tell by Sec-Fetch-Site where a request comes from; those that do not, by Referer.
        """
        headers = self.request.headers
        site = headers.get("Sec-Fetch-Site")
        if "Origin" in headers or site in {"same-origin", "none"}:
            return  # Jupyter has looked at the origin
        if (site is not None or "Referer" in headers) and not self.check_referer():
            raise web.HTTPError(HTTPStatus.FORBIDDEN, "A page of another site cannot ask for this.")

    def _http_problem(self, status: int, error: web.HTTPError | None) -> dict[str, Any]:
        title = responses.get(status, "Unknown")
        advice = _ADVICE.get(status, "")
        if status == HTTPStatus.FORBIDDEN and self.current_user is not None:
            advice = "Ask whoever runs this server for the right to do this."
        detail = title + "."
        if error is not None and error.log_message:
            detail = error.log_message % error.args if error.args else error.log_message
        return {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
            "advice": advice,
            "field": None,
        }


_ADVICE: dict[int, str] = {
    400: "Send a JSON object, as openapi.json describes.",
    403: "Log in, or send the server's token in the Authorization header.",
    404: "See openapi.json for what there is.",
    405: "See the Allow header for the methods that this address answers.",
    413: "Use fewer keyframes, or raise the setting max_request_bytes.",
    415: "Send JSON, and say so: Content-Type: application/json.",
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
