"""Tools of the queue's tests: an executor in this process that writes real files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from jupyter_export.errors import EncoderUnavailable, SourceMissing
from jupyter_export.hardware.choice import Choice
from jupyter_export.job import Job
from jupyter_export.settings import Settings
from jupyter_export.spec import Encoding, clip
from jupyter_export.workers.executor import Lane, Offer, OnProgress, Task

FRAMES = 10
"""Frames of each segment."""


class FileExecutor:
    """Follows the executor protocol: cuts an export into `segments` files of `FRAMES` lines.

    `before` is awaited with each task before it begins, and `halfway` when half of a segment, or
    of the part file, is written; both may wait or raise, as a worker may hang or fail there.
    """

    def __init__(self, segments: int = 3) -> None:
        self.segments = segments
        self.before: Callable[[Task], Awaitable[None]] | None = None
        self.halfway: Callable[[Task], Awaitable[None]] | None = None
        self.tasks: list[Task] = []
        self.stopped: list[Task] = []
        """Tasks that were cancelled."""
        self.busy = 0
        """Tasks of exports that go on."""
        self.most_busy = 0
        self.closed = False
        self.retired: list[str] = []
        """Leases whose workers were to end."""

    def names(self) -> list[str]:
        return [task.name for task in self.tasks]

    async def run(self, task: Task, on_progress: OnProgress) -> dict[str, Any]:
        self.tasks.append(task)
        self.busy += task.lane is Lane.EXPORT
        self.most_busy = max(self.most_busy, self.busy)
        try:
            on_progress({})
            if self.before is not None:
                await self.before(task)
            step: Callable[..., Awaitable[dict[str, Any]]] = getattr(self, f"_{task.name}")
            return await step(task, on_progress)
        except asyncio.CancelledError:
            self.stopped.append(task)
            raise
        finally:
            self.busy -= task.lane is Lane.EXPORT

    async def offer(self, frames: int) -> Offer:
        return Offer()

    def leave(self) -> None:
        pass

    async def retire(self, lease: str) -> None:
        self.retired.append(lease)

    async def close(self) -> None:
        self.closed = True

    async def _inspect(self, task: Task, on_progress: OnProgress) -> dict[str, Any]:
        return {"duration": 1.0, "width": 64, "height": 64, "frames": None}

    async def _plan(self, task: Task, on_progress: OnProgress) -> dict[str, Any]:
        spec, cache = task.params["spec"], Path(task.params["cache"])
        if not Path(task.params["root"], spec["sources"][0]["path"]).exists():
            raise SourceMissing("There is no such file.", "Check its name.")
        recipe = json.dumps({**spec, "output": "", "encoder": task.params["encoder"]})
        ids = [
            hashlib.sha256(f"{recipe}{index}".encode()).hexdigest()[:16]
            for index in range(self.segments)
        ]
        cache.mkdir(parents=True, exist_ok=True)
        audio = None if spec["encoding"]["audio"] == "none" else {"id": ids[0] + "a"}
        return {
            "plan": {"ids": ids, "encoder": task.params["encoder"]},
            "segments": [{"id": id, "kind": "render", "frames": FRAMES} for id in ids],
            "audio": audio,
            "total_frames": FRAMES * self.segments,
            "notes": [],
        }

    async def _render(self, task: Task, on_progress: OnProgress) -> dict[str, Any]:
        id = task.params["plan"]["ids"][task.params["index"]]
        path = Path(task.params["cache"], f"{id}.seg")
        if path.exists():
            return {"reused": True, "frames": FRAMES}
        text = ""
        for frame in range(1, FRAMES + 1):
            await asyncio.sleep(0)
            text += f"{id} {frame} {task.params['plan']['encoder']}\n"
            on_progress({"frames": frame})
            if frame == FRAMES // 2 and self.halfway is not None:
                await self.halfway(task)
        # As the real cache does: a killed process leaves no half segment to be reused.
        draft = path.with_suffix(f".{os.getpid()}.{len(self.tasks)}.part")
        draft.write_text(text)
        draft.replace(path)
        return {"reused": False, "frames": FRAMES}

    async def _audio(self, task: Task, on_progress: OnProgress) -> dict[str, Any]:
        return {"reused": False}

    async def _assemble(self, task: Task, on_progress: OnProgress) -> dict[str, Any]:
        part, ids = Path(task.params["part"]), task.params["plan"]["ids"]
        with part.open("w") as file:
            for number, id in enumerate(ids, start=1):
                file.write(Path(task.params["cache"], f"{id}.seg").read_text())
                file.flush()
                on_progress({"fraction": number / len(ids)})
                await asyncio.sleep(0)
                if number == len(ids) // 2 and self.halfway is not None:
                    await self.halfway(task)
        data = part.read_bytes()
        return {
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "frames": data.count(b"\n"),
            "duration": 1.0,
        }


class Hold:
    """Lets a task wait in `before` or `halfway` until the test says go."""

    def __init__(self, name: str = "render") -> None:
        self.name = name
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, task: Task) -> None:
        if task.name == self.name:
            self.reached.set()
            await self.go.wait()


class FewEncoders:
    """Chooses the first of `names` that is not excluded, or the one asked for by name."""

    def __init__(self, *names: str) -> None:
        self.names = names or ("libx264",)
        self.suspected: list[str] = []

    async def choose(self, encoding: Encoding, exclude: frozenset[str] = frozenset()) -> Choice:
        usable = [name for name in self.names if name not in exclude]
        if encoding.encoder not in {"auto", *usable}:
            raise EncoderUnavailable(f"{encoding.encoder} cannot be used here.", "Use auto.")
        name = usable[0] if encoding.encoder == "auto" else encoding.encoder
        return Choice(name=name, reason=f"{name}: first usable", hardware=name != "libx264")

    def suspect(self, name: str) -> None:
        self.suspected.append(name)


def settings(folder: Path, **values: Any) -> Settings:
    """Settings for a store in `folder` that never waits before a retry."""
    chosen = {"retry_base_seconds": 0.0, "stop_grace_seconds": 1.0, "segment_workers": 1, **values}
    return Settings(data_dir=str(folder / "data"), **chosen)


def make_job(id: str = "a", output: str | None = None, **fields: Any) -> Job:
    """A new job, as a submit would make it."""
    output = output or f"{id}.mp4"
    project = fields.get("project")
    spec = clip("source.mp4", output=output, project=project).model_dump(mode="json")
    return Job(id=id, **{"kind": "clip", "output": output, "spec": spec, **fields})


async def until(condition: Callable[[], Awaitable[Any]] | Callable[[], Any]) -> Any:
    """What `condition` gives, once that is true; pytest's timeout ends what never comes."""
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        await asyncio.sleep(0.01)
