"""Our log as JSON, a line for each record, with `job`, `attempt` and the like as members."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

__all__ = ["JsonLines", "write_json"]

#: ``job=%s``: our messages name what they tell.
_NAMED = re.compile(r"(?:\b(\w+)=)?'?%(?:[-#0 +]*\d*(?:\.\d+)?)[srdigf]|%%")


class JsonLines(logging.Formatter):
    """``{"time", "level", "logger", "message", …}``: further members are the ``name=value`` of
    the message and what was given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line = {**_named(record), **line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def write_json(name: str, level: int) -> logging.Handler:
    """Let the logger `name`, and those below it, write JSON lines to standard error, and there
    only; gives the handler, to be removed at the end."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    return handler


_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _named(record: logging.LogRecord) -> dict[str, Any]:
    """The values that the message names, and what the record carries beside it."""
    found = {
        name: value
        for name, value in vars(record).items()
        if name not in _OWN and not name.startswith("_")
    }
    if isinstance(record.args, tuple):
        places = [match for match in _NAMED.finditer(str(record.msg)) if match[0] != "%%"]
        if len(places) == len(record.args):
            for match, value in zip(places, record.args, strict=True):
                if match[1]:
                    found[match[1]] = value if isinstance(value, int | float) else str(value)
    return found
