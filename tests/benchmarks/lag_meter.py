"""A server extension that measures how late the event loop wakes up; for a benchmark only."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

EVERY = 0.01
"""Seconds between two samples."""
_tasks: set[asyncio.Task[None]] = set()


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "lag_meter"}]


def _load_jupyter_server_extension(app: Any) -> None:
    app.io_loop.add_callback(_start)


def _start() -> None:
    task = asyncio.get_running_loop().create_task(_measure(Path(os.environ["LAG_FILE"])))
    _tasks.add(task)


async def _measure(path: Path) -> None:
    """Append a line for each second: when it ended, and its samples in milliseconds."""
    while True:
        late = []
        for _ in range(round(1 / EVERY)):
            begin = time.perf_counter()
            await asyncio.sleep(EVERY)
            late.append((time.perf_counter() - begin - EVERY) * 1e3)
        with path.open("a") as file:
            file.write(f"{time.time()} {' '.join(f'{ms:.3f}' for ms in late)}\n")
