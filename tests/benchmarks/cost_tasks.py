"""Tasks that do nothing, for what is paid around them."""

from __future__ import annotations

from typing import Any

from jupyter_export.workers.context import TaskContext


def nothing(params: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    return {"frames": 200, "reused": False, "notes": []}


TASKS = {"nothing": nothing}
