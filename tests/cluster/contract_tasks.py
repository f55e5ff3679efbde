"""The tasks that tests look at a worker with, and the real ones."""

from __future__ import annotations

from worker_tasks import TASKS as LOOKING

from jupyter_export.workers.tasks import TASKS as REAL

TASKS = {**LOOKING, **REAL}
