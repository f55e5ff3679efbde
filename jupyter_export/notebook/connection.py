"""Requests to the server, and what its answers mean: values, or the error they describe."""

from __future__ import annotations

import ssl
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx

from ..errors import ExportError, InternalError, ServerUnreachable, SpecError
from .discovery import Server, candidates

__all__ = ["Connection", "open_connection", "tls_context"]

#: Seconds to wait for an answer; submitting looks into the source file first.
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
#: Seconds before a request that failed on its way is sent again.
RETRY_SECONDS = 0.5
#: Seconds to wait at most where a server wants to be left alone for a while.
LONGEST_PAUSE = 60.0


class Connection:
    """A session with one server."""

    def __init__(self, server: Server, *, verify: bool | str = True) -> None:
        self.server = server
        self.trust: bool | ssl.SSLContext = _trust(verify)
        """True, False, or the TLS context with the certificates to trust."""
        headers = {"Accept": "application/json, application/problem+json"}
        if server.token:
            headers["Authorization"] = f"token {server.token}"
        transport = httpx.HTTPTransport(uds=server.socket) if server.socket else None
        local = urlsplit(server.url).hostname in {"localhost", "127.0.0.1", "::1"}
        self._http = httpx.Client(
            base_url=f"{server.url}jupyter-export/",
            headers=headers,
            timeout=TIMEOUT,
            transport=transport,
            verify=self.trust,
            # A proxy for the outside world cannot reach a server on this machine.
            mounts=dict.fromkeys(("http://", "https://", "all://")) if local else None,
        )

    def call(self, method: str, path: str, *, tries: int = 1, **request: Any) -> Any:
        """The JSON of the answer.

        Raises:
            ServerUnreachable: nothing answers, or not this extension, or the token is refused.
            ExportError: the server's problem details.
        """
        response = self._send(method, path, tries=tries, **request)
        if response.status_code == 204:
            return None
        try:
            return response.json()
        except ValueError:
            raise self.not_ours("does not answer as this extension does") from None

    def text(self, path: str) -> str:
        """The text of the answer; raises as `call` does."""
        return self._send("GET", path, tries=1).text

    def response(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The whole answer; raises as `call` does."""
        return self._send(method, path, tries=1, **request)

    def exchange(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Whatever is answered, for whoever passes it on.

        Raises:
            ServerUnreachable: nothing answers.
        """
        try:
            return self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def close(self) -> None:
        """Close the session."""
        self._http.close()

    def _send(self, method: str, path: str, *, tries: int, **request: Any) -> httpx.Response:
        while True:
            tries -= 1
            try:
                response = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                if tries <= 0:
                    raise self._unreachable(error) from None
                time.sleep(RETRY_SECONDS)
                continue
            except (TypeError, ValueError) as error:
                raise SpecError(
                    f"The spec cannot be written as JSON: {error}.",
                    "Use plain numbers, texts, lists and dicts; no NaN.",
                ) from None
            if response.status_code == HTTPStatus.TOO_MANY_REQUESTS and tries > 0:
                time.sleep(_pause(response))
                continue
            break
        if response.is_success:
            return response
        raise self._error(response)

    def _error(self, response: httpx.Response) -> ExportError:
        if response.headers.get("content-type", "").startswith("application/problem+json"):
            problem = response.json()
            if problem.get("type") != "about:blank":
                return ExportError.from_json(problem)
            detail, advice = problem.get("detail", ""), problem.get("advice", "")
        else:
            detail = advice = ""
        match response.status_code:
            case 403 if "not authorized" in detail:
                return SpecError(detail, advice)  # who they are is known
            case 401 | 403:
                return self._refused()
            case status if 300 <= status < 400:
                # A server that knows no token sends a browser to its login page.
                return self._refused()
            case 404 if not detail:
                return self.not_ours("does not have the extension jupyter_export")
            case status if detail and 400 <= status < 500:
                return SpecError(detail, advice)
            case 502 | 503 | 504:
                return ServerUnreachable(
                    f"The way to {self.server.url} is closed (HTTP {response.status_code}).",
                    "Try again in a moment.",
                )
            case status:
                return InternalError(
                    f"The server at {self.server.url} answered HTTP {status}.", "See its log."
                )

    def _unreachable(self, error: httpx.TransportError) -> ServerUnreachable:
        text = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return ServerUnreachable(
                f"The certificate of {self.server.url} is not trusted.",
                "Name its certificate in SSL_CERT_FILE; or give verify=False (`--insecure`).",
            )
        return ServerUnreachable(
            f"The Jupyter server at {self.server.url} does not answer ({text.rstrip('.')}).",
            "Check that it runs and that its address is right.",
        )

    def _refused(self) -> ServerUnreachable:
        return ServerUnreachable(
            f"The Jupyter server at {self.server.url} refuses the token."
            if self.server.token
            else f"The Jupyter server at {self.server.url} wants a token.",
            "Set JUPYTER_EXPORT_URL and JUPYTER_EXPORT_TOKEN (`jupyter server list` shows both).",
        )

    def not_ours(self, what: str) -> ServerUnreachable:
        """The error of a server that serves no exports; `what` completes the sentence."""
        return ServerUnreachable(
            f"The server at {self.server.url} {what}.",
            "Run `pip install jupyter_export` in the server's environment, then restart it; or use "
            "a server of exports alone: jx.serve().",
        )


def open_connection(
    url: str | None, token: str | None, verify: bool | str
) -> tuple[Connection, dict[str, Any]]:
    """A connection with the first server that answers, and its health.

    Only among servers that merely happen to run is the next one tried: where one is meant, such
    as the kernel's own, another one would export into another root.

    Raises:
        ServerUnreachable: there is none, or the one that is meant does not serve exports.
    """
    first: ServerUnreachable | None = None
    for server in candidates(url, token):
        connection = Connection(server, verify=verify)
        try:
            health = connection.call("GET", "health")
            if not isinstance(health, dict) or "status" not in health:
                raise connection.not_ours("does not answer as this extension does")
            return connection, health
        except ServerUnreachable as error:
            connection.close()
            if server.origin != "other":
                raise
            first = first or error
        except BaseException:
            connection.close()
            raise
    raise first or ServerUnreachable(
        "No running Jupyter server was found.",
        "Start one: jx.serve() from Python, or `jupyter lab`; or set JUPYTER_EXPORT_URL and "
        "JUPYTER_EXPORT_TOKEN.",
    )


def _pause(response: httpx.Response) -> float:
    """Seconds after which the server is ready to be asked again, as it says itself."""
    try:
        return min(LONGEST_PAUSE, float(response.headers.get("Retry-After", "")))
    except ValueError:
        return RETRY_SECONDS


def _trust(verify: bool | str) -> bool | ssl.SSLContext:
    if isinstance(verify, bool):
        return verify
    return ssl.create_default_context(cafile=verify)


def tls_context(trust: bool | ssl.SSLContext) -> ssl.SSLContext:
    """The TLS settings of a connection's `trust`: given whole, the system's, or none checked."""
    if isinstance(trust, ssl.SSLContext):
        return trust
    context = ssl.create_default_context()
    if not trust:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
