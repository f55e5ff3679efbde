"""One attempt at an export: choose an encoder, plan, render the segments, assemble the part file.

Knows nothing of jobs or their store: the server's queue and ``jupyter export run`` share it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import CacheLost, EncoderBusy, EncoderError, GpuFailed, OutOfMemory, WorkerLost
from ..job import Progress, SegmentCounts
from ..workers.executor import Executor, GpuShare, OnProgress, Remote, Task
from .fallback import Fallback
from .hold import Hold
from .meter import Meter
from .order import EncoderChooser, OnOutline, Order, Outline, Produced, Took, chosen_encoder
from .publish import remove
from .refusals import too_large_for_disk, too_large_for_gpus, with_levers
from .rendering import Rendering
from .speeds import PARTS, at_once

if TYPE_CHECKING:
    from ..hardware.choice import Choice

__all__ = ["produce"]

log = logging.getLogger(__name__)

#: Whoever watches hears at least this often, whatever the tasks do.
HEARTBEAT_SECONDS = 1.0

#: How often segments may disappear under an attempt before it gives up.
CACHE_LOSSES = 4

#: An attempt that waited for more than this part of its time tells nothing of its speed.
_HELD_UP = 0.05


async def produce(
    order: Order,
    executor: Executor,
    encoders: EncoderChooser,
    on_progress: Callable[[Progress], None],
    on_outline: OnOutline | None = None,
    hold: Hold | None = None,
) -> Produced:
    """Export into the part file; on any failure, and when cancelled, the part file is removed.

    `on_progress` is called in the event loop, at least every second and at most about ten times
    a second; what it is told never goes back. If a hardware encoder fails, the whole export is
    planned and encoded again in software, a note says so, and the encoder is tried again before
    another export gets it. If a GPU fails that computes, the export goes on on the processor in
    the same way. `hold` takes care of GPUs and cores (None: nobody does); whoever gives
    it closes it.

    Raises:
        EncoderBusy: the hardware encoder has no room now; the finished segments stay.
        ExportError: as a task raised it.
        MustWait: more of a GPU is needed than is free, and `hold` is not patient.
    """
    meter = Meter(on_progress)
    attempt = _Attempt(order, executor, encoders, meter, on_outline, hold)
    try:
        async with _heartbeat(meter):
            return await attempt.run()
    except BaseException:
        await remove(order.part)
        raise


@contextlib.asynccontextmanager
async def _heartbeat(meter: Meter) -> AsyncIterator[None]:
    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            meter.refresh()

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()


class _Attempt:
    def __init__(
        self,
        order: Order,
        executor: Executor,
        encoders: EncoderChooser,
        meter: Meter,
        on_outline: OnOutline | None,
        hold: Hold | None,
    ) -> None:
        self._order = order
        self._executor = executor
        self._encoders = encoders
        self._meter = meter
        self._on_outline = on_outline
        self._hold = hold
        self._notes = list(order.notes)
        self._origins: dict[int, str] = {}
        """How each finished segment came to be, by its index."""
        self._coded = 0
        """Bytes of the segments that were rendered."""
        self._began = 0.0
        self._fallback = Fallback(order, encoders, hold, self._note)

    async def run(self) -> Produced:
        self._meter.phase("planning")
        choice = await self._fallback.first()
        while True:
            try:
                return await self._with(choice)
            except EncoderBusy:
                raise  # it passes by itself: whoever has a queue waits
            except (EncoderError, GpuFailed) as error:
                await remove(self._order.part)
                choice = await self._fallback.after(error, choice)
            except WorkerLost:
                if choice.hardware:
                    self._encoders.suspect(choice.name)
                raise

    async def _with(self, choice: Choice) -> Produced:
        """The whole export with one encoder: segments of two do not share a track."""
        self._meter.phase("planning")
        self._began, self._coded = time.monotonic(), 0
        self._origins.clear()
        planned = await self._task("plan", self._plan_params(choice))
        used = planned.get("encoder", choice.name)
        rendering = Rendering(
            self._executor,
            self._task,
            self._hold,
            Remote(
                encoder=used or choice.name,
                hardware=choice.hardware and used == choice.name,
                vram=planned.get("vram"),
            ),
            width=self._order.width,
            on_wait=self._meter.waiting,
            note=self._note,
        )
        await self._check_room(planned)
        await rendering.prepare(
            sum(s["frames"] for s in planned["segments"] if s["kind"] != "copy")
        )
        for note in planned["notes"]:
            self._note(note)
        segments: list[dict[str, Any]] = planned["segments"]
        keep = {segment["id"] for segment in segments if segment["kind"] != "copy"}
        if planned["audio"] is not None:
            keep.add(planned["audio"]["id"])
        if isinstance(planned["plan"], str):
            keep.add(planned["plan"])
        outline = Outline(
            encoder=chosen_encoder(choice, used, self._order.spec),
            total_frames=planned["total_frames"],
            segments=SegmentCounts(total=len(segments)),
            notes=tuple(self._notes),
            keep=frozenset(keep),
        )
        self._meter.planned(outline.total_frames)
        outline = self._copied(segments, outline)
        await self._tell(outline)
        try:
            outline, made = await self._assembled(planned, segments, outline, rendering)
        except OutOfMemory as error:
            raise with_levers(error, planned.get("vram")) from None
        self._meter.phase("publishing")
        took = None if rendering.away else self._took(planned, made["bytes"])
        return Produced(
            part=self._order.part,
            bytes=made["bytes"],
            sha256=made["sha256"],
            frames=made["frames"],
            duration=made["duration"],
            outline=outline,
            origin=planned.get("origin", {}),
            took=took,
        )

    async def _check_room(self, planned: dict[str, Any]) -> None:
        """Refuse what no GPU can ever hold, and what can never be written, before anything is
        waited for or filled: a submit that had not the time to look at its source could not."""
        refusal, vram = None, planned.get("vram")
        if vram is not None and self._hold is not None:
            refusal = too_large_for_gpus(self._order.spec, vram, await self._hold.room())
        if refusal is None:
            coded = len(PARTS)
            size = sum(one["work"][coded] for one in planned["segments"] if "work" in one)
            folders = self._order.part.parent, self._order.cache
            refusal = await asyncio.to_thread(too_large_for_disk, size, folders)
        if refusal is not None:
            raise refusal

    def _took(self, planned: dict[str, Any], size: int) -> Took | None:
        """How long all of it took, and what was done in that time."""
        seconds = time.monotonic() - self._began
        if "work" not in planned or self._meter.waited > _HELD_UP * seconds:
            return None
        done = [i for i, origin in self._origins.items() if origin == "rendered"]
        rows = [planned["work"]["shared"], *(planned["segments"][i]["work"] for i in done)]
        work = [sum(column) for column in zip(*rows, strict=True)]
        work[PARTS.index("write")] += size / planned["work"]["bytes_per_second"]
        animated = self._order.spec.container.animation is not None
        coded = float(size if animated else self._coded)
        key, source = (planned["work"][name] for name in ("key", "source"))
        spread = at_once(work, len(done), self._width)
        return Took(key=key, work=spread, seconds=seconds, coded=coded, source=source)

    def _copied(self, segments: list[dict[str, Any]], outline: Outline) -> Outline:
        """What is copied is as good as finished: only assembling reads it."""
        for index, segment in enumerate(segments):
            if segment["kind"] == "copy":
                self._origins[index] = "copied"
                self._meter.finished(index, segment["frames"], reused=True)
        counts = SegmentCounts(total=len(segments), **Counter(self._origins.values()))
        return replace(outline, segments=counts)

    async def _assembled(
        self,
        planned: dict[str, Any],
        segments: list[dict[str, Any]],
        outline: Outline,
        rendering: Rendering,
    ) -> tuple[Outline, dict[str, Any]]:
        """Render and assemble; what somebody deletes from the cache meanwhile is made again."""
        cached = {"plan": planned["plan"], "cache": str(self._order.cache)}
        pending = [i for i, segment in enumerate(segments) if segment["kind"] != "copy"]
        for _ in range(CACHE_LOSSES):
            outline = await self._render(planned["plan"], pending, outline, rendering)
            self._meter.phase("assembling")
            if planned["audio"] is not None:
                await self._task("audio", cached)
            made = await self._task(
                "assemble",
                {**cached, "part": str(self._order.part)},
                lambda message: self._meter.assembling(message["fraction"]),
                writes=True,
            )
            if "missing" not in made:
                return outline, made
            pending = made["missing"]
            log.warning("%d segments have gone from the cache %s", len(pending), self._order.labels)
        raise CacheLost(
            "Finished segments disappear from the cache again and again.",
            f"Stop whatever cleans {self._order.cache}, then retry.",
        )

    async def _render(
        self, plan: Any, indices: list[int], outline: Outline, rendering: Rendering
    ) -> Outline:
        """Render segments, `width` at once; the first failure stops the others."""
        pending = iter(indices)
        planned = outline.segments.total

        def heard(index: int, message: dict[str, Any]) -> None:
            self._meter.rendering(index, message["frames"])

        async def work() -> None:
            nonlocal outline
            for index in pending:
                params = {"plan": plan, "index": index, "cache": str(self._order.cache)}
                done = await rendering.segment(params, partial(heard, index))
                self._meter.finished(index, done["frames"], reused=done["reused"])
                for note in done.get("notes", ()):
                    self._note(note)
                self._origins[index] = "reused" if done["reused"] else "rendered"
                self._coded += 0 if done["reused"] else done.get("bytes", 0)
                outline = replace(
                    outline,
                    segments=SegmentCounts(total=planned, **Counter(self._origins.values())),
                    notes=tuple(self._notes),
                )
                await self._tell(outline)

        with _first_error():
            async with asyncio.TaskGroup() as group:
                for _ in range(min(rendering.width, len(indices))):
                    group.create_task(work())
        return outline

    @property
    def _width(self) -> int:
        """How many segments render at once."""
        width = self._order.width
        return width if self._hold is None else self._hold.width(width)

    async def _task(
        self,
        name: str,
        params: dict[str, Any],
        on_message: OnProgress | None = None,
        *,
        gpu: GpuShare | None = None,
        remote: Remote | None = None,
        writes: bool = False,
    ) -> dict[str, Any]:
        def heard(message: dict[str, Any]) -> None:
            if "waiting_for" in message:
                self._meter.waiting(message["waiting_for"])
            elif message and on_message is not None:
                on_message(message)
            else:
                self._meter.refresh()

        task = Task(
            name=name,
            params=params,
            log=self._order.log,
            labels=self._order.labels,
            gpu=gpu,
            remote=remote,
            writes_output=writes,
        )
        return await self._executor.run(task, heard)

    def _plan_params(self, choice: Choice) -> dict[str, Any]:
        return {
            "root": str(self._order.root),
            "spec": self._order.spec.model_dump(mode="json"),
            "encoder": choice.name,
            "cache": str(self._order.cache),
            "allow_hidden": self._order.allow_hidden,
            "segment_seconds": self._order.segment_seconds,
            "on_processor": self._fallback.on_processor,
        }

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)

    async def _tell(self, outline: Outline) -> None:
        if self._on_outline is not None:
            await self._on_outline(outline)


@contextlib.contextmanager
def _first_error() -> Iterator[None]:
    """Raise what a task of a group raised first, instead of the group.

    A lost worker comes last: it can be the consequence of what another task tells plainly.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        errors = sorted(group.exceptions, key=lambda error: isinstance(error, WorkerLost))
        raise errors[0] from None
