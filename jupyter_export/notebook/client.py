"""The client: submit exports to a running server and follow them."""

from __future__ import annotations

import html
import os
import time
import uuid
from typing import Any, Literal, TextIO

from ..errors import Cancelled, ExportError, InternalError, ServerUnreachable
from ..job import FINISHED, State
from ..spec import ExportSpec
from .connection import Connection, open_connection
from .paths import project_name, translate

__all__ = ["Client", "JobHandle", "connect"]

#: Seconds between two looks at a job that is waited for.
POLL_SECONDS = 0.5
#: Seconds without an answer until waiting gives up: a server restart takes less.
PATIENCE_SECONDS = 60.0
#: Jobs asked for at once.
PAGE = 200


def connect(
    url: str | None = None, token: str | None = None, *, verify: bool | str = True
) -> Client:
    """A client of the server at `url`, or of the server that this kernel or shell belongs to.

    `verify` is for https: False trusts any certificate, a string is the path of a file with the
    certificates to trust.

    Raises:
        ServerUnreachable: no server was found, or it does not answer, or refuses the token, or
            does not have this extension.
    """
    connection, health = open_connection(url, token, verify)
    return Client(connection, root=str(health.get("root") or ""))


class Client:
    """One server's exports. Every method raises `ExportError` with the server's own reason."""

    def __init__(self, connection: Connection, root: str = "") -> None:
        self._connection = connection
        self.root = root
        """The server's root folder, to which the paths of its jobs are relative."""

    @property
    def url(self) -> str:
        """The server's address."""
        return self._connection.server.url

    def submit(
        self,
        spec: ExportSpec | dict[str, Any],
        *,
        priority: int = 0,
        allow_duplicate: bool = False,
    ) -> JobHandle:
        """Queue an export and return at once.

        Paths in `spec` are relative to the present folder where that lies inside the server's
        root, else to the root. A spec without a project gets the notebook's name as its project.

        Raises:
            SpecError: the request is wrong; it says which field.
            OutputInUse: another live job writes the same output.
            DuplicateJob: the project has a live job of this kind, and not `allow_duplicate`.
        """
        body = spec.model_dump(mode="json") if isinstance(spec, ExportSpec) else dict(spec)
        if self.root and os.path.isdir(self.root):  # noqa: PTH112 (a remote root is no path here)
            body = translate(body, self.root, os.getcwd())  # noqa: PTH109
        if body.get("project") is None:
            # Nobody named a project, so its guard against duplicates was not asked for either.
            body["project"] = project_name(os.environ.get("JPY_SESSION_NAME", ""), self.root)
            allow_duplicate = True
        job = self._connection.call(
            "POST",
            "jobs",
            json={"spec": body, "priority": priority, "allow_duplicate": allow_duplicate},
            # One key for all tries: a repeated request must not become a second export.
            headers={"Idempotency-Key": uuid.uuid4().hex},
            tries=3,
        )
        return JobHandle(self._connection, job)

    def jobs(
        self,
        *,
        state: State | str | None = None,
        project: str | None = None,
        limit: int | None = 100,
    ) -> list[JobHandle]:
        """The latest `limit` jobs (None: all), newest first."""
        found: list[JobHandle] = []
        query: dict[str, Any] = {"state": state, "project": project}
        while limit is None or len(found) < limit:
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            answer = self._get("jobs", {**query, "limit": size})
            found += [JobHandle(self._connection, job) for job in answer["jobs"]]
            query["before"] = answer["next"]
            if answer["next"] is None:
                break
        return found

    def active(self, *, project: str | None = None) -> list[JobHandle]:
        """The jobs that are queued, running or publishing."""
        return self._list("jobs/active", {"project": project})

    def recent(self, *, hours: float = 24, project: str | None = None) -> list[JobHandle]:
        """The jobs that finished within the last `hours`."""
        return self._list("jobs/recent", {"hours": hours, "project": project})

    def job(self, id: str) -> JobHandle:
        """One job.

        Raises:
            JobNotFound: there is none with this id.
        """
        return JobHandle(self._connection, self._connection.call("GET", f"jobs/{id}"))

    def projects(self) -> list[dict[str, Any]]:
        """The projects, each with its jobs counted and whether it is complete."""
        projects: list[dict[str, Any]] = self._connection.call("GET", "projects")["projects"]
        return projects

    def hardware(self, *, refresh: bool = False) -> dict[str, Any]:
        """The encoders, each with the reason why it can or cannot be used."""
        query = {"refresh": 1} if refresh else None
        report: dict[str, Any] = self._connection.call("GET", "hardware", params=query)
        return report

    def queue(self, action: Literal["pause", "resume", "drain"] | None = None) -> dict[str, Any]:
        """The state of the queue, after `action` if one is given."""
        if action is None:
            state: dict[str, Any] = self._connection.call("GET", "queue")
        else:
            state = self._connection.call("POST", f"queue/{action}")
        return state

    def close(self) -> None:
        """Close the connection; jobs go on."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<jupyter_export client of {self.url}>"

    def _list(self, path: str, query: dict[str, Any]) -> list[JobHandle]:
        return [JobHandle(self._connection, job) for job in self._get(path, query)["jobs"]]

    def _get(self, path: str, query: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in query.items() if value is not None}
        answer: dict[str, Any] = self._connection.call("GET", path, params=given)
        return answer


class JobHandle:
    """A job as the server last described it; `refresh` asks again."""

    def __init__(self, connection: Connection, json: dict[str, Any]) -> None:
        self._connection = connection
        self.json = json
        """The whole job, as REST gives it."""

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self.json["id"])

    @property
    def state(self) -> State:
        """Where the job is in its life."""
        return State(self.json["state"])

    @property
    def progress(self) -> dict[str, Any]:
        """``{phase, frames, total_frames, percent, fps, eta_s}``."""
        progress: dict[str, Any] = self.json["progress"]
        return progress

    @property
    def output(self) -> str:
        """The output's path, relative to the server's root."""
        return str(self.json["output"])

    @property
    def error(self) -> ExportError | None:
        """What the job ended with, or what its next retry is for."""
        error = self.json.get("error")
        return ExportError.from_json(error) if error else None

    def refresh(self) -> JobHandle:
        """Ask the server how the job is."""
        self.json = self._connection.call("GET", f"jobs/{self.id}")
        return self

    def wait(
        self,
        timeout: float | None = None,
        *,
        progress: bool = True,
        file: TextIO | None = None,
    ) -> JobHandle:
        """Return when the job is completed; `timeout` is in seconds.

        The progress is shown below the cell, or in `file`, such as a terminal or a log. A server
        that restarts meanwhile is waited for. Interrupting this leaves the job alone.

        Raises:
            ExportError: what the job failed with; `Cancelled` when somebody cancelled it.
            TimeoutError: it was not finished in time; it goes on.
        """
        from ..terminal import Bar

        started = time.monotonic()
        with Bar(self.output, file=file, enabled=progress) as bar:
            heard = started
            while True:
                try:
                    self.refresh()
                    heard = time.monotonic()
                except ServerUnreachable:
                    if time.monotonic() - heard > PATIENCE_SECONDS:
                        raise
                bar.show(self.json)
                if self.state in FINISHED:
                    break
                left = None if timeout is None else timeout - (time.monotonic() - started)
                if left is not None and left <= 0:
                    raise TimeoutError(
                        f"The export of {self.output} was not finished after {timeout:g} s; "
                        "it goes on, and wait() can be called again."
                    )
                time.sleep(POLL_SECONDS if left is None else min(POLL_SECONDS, left))
        if self.state is State.CANCELLED:
            raise Cancelled(
                f"The export of {self.output} was cancelled.", "Call retry() to queue it again."
            )
        if self.state is State.FAILED:
            raise self.error or InternalError(f"The export of {self.output} failed.")
        return self

    def cancel(self) -> JobHandle:
        """End the job and leave no part of its output."""
        return self._act("cancel")

    def retry(self) -> JobHandle:
        """Queue a failed or cancelled job again; finished segments are reused."""
        return self._act("retry")

    def pause(self) -> JobHandle:
        """Stop working on the job until `resume`."""
        return self._act("pause")

    def resume(self) -> JobHandle:
        """Go on with a paused job."""
        return self._act("resume")

    def log(self) -> str:
        """What the job and its libraries wrote while it ran."""
        return self._connection.text(f"jobs/{self.id}/log")

    def __repr__(self) -> str:
        percent = f" {self.progress['percent']:.0f}%" if self.state is State.RUNNING else ""
        return f"<export {self.id} {self.output!r} {self.state}{percent}>"

    def _repr_html_(self) -> str:
        text = [f"<b>{html.escape(self.output)}</b> {html.escape(self.state)}"]
        if self.state is State.RUNNING:
            text.append(
                f'<progress max="100" value="{float(self.progress["percent"]):.2f}"></progress>'
            )
        if self.error is not None:
            text.append(html.escape(str(self.error)))
        return f"<div>{' '.join(text)}</div>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _act(self, action: str) -> JobHandle:
        self.json = self._connection.call("POST", f"jobs/{self.id}/{action}")
        return self
