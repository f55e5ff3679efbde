"""A Jupyter server whose exports change state all the time and render nothing.

python feed_server.py FOLDER PORT SECONDS: prints JSON lines with its memory and loop lag.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jupyter_server.serverapp import ServerApp
from queue_support import FileExecutor
from traitlets.config import Config

import jupyter_export.app
from jupyter_export.errors import ExportError
from jupyter_export.spec import clip

TOKEN = "a-token-for-tests"
#: Changes that are asked for in one second; each start, plan and completion is one more.
CHANGES_PER_SECOND = 15
#: Jobs kept in the line.
WAITING = 25


class Pool(FileExecutor):
    """Exports that take about a second, in this process."""

    trouble = ""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(segments=3)
        self.halfway = self._dawdle

    async def start(self) -> None:
        pass

    def memory(self) -> list[int]:
        return []

    async def _dawdle(self, _: Any) -> None:
        self.tasks.clear()  # else this would be what grows
        await asyncio.sleep(random.uniform(0.1, 0.5))


async def change(exports: Any, until: float) -> None:
    """Submit, pause, resume, reorder, cancel, retry and delete at random."""
    rng = random.Random(1)
    n = 0
    while time.monotonic() < until:
        await asyncio.sleep(rng.expovariate(CHANGES_PER_SECOND))
        active = await exports.active()
        waiting = [job["id"] for job in active if job["state"] == "queued"]
        if len(waiting) < WAITING:
            n += 1
            spec = clip("source.mp4", output=f"{n}.mp4", project=f"p{n % 7}")
            await exports.submit(spec, allow_duplicate=True)
            continue
        # Some of what follows cannot be done in the state that a job happens to be in.
        with contextlib.suppress(ExportError, IndexError):
            id = rng.choice([job["id"] for job in active])
            match rng.randrange(6):
                case 0:
                    await exports.cancel(id)
                case 1:
                    await exports.pause(id)
                case 2:
                    await exports.resume(id)
                case 3:
                    await exports.set_priority(id, rng.randrange(5))
                case 4:
                    await exports.retry(rng.choice(await exports.list(limit=60))["id"])
                case 5:
                    await exports.delete(rng.choice(await exports.list(limit=60))["id"])
    await exports.set_queue("drain")
    while (await exports.queue_state())["running"]:
        await asyncio.sleep(0.1)


def rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def say(**values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


async def watch(app: Any, seconds: float) -> None:
    exports = await app.ready()
    hub = await app.feed()
    asyncio.get_running_loop().create_task(exports.set_queue("resume"))
    lags: list[float] = []
    started = time.monotonic()
    changing = asyncio.create_task(change(exports, started + seconds))
    told_at = started
    while not changing.done():
        began = time.perf_counter()
        await asyncio.sleep(0.01)
        lags.append(time.perf_counter() - began - 0.01)
        if time.monotonic() >= told_at:
            told_at += 1
            say(second=round(told_at - started), rss=rss_mib(), clients=len(hub._clients))
    await changing
    lags.sort()
    say(
        done=True,
        events=exports.seq,
        cpu=time.process_time(),
        lag_ms={
            "p50": lags[len(lags) // 2] * 1e3,
            "p99": lags[len(lags) * 99 // 100] * 1e3,
            "max": lags[-1] * 1e3,
        },
    )


def main(folder: Path, port: int, seconds: float) -> None:
    jupyter_export.app.LocalPool = Pool  # type: ignore[assignment,misc]
    (folder / "root").mkdir()
    (folder / "root" / "source.mp4").write_text("x")
    app = ServerApp(
        config=Config(
            ServerApp={
                "jpserver_extensions": {"jupyter_export": True},
                "root_dir": str(folder / "root"),
                "allow_root": True,
                "open_browser": False,
                "base_url": "/base/",
                "ip": "127.0.0.1",
                "port": port,
                "port_retries": 0,
            },
            IdentityProvider={"token": TOKEN},
        )
    )
    app.initialize(argv=[])
    extension = app.web_app.settings["jupyter_export"]
    app.io_loop.call_later(1.0, lambda: asyncio.ensure_future(watch(extension, seconds)))
    app.start()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
