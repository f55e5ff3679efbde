"""One log file per job: a line for each change, and what libraries print in its workers."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .rows import Event

__all__ = ["TAIL_BYTES", "JobLogs"]

log = logging.getLogger(__name__)

#: How much of a log is shown.
TAIL_BYTES = 256 * 1024
#: Changes that come often and tell nothing that the others do not.
_QUIET = frozenset({"advanced"})


class JobLogs:
    """The folder of the logs. Its methods block: call them in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, id: str) -> Path:
        """The log file of a job."""
        return self.folder / f"{id}.log"

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            OSError: it cannot be made.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(self, events: Sequence[Event]) -> None:
        """A line for each event of a job, in its own log and in the server's."""
        for event in events:
            if event.job_id is None:
                log.info("action=queue state=%s", event.data["queue"])
                continue
            if event.type in _QUIET:
                continue
            text = describe(event)
            log.info(
                "job=%s attempt=%s action=%s %s", event.job_id, event.attempt, event.type, text
            )
            if event.type == "deleted":
                self.path(event.job_id).unlink(missing_ok=True)
            else:
                at = event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
                self.append(event.job_id, f"{at} attempt={event.attempt} {event.type} {text}")

    def append(self, id: str, line: str) -> None:
        """Add a line; a log that cannot be written is no reason for anything to fail."""
        try:
            with self.path(id).open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(line.rstrip() + "\n")
        except OSError as error:
            log.warning("job=%s its log cannot be written: %s", id, error)

    def tail(self, id: str) -> str:
        """The last `TAIL_BYTES` of a job's log, in whole lines; empty if there is none."""
        try:
            with self.path(id).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - TAIL_BYTES))
                data = file.read(TAIL_BYTES)
        except FileNotFoundError:
            return ""
        if size > TAIL_BYTES:
            _, _, data = data.partition(b"\n")
        return data.decode("utf-8", errors="replace")


def describe(event: Event) -> str:
    """What an event tells beside its type, as ``key=value`` words."""
    job: dict[str, Any] = event.data
    words = [f"state={job['state']}"]
    if event.type == "submitted":
        words += [f"kind={job['kind']}", f"output={job['output']!r}"]
    if event.type in {"planned", "publishing"}:
        words += [f"encoder={job['encoder']['name']}", f"reason={job['encoder']['reason']!r}"]
        words += [f"{name}={count}" for name, count in job["segments"].items()]
        words += [f"note={note!r}" for note in job["notes"]]
    if event.type in {"failed", "retrying"} and job["error"]:
        error = job["error"]
        words.append(f"error={error['type']}")
        if job["not_before"]:
            words.append(f"not_before={job['not_before']}")
        words.append(" ".join(text for text in (error["detail"], error["advice"]) if text))
    if event.type == "completed" and job["result"]:
        words += [f"{name}={value}" for name, value in job["result"].items()]
    return " ".join(words)
