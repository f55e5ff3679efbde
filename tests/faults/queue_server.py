"""A server's queue in a process of its own, to be killed: ``python queue_server.py FOLDER``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from queue_support import FewEncoders, FileExecutor, settings

from jupyter_export.queue.service import Exports
from jupyter_export.workers.executor import Task


async def pause(task: Task) -> None:
    await asyncio.sleep(0.01)


async def main(folder: Path) -> None:
    executor = FileExecutor(segments=3)
    executor.halfway = pause
    # One try and one worker: whoever counts a killed server as a failure loses the job.
    chosen = settings(folder, max_attempts=1, max_lost_workers=1)
    exports = Exports(chosen, folder / "root", executor, FewEncoders())
    await exports.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while await exports.active():
        await asyncio.sleep(0.01)
    await exports.stop()


asyncio.run(main(Path(sys.argv[1])))
