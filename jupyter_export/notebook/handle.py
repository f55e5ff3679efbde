"""One job, seen from Python: its state, waiting for its end, and what can be done with it."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TextIO

from ..errors import Cancelled, ExportError, IllegalMove, InternalError, ServerUnreachable
from ..job import FINISHED, State
from ..terminal import MakeBar, amount
from .connection import Connection
from .follow import PATIENCE_SECONDS, Following
from .result import Result

__all__ = ["JOB_MIME", "POLL_SECONDS", "JobHandle"]

#: JupyterLab draws this as the job's own row, live, as long as the server knows the job.
JOB_MIME = "application/vnd.jupyter-export.job+json"

#: Seconds between two looks at a job that is waited for, where the feed cannot be had.
POLL_SECONDS = 0.5


class JobHandle:
    """A job as the server last described it; `refresh` asks again."""

    def __init__(self, connection: Connection, json: dict[str, Any], root: str = "") -> None:
        """`root` is the server's root folder."""
        self._connection = connection
        self._root = root
        self.json: dict[str, Any] = json
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

    @property
    def result(self) -> Result:
        """What it has made; a cell plays it.

        Raises:
            ExportError: it has made nothing, or not yet: `IllegalMove`, `Cancelled`, or what it
                failed with.
        """
        if self.state not in FINISHED:
            raise IllegalMove(
                f"The export of {self.output} is {self.state}.", "Call wait() first.", job=self.id
            )
        self._check()
        made = self.json["result"]
        return Result(
            job=self.id,
            output=self.output,
            path=Path(self._root, self.output),
            **{name: made[name] for name in ("bytes", "frames", "duration", "sha256")},
            _connection=self._connection,
        )

    @property
    def outcome_error(self) -> ExportError | None:
        """Why it has made nothing; None as long as it may, and when it has."""
        try:
            self._check()
        except ExportError as error:
            return error
        return None

    def refresh(self) -> JobHandle:
        """Ask the server how the job is."""
        self.json = self._connection.call("GET", f"jobs/{self.id}")
        return self

    def refresh_quietly(self) -> JobHandle:
        """As `refresh`, but a server that does not answer just now leaves it as it is."""
        self._look()
        return self

    def __await__(self) -> Generator[Any, None, JobHandle]:
        """As `wait`, without a bar, and without holding up other tasks of the event loop."""
        return self._awaited().__await__()

    async def _awaited(self) -> JobHandle:
        await self.finished()
        self._check()
        return self

    async def finished(self) -> JobHandle:
        """Return when the job is finished, whatever came of it; holds up no event loop."""
        missed = 0.0
        while self.state not in FINISHED:
            before = time.monotonic()
            if await asyncio.to_thread(self._look):
                missed = 0.0
            elif (missed := missed + time.monotonic() - before + POLL_SECONDS) > PATIENCE_SECONDS:
                await asyncio.to_thread(self.refresh)  # raises what is wrong
            if self.state not in FINISHED:
                await asyncio.sleep(POLL_SECONDS)
        return self

    def wait(
        self,
        timeout: float | None = None,
        *,
        progress: bool | MakeBar = True,
        file: TextIO | None = None,
    ) -> JobHandle:
        """Return when the job is completed; `timeout` is in seconds.

        The progress is shown below the cell, or in `file`, such as a terminal or a log; it is a
        bar of tqdm, or of the class that `progress` is. A server that restarts meanwhile is waited
        for. Interrupting this leaves the job alone.

        Raises:
            ExportError: what the job failed with; `Cancelled` when somebody cancelled it.
            TimeoutError: it was not finished in time; it goes on.
        """
        from ..terminal import Bar

        until = None if timeout is None else time.monotonic() + timeout
        with Bar(self.output, file=file, progress=progress) as bar:
            for _ in self._changes(until):
                bar.show(self.json)
        if self.state not in FINISHED:
            raise TimeoutError(
                f"The export of {self.output} was not finished after {timeout:g} s; "
                "it goes on, and wait() can be called again."
            )
        self._check()
        return self

    def _check(self) -> None:
        """Raise why it has made nothing, if that is so."""
        if self.state is State.CANCELLED:
            raise Cancelled(
                f"The export of {self.output} was cancelled.", "Call retry() to queue it again."
            )
        if self.state is State.FAILED:
            raise self.error or InternalError(f"The export of {self.output} failed.")

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
        if self.state is State.COMPLETED and (made := self.json.get("result")):
            text.append(
                f"{made['frames']} frames, {made['duration']:.2f} s, {amount(made['bytes'])}"
            )
        if self.state is State.RUNNING:
            text.append(
                f'<progress max="100" value="{float(self.progress["percent"]):.2f}"></progress>'
            )
        if self.error is not None:
            text.append(html.escape(str(self.error)))
        return f"<div>{' '.join(text)}</div>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {
            "text/plain": repr(self),
            "text/html": self._repr_html_(),
            JOB_MIME: {"version": 1, "job": self.id},
        }

    def _changes(self, until: float | None) -> Iterator[None]:
        """Keep `json` up to date until the job is finished: by the feed, else by asking."""
        health = self._health()
        # From before the job is looked at: nothing about it can be missed, and no list is needed.
        since = (health["epoch"], health["seq"]) if health.get("epoch") else None
        self.refresh()
        yield
        with Following(self._connection, since) as feed:
            heard = asked = time.monotonic()
            while self.state not in FINISHED:
                now = time.monotonic()
                left = POLL_SECONDS if until is None else until - now
                if left <= 0:
                    return
                message = feed.poll(min(POLL_SECONDS, left))
                if feed.live:
                    heard = time.monotonic()
                    if message is not None and self._hear(message):
                        yield
                elif time.monotonic() - asked >= POLL_SECONDS:
                    asked = time.monotonic()
                    if self._look():
                        heard = time.monotonic()
                        yield
                    elif time.monotonic() - heard > PATIENCE_SECONDS:
                        self.refresh()  # raises what is wrong

    def _health(self) -> dict[str, Any]:
        """The server's health; a server that restarts just now is waited for."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                health: dict[str, Any] = self._connection.call("GET", "health")
                return health
            except ServerUnreachable:
                if time.monotonic() > until:
                    raise
                time.sleep(POLL_SECONDS)

    def _look(self) -> bool:
        """Ask once how the job is; False when the server does not answer."""
        try:
            self.refresh()
        except ServerUnreachable:
            return False
        return True

    def _hear(self, message: dict[str, Any]) -> bool:
        """Take in what the feed says; whether it is about this job."""
        match message:
            case {"type": "event", "job": {"id": self.id} as job}:
                self.json = {**job, "spec": job["spec"] or self.json["spec"]}
            case {"type": "progress", "job": self.id}:
                news = {name: message[name] for name in ("progress", "segments", "waiting_for")}
                self.json = {**self.json, **news}
            case {"type": "positions", "positions": dict(places)} if self.id in places:
                if self.state is not State.QUEUED:
                    return False
                position, reason = places[self.id]
                self.json = {**self.json, "queue_position": position, "waiting_for": reason}
            case {"type": "snapshot", "jobs": list(jobs)}:
                known = [job for job in jobs if job["id"] == self.id]
                if not known:
                    return self._look()
                self.json = {**known[0], "spec": known[0]["spec"] or self.json["spec"]}
            case _:
                return False
        return True

    def _act(self, action: str) -> JobHandle:
        self.json = self._connection.call("POST", f"jobs/{self.id}/{action}")
        return self
