"""The client: submit exports to a running server and follow them."""

from __future__ import annotations

import os
import uuid
from typing import Any, Literal

from ..errors import ExportError
from ..job import State
from ..spec import ExportSpec
from .connection import Connection, open_connection
from .estimate import Estimate
from .follow import Following
from .frame import Frame
from .handle import JobHandle
from .paths import project_name, translate

__all__ = ["Client", "JobHandle", "connect"]

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
        key: str | None = None,
    ) -> JobHandle:
        """Queue an export and return at once.

        With the same `key` again, the first export is given instead of a second one.

        Paths in `spec` are relative to the present folder where that lies inside the server's
        root, else to the root. A spec without a project gets the notebook's name as its project.

        Raises:
            SpecError: the request is wrong; it says which field.
            OutputInUse: another live job writes the same output.
            DuplicateJob: the project has a live job of this kind, and not `allow_duplicate`.
        """
        body = self._here(spec)
        if body.get("project") is None:
            # Nobody named a project, so its guard against duplicates was not asked for either.
            body["project"] = project_name(os.environ.get("JPY_SESSION_NAME", ""), self.root)
            allow_duplicate = True
        job = self._connection.call(
            "POST",
            "jobs",
            json={"spec": body, "priority": priority, "allow_duplicate": allow_duplicate},
            # One key for all tries: a repeated request must not become a second export.
            headers={"Idempotency-Key": key or uuid.uuid4().hex},
            tries=3,
        )
        return self._handle(job)

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
            found += [self._handle(job) for job in answer["jobs"]]
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
        return self._handle(self._connection.call("GET", f"jobs/{id}"))

    def follow(self, since: tuple[str, int] | None = None) -> Following:
        """Everything that happens from now on, as it happens; see `Following`.

        The first message is a ``snapshot``. With `since`, the `position` of an earlier one, it
        goes on there: with the events that were missed, or a snapshot when they were too many.

            with client.follow() as feed:
                for message in feed:
                    if message["type"] == "event":
                        print(message["event"], message["job"]["output"])
        """
        return Following(self._connection, since)

    def projects(self) -> list[dict[str, Any]]:
        """The projects, each with its jobs counted and whether it is complete."""
        projects: list[dict[str, Any]] = self._connection.call("GET", "projects")["projects"]
        return projects

    def hardware(self, *, refresh: bool = False) -> dict[str, Any]:
        """The encoders, each with the reason why it can or cannot be used."""
        query = {"refresh": 1} if refresh else None
        report: dict[str, Any] = self._connection.call("GET", "hardware", params=query)
        return report

    def health(self) -> dict[str, Any]:
        """Whether exports work here, and if not, why; where jobs and leases are kept."""
        health: dict[str, Any] = self._connection.call("GET", "health")
        return health

    def limits(self, **changes: int | str) -> dict[str, Any]:
        """How much may run at once, after `changes` if any are given, such as
        ``max_concurrent_exports=5``; they last until the server ends.

        Raises:
            SpecError: there is no such limit, or it cannot be that.
        """
        if changes:
            limits: dict[str, Any] = self._connection.call("PATCH", "limits", json=changes)
        else:
            limits = self._connection.call("GET", "limits")
        return limits

    def metrics(self) -> str:
        """The server's metrics as Prometheus reads them; ours begin with ``jupyter_export_``."""
        return self._connection.text(f"{self.url}metrics")

    def queue(self, action: Literal["pause", "resume", "drain"] | None = None) -> dict[str, Any]:
        """The state of the queue, after `action` if one is given."""
        if action is None:
            state: dict[str, Any] = self._connection.call("GET", "queue")
        else:
            state = self._connection.call("POST", f"queue/{action}")
        return state

    def preview(
        self,
        spec: ExportSpec | dict[str, Any],
        time: float = 0.0,
        *,
        width: int = 1280,
        show: str = "result",
    ) -> Frame:
        """What the export of `spec` would show at `time` seconds of its output.

        A cell shows it as a picture; it is rendered by the server, as the export would be. With
        `show` "before" it is the same without what changes only the looks (see `ExportSpec.
        preview`); with the field of an effect, such as ``sources[0].effects[1]``, the picture
        that this effect is given, at `time` of its own clock.

        Raises:
            ExportError: what the export would be refused with.
        """
        body = {"spec": self._here(spec), "time": time, "width": width, "show": show}
        response = self._connection.response("POST", "preview", json=body)
        size = [int(side) for side in response.headers["x-size"].split("x")]
        return Frame(
            jpeg=response.content,
            time=float(response.headers["x-time"]),
            duration=float(response.headers["x-duration"]),
            size=(size[0], size[1]),
        )

    def probe(self, path: str) -> dict[str, Any]:
        """The size and the length of a video: ``{width, height, duration}``.

        Raises:
            ExportError: it cannot be read.
        """
        (source,) = self._here({"sources": [{"path": path}]})["sources"]
        return dict(self._get("probe", {"path": source["path"]}))

    def estimate(self, spec: ExportSpec | dict[str, Any]) -> Estimate:
        """How long the export of `spec` would take, how large it would be, and whether it would
        fit; paths as in `submit`.

        Raises:
            ExportError: what the export would be refused with, but for want of room, which the
                estimate tells.
        """
        return Estimate.from_json(self.estimate_json(spec))

    def estimate_json(self, spec: ExportSpec | dict[str, Any]) -> dict[str, Any]:
        """What `estimate` gives, as REST has it."""
        body = {"spec": self._here(spec)}
        found: dict[str, Any] = self._connection.call("POST", "estimate", json=body)
        return found

    def answers(self) -> bool:
        """Whether the server is still there."""
        try:
            self._connection.call("GET", "health")
        except ExportError:
            return False
        return True

    def close(self) -> None:
        """Close the connection; jobs go on."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<jupyter_export client of {self.url}>"

    def _here(self, spec: ExportSpec | dict[str, Any]) -> dict[str, Any]:
        """The spec as JSON, its paths relative to the server's root."""
        body = spec.model_dump(mode="json") if isinstance(spec, ExportSpec) else dict(spec)
        if self.root and os.path.isdir(self.root):  # noqa: PTH112 (a remote root is no path here)
            body = translate(body, self.root, os.getcwd())  # noqa: PTH109
        return body

    def _handle(self, job: dict[str, Any]) -> JobHandle:
        return JobHandle(self._connection, job, self.root)

    def _list(self, path: str, query: dict[str, Any]) -> list[JobHandle]:
        return [self._handle(job) for job in self._get(path, query)["jobs"]]

    def _get(self, path: str, query: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in query.items() if value is not None}
        answer: dict[str, Any] = self._connection.call("GET", path, params=given)
        return answer
