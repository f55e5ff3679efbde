"""An export here and now, in this shell: the same attempt as a server's, without a queue."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import Cancelled, EncoderBusy, ExportError
from .hardware.choice import Encoders
from .job import Job, Progress, State
from .paths import check_paths
from .provenance import provenance, write
from .queue.estimates import Estimates
from .queue.hold import Hold
from .queue.order import Order, Outline, Produced
from .queue.pipeline import produce
from .queue.publish import part_path, publish, remove
from .queue.reservations import Reservations
from .settings import Settings
from .spec import ExportSpec, parse
from .workers.pool import Grounds, LocalPool

__all__ = ["Report", "estimate", "run", "run_demo"]

Report = Callable[[dict[str, Any]], None]
"""Gets the job in its JSON form with each progress, and last when it is finished."""

SAMPLES = Path(__file__).parent / "samples"


def run(
    spec: dict[str, Any], root: Path, report: Report, *, segment_seconds: float | None = None
) -> Path:
    """Export `spec`, whose paths are relative to `root`; gives the finished file.

    `segment_seconds` is by default the setting.

    Raises:
        ExportError: what it failed with; no part of the output is left, and an older output is
            as it was. `Cancelled` after SIGTERM.
        KeyboardInterrupt: after SIGINT; everything is cleaned up then, too.
    """
    settings = Settings()
    if segment_seconds is not None:
        settings.segment_seconds = segment_seconds
    return _run(parse(spec), root, root, report, settings)


def estimate(spec: dict[str, Any], root: Path) -> dict[str, Any]:
    """The estimate of `spec` in its JSON form, by the speeds of a machine of reference.

    Raises:
        ExportError: what the export would be refused with.
    """

    place = Path(os.path.realpath(root))

    async def found() -> dict[str, Any]:
        settings = Settings()
        pool = LocalPool(settings, 1, grounds=Grounds(sources=place, outputs=place))
        encoders = Encoders(settings)
        try:
            estimates = Estimates(place, settings, pool, encoders, Reservations(settings))
            return await estimates.of(parse(spec))
        finally:
            await pool.close()
            await encoders.close()

    return asyncio.run(found())


def run_demo(output: Path, report: Report) -> Path:
    """Export the sample of the package to `output`; raises as `run` does."""
    spec = json.loads((SAMPLES / "demo.json").read_text(encoding="utf-8"))
    settings = Settings(provenance=False)  # its sources are not where its output is
    return _run(parse({**spec, "output": output.name}), SAMPLES, output.parent, report, settings)


def _run(
    spec: ExportSpec, sources: Path, outputs: Path, report: Report, settings: Settings
) -> Path:
    output = check_paths(spec, sources, allow_hidden=settings.allow_hidden, outputs=outputs)
    export = _Export(spec, sources, output, settings, report)
    try:
        return asyncio.run(export.run())
    except asyncio.CancelledError:
        raise Cancelled("The export was cancelled.") from None


@dataclass
class _Export:
    spec: ExportSpec
    sources: Path
    output: Path
    settings: Settings
    report: Report
    job: Job = field(init=False)

    def __post_init__(self) -> None:
        self.job = Job(
            id=secrets.token_hex(8),
            spec=self.spec.model_dump(mode="json"),
            kind=self.spec.kind.value,
            output=self.spec.output,
            project=self.spec.project,
            state=State.RUNNING,
            attempt=1,
            started_at=datetime.now(UTC),
        )

    async def run(self) -> Path:
        grounds = Grounds(sources=self.sources, outputs=self.output.parent)
        pool = LocalPool(self.settings, self.settings.segment_width, grounds=grounds)
        encoders = Encoders(self.settings)
        try:
            with _cancelled_by_signals():
                produced = await self._produce(pool, encoders)
        except BaseException as error:
            self._ended(error)
            raise
        finally:
            await pool.close()
            await encoders.close()
        if self.settings.provenance:
            content = provenance(self.job, produced, self.settings.segment_seconds)
            await asyncio.to_thread(write, self.output, self.job, content)
        self.job = self.job.evolve(
            state=State.COMPLETED, result=produced.result, finished_at=datetime.now(UTC)
        )
        self.report(self.job.to_json())
        await asyncio.to_thread(self._sweep, set(produced.outline.keep))
        return self.output

    async def _produce(self, pool: LocalPool, encoders: Encoders) -> Produced:
        order = Order(
            spec=self.spec,
            root=self.sources,
            part=part_path(self.output, self.job.id, self.job.attempt),
            cache=self.settings.cache_path,
            width=self.settings.segment_width,
            segment_seconds=self.settings.segment_seconds,
            allow_hidden=self.settings.allow_hidden,
            labels={"job": self.job.id, "attempt": self.job.attempt},
        )
        hold = Hold(Reservations(self.settings), pool, patient=True)
        watch = (self._progressed, self._outlined, hold)
        try:
            produced = await produce(order, pool, encoders, *watch)
        except EncoderBusy as error:
            # No queue in which to wait: who exports here and now wants the file.
            order = replace(order, avoid_hardware=f"is busy ({error.detail.rstrip('.')})")
            produced = await produce(order, pool, encoders, *watch)
        finally:
            await hold.close()
        try:
            await publish(produced.part, self.output)
        except BaseException:
            await remove(produced.part)
            raise
        return produced

    def _progressed(self, progress: Progress) -> None:
        self.report(self.job.to_json(progress, waiting_for=progress.waiting_for))

    async def _outlined(self, outline: Outline) -> None:
        self.job = self.job.evolve(
            encoder=outline.encoder,
            segments=outline.segments,
            total_frames=outline.total_frames,
            notes=outline.notes,
        )

    def _sweep(self, keep: set[str]) -> None:
        # Here because it brings in the media libraries, which the start does not wait for.
        from .media.cache import SegmentCache

        SegmentCache(self.settings.cache_path).sweep(
            self.settings.cache_bytes, keep, days=self.settings.cache_days
        )

    def _ended(self, error: BaseException) -> None:
        cancelled = not isinstance(error, Exception) or isinstance(error, Cancelled)
        self.job = self.job.evolve(
            state=State.CANCELLED if cancelled else State.FAILED,
            error=error.to_json() if isinstance(error, ExportError) and not cancelled else None,
            finished_at=datetime.now(UTC),
        )
        self.report(self.job.to_json())


@contextlib.contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the work as Ctrl-C does, with everything cleaned up."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    signals = () if sys.platform == "win32" else (signal.SIGTERM, signal.SIGHUP)
    assert task is not None
    for number in signals:
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
