"""One attempt at an export: choose an encoder, plan, render the segments, assemble the part file.

Knows nothing of jobs or their store: the server's queue and ``jupyter export run`` share it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import CacheLost, EncoderBusy, EncoderError, WorkerLost
from ..job import Progress, SegmentCounts
from ..workers.executor import Executor, GpuShare, OnProgress, Task
from .hold import Hold
from .meter import Meter
from .order import EncoderChooser, OnOutline, Order, Outline, Produced
from .publish import remove

if TYPE_CHECKING:
    from ..hardware.choice import Choice

__all__ = ["produce"]

log = logging.getLogger(__name__)

#: Whoever watches hears at least this often, whatever the tasks do.
HEARTBEAT_SECONDS = 1.0

#: How often segments may disappear under an attempt before it gives up.
CACHE_LOSSES = 4


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
    another export gets it. `hold` takes care of GPUs and cores (None: nobody does); whoever gives
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

    async def run(self) -> Produced:
        self._meter.phase("planning")
        spec = self._order.spec
        choice = await self._encoders.choose(spec.segment_encoding, frozenset())
        if (animation := spec.container.animation) is not None:
            only = f"{animation.encoder}: the one encoder for a {spec.container.name}"
            choice = replace(choice, name=animation.encoder, reason=only)
        if choice.hardware and self._order.avoid_hardware:
            choice = await self._software(choice, self._order.avoid_hardware)
        try:
            return await self._with(choice)
        except EncoderBusy:
            raise  # it passes by itself: whoever has a queue waits
        except EncoderError as error:
            if not choice.hardware:
                raise
            log.warning("encoder=%s failed: %s %s", choice.name, error, self._order.labels)
            await remove(self._order.part)
            failed = choice.name
            choice = await self._software(choice, f"failed ({error.detail.rstrip('.')})")
            self._encoders.suspect(failed)
        except WorkerLost:
            if choice.hardware:
                self._encoders.suspect(choice.name)
            raise
        return await self._with(choice)

    async def _software(self, failed: Choice, why: str) -> Choice:
        """The software encoder that takes over from `failed`, and a note about it."""
        encoding = self._order.spec.encoding.model_copy(update={"encoder": "auto"})
        excluded = frozenset({failed.name})
        choice = await self._encoders.choose(encoding, excluded)
        while choice.hardware:
            excluded |= {choice.name}
            choice = await self._encoders.choose(encoding, excluded)
        self._note(f"{failed.name} {why}; went on in software ({choice.name})")
        return replace(choice, reason=f"{choice.name} (software): {failed.name} {why}")

    async def _with(self, choice: Choice) -> Produced:
        """The whole export with one encoder: segments of two do not share a track."""
        self._meter.phase("planning")
        self._origins.clear()
        planned = await self._task("plan", self._plan_params(choice))
        if self._hold is not None and any(s["kind"] != "copy" for s in planned["segments"]):
            await self._hold.ensure(choice.name, planned.get("vram"), self._meter.waiting)
        for note in planned["notes"]:
            self._note(note)
        segments: list[dict[str, Any]] = planned["segments"]
        keep = {segment["id"] for segment in segments if segment["kind"] != "copy"}
        if planned["audio"] is not None:
            keep.add(planned["audio"]["id"])
        if isinstance(planned["plan"], str):
            keep.add(planned["plan"])
        name, reason = choice.name, choice.reason
        used = planned.get("encoder", name)
        if used is None:
            reason = "not needed: all of the video is copied"
        elif used != name:
            name, reason = used, f"{used} (software): it joins video that is copied"
        outline = Outline(
            encoder={"name": name, "reason": reason},
            total_frames=planned["total_frames"],
            segments=SegmentCounts(total=len(segments)),
            notes=tuple(self._notes),
            keep=frozenset(keep),
        )
        self._meter.planned(outline.total_frames)
        outline = self._copied(segments, outline)
        await self._tell(outline)
        outline, made = await self._assembled(planned, segments, outline, choice.hardware)
        self._meter.phase("publishing")
        return Produced(
            part=self._order.part,
            bytes=made["bytes"],
            sha256=made["sha256"],
            frames=made["frames"],
            duration=made["duration"],
            outline=outline,
        )

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
        hardware: bool,
    ) -> tuple[Outline, dict[str, Any]]:
        """Render and assemble; what somebody deletes from the cache meanwhile is made again."""
        cached = {"plan": planned["plan"], "cache": str(self._order.cache)}
        pending = [i for i, segment in enumerate(segments) if segment["kind"] != "copy"]
        for _ in range(CACHE_LOSSES):
            outline = await self._render(planned["plan"], pending, outline, hardware)
            self._meter.phase("assembling")
            if planned["audio"] is not None:
                await self._task("audio", cached)
            made = await self._task(
                "assemble",
                {**cached, "part": str(self._order.part)},
                lambda message: self._meter.assembling(message["fraction"]),
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
        self, plan: Any, indices: list[int], outline: Outline, hardware: bool
    ) -> Outline:
        """Render segments, `width` at once; the first failure stops the others."""
        pending = iter(indices)
        planned = outline.segments.total
        width = self._order.width
        if self._hold is not None:
            width = self._hold.width(width)

        def heard(index: int, message: dict[str, Any]) -> None:
            self._meter.rendering(index, message["frames"])

        async def work() -> None:
            nonlocal outline
            for index in pending:
                async with self._encoding(hardware):
                    done = await self._task(
                        "render",
                        {"plan": plan, "index": index, "cache": str(self._order.cache)},
                        partial(heard, index),
                        gpu=self._hold.share if self._hold is not None else None,
                    )
                if self._hold is not None:
                    self._hold.measured(done.get("vram_peak_mib", 0))
                self._meter.finished(index, done["frames"], reused=done["reused"])
                for note in done.get("notes", ()):
                    self._note(note)
                self._origins[index] = "reused" if done["reused"] else "rendered"
                outline = replace(
                    outline,
                    segments=SegmentCounts(total=planned, **Counter(self._origins.values())),
                    notes=tuple(self._notes),
                )
                await self._tell(outline)

        with _first_error():
            async with asyncio.TaskGroup() as group:
                for _ in range(min(width, len(indices))):
                    group.create_task(work())
        return outline

    def _encoding(self, hardware: bool) -> contextlib.AbstractAsyncContextManager[None]:
        if self._hold is None or hardware:
            return contextlib.nullcontext()
        return self._hold.encoding(self._meter.waiting)

    async def _task(
        self,
        name: str,
        params: dict[str, Any],
        on_message: OnProgress | None = None,
        gpu: GpuShare | None = None,
    ) -> dict[str, Any]:
        def heard(message: dict[str, Any]) -> None:
            if message and on_message is not None:
                on_message(message)
            else:
                self._meter.refresh()

        task = Task(
            name=name, params=params, log=self._order.log, labels=self._order.labels, gpu=gpu
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
