"""Jupyter events: every change of a job's state, for the handlers and listeners of the server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .job import FINISHED

if TYPE_CHECKING:
    from jupyter_events import EventLogger

__all__ = ["JOB_SCHEMA", "QUEUE_SCHEMA", "Announcer", "register"]

log = logging.getLogger(__name__)

JOB_SCHEMA = "https://events.jupyter.org/jupyter_export/job/v1"
QUEUE_SCHEMA = "https://events.jupyter.org/jupyter_export/queue/v1"

_SCHEMAS = Path(__file__).parent / "event_schemas"

#: What leaves the state as it is, and comes often.
_QUIET = frozenset({"planned", "advanced", "prioritised"})


def register(logger: EventLogger) -> None:
    """Make our schemas known to the server's event logger."""
    for path in sorted(_SCHEMAS.glob("*/v1.yaml")):
        logger.register_event_schema(path)


class Announcer:
    """Passes the events of the queue on to Jupyter's.

    `store` names the job store; `leading` tells whether this server starts its jobs: of several
    servers, only that one speaks.
    """

    def __init__(
        self, logger: EventLogger, store: Callable[[], str], leading: Callable[[], bool]
    ) -> None:
        self._logger = logger
        self._store = store
        self._leading = leading

    def hear(self, message: dict[str, Any]) -> None:
        """Take note of one message of the queue to its listeners."""
        if message.get("type") != "event" or message["event"] in _QUIET or not self._leading():
            return
        about = {"sequence": message["seq"], "store": self._store(), "time": message["at"]}
        if "job" in message:
            schema, data = JOB_SCHEMA, _job(message["event"], message["job"]) | about
        else:
            schema, data = QUEUE_SCHEMA, {"state": message["queue"]} | about
        try:
            self._logger.emit(schema_id=schema, data=data)
        except Exception:
            # What others do with an event is no reason for an export to fail.
            log.exception("action=emit-event schema=%s", schema)


def _job(event: str, job: dict[str, Any]) -> dict[str, Any]:
    data = {
        "event": event,
        "job": job["id"],
        **{name: job[name] for name in ("kind", "state", "attempt", "priority")},
    }
    if job["encoder"]:
        data["encoder"] = job["encoder"]["name"]
    if job["error"] and event in {"failed", "retrying"}:
        data["error"] = job["error"]["type"]
    if job["state"] in FINISHED and job["started_at"] and job["finished_at"]:
        start, end = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
        data["seconds"] = (end - start).total_seconds()
    if event == "completed" and job["result"]:
        data |= {"frames": job["result"]["frames"], "bytes": job["result"]["bytes"]}
        data["segments"] = job["segments"]
    return data
