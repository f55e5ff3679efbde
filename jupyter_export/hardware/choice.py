"""Which encoder a job gets, and why: decided by a pure function over the hardware report."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import EncoderUnavailable, WorkerLost
from ..settings import Settings
from ..spec import Encoding, Quality
from .encoders import ENCODERS, Encoder, Family, encoder
from .reasons import NOT_BUILT, PASSING
from .report import HardwareReport, load, make_report, store

__all__ = ["Choice", "Encoders", "decide", "ruled_out"]

logger = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 600.0
"""After this long an answer that can pass by itself (a session limit) is asked for again."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The encoder of a job."""

    name: str
    reason: str
    """One line for the job and its log."""
    hardware: bool


def decide(
    encoding: Encoding,
    report: HardwareReport,
    priority: Sequence[str],
    force_cpu: bool,
    exclude: frozenset[str] = frozenset(),
) -> Choice:
    """The first usable encoder for `encoding`, in the order of the families in `priority`.

    A family that `priority` leaves out is never used, except software, which is the last resort.
    `exclude` names encoders that failed under this job; a spec that asks for one of those by
    name gets the next best.

    Raises:
        EncoderUnavailable: the encoder asked for cannot be used, or none can.
    """
    named = None if encoding.encoder == "auto" else encoder(encoding.encoder)
    if named is not None and named.name not in exclude:
        if mismatch := _mismatch(named, encoding):
            raise EncoderUnavailable(mismatch, "Use encoder auto.", field="encoding.encoder")
        why = _why_not(named, report, priority, force_cpu, exclude)
        if why in PASSING:
            # Who asks for this one would rather wait than be refused.
            reason = f"{_label(named)}: asked for by name, although {why}"
            return Choice(name=named.name, reason=reason, hardware=named.hardware)
        if why:
            raise EncoderUnavailable(
                f"{named.name} cannot be used here: {why}.",
                _advice(encoding, report, priority, force_cpu, exclude),
                field="encoding.encoder",
            )
        return Choice(
            name=named.name, reason=f"{_label(named)}: asked for by name", hardware=named.hardware
        )

    refused = {} if named is None else {named.name: "failed under this job"}
    for entry in _in_order(encoding, priority, force_cpu):
        if why := _why_not(entry, report, priority, force_cpu, exclude):
            refused[entry.name] = why
            continue
        reason = _reason(entry, encoding, priority, force_cpu, refused)
        return Choice(name=entry.name, reason=reason, hardware=entry.hardware)
    raise EncoderUnavailable(
        "No encoder can be used here: " + "; ".join(f"{n}: {w}" for n, w in refused.items()) + ".",
        "Install PyAV from its wheel, which contains libx264, and run `jupyter export doctor`.",
    )


def _families(priority: Sequence[str], force_cpu: bool) -> list[Family]:
    """In the order in which they are tried."""
    first = [] if force_cpu else [Family(name) for name in priority]
    return list(dict.fromkeys([*first, Family.SOFTWARE]))


def _in_order(encoding: Encoding, priority: Sequence[str], force_cpu: bool) -> list[Encoder]:
    """What serves `encoding`, the preferred first."""
    return [
        entry
        for family in _families(priority, force_cpu)
        for entry in ENCODERS.values()
        if entry.family is family and entry.serves(encoding)
    ]


def ruled_out(entry: Encoder, priority: Sequence[str], force_cpu: bool) -> str:
    """Why the settings alone forbid `entry`; empty when they do not."""
    if not entry.hardware:
        return ""
    if force_cpu:
        return "the setting force_cpu is on"
    if entry.family not in priority:
        return f"the setting encoder_priority leaves out {entry.family}"
    return ""


def _why_not(
    entry: Encoder,
    report: HardwareReport,
    priority: Sequence[str],
    force_cpu: bool,
    exclude: frozenset[str],
) -> str:
    if why := ruled_out(entry, priority, force_cpu):
        return why
    if entry.name in exclude:
        return "failed under this job"
    result = report.find(entry.name)
    if result is None:
        return "not tried"
    return "" if result.usable else result.reason or "its trial failed"


def _mismatch(entry: Encoder, encoding: Encoding) -> str:
    if encoding.quality not in entry.presets:
        return f"{entry.name} does not offer quality {encoding.quality}."
    if entry.codec not in (None, encoding.codec):
        return f"{entry.name} does not encode {encoding.codec}."
    return ""


def _advice(
    encoding: Encoding,
    report: HardwareReport,
    priority: Sequence[str],
    force_cpu: bool,
    exclude: frozenset[str],
) -> str:
    usable = [
        entry.name
        for entry in _in_order(encoding, priority, force_cpu)
        if not _why_not(entry, report, priority, force_cpu, exclude)
    ]
    return f"Use auto, or {' or '.join(usable)}." if usable else "Run `jupyter export doctor`."


def _label(entry: Encoder) -> str:
    return entry.name if entry.hardware else f"{entry.name} (software)"


def _reason(
    entry: Encoder,
    encoding: Encoding,
    priority: Sequence[str],
    force_cpu: bool,
    refused: dict[str, str],
) -> str:
    # What this FFmpeg does not even contain stands in nobody's way.
    failures = [f"{name}: {why}" for name, why in refused.items() if why != NOT_BUILT]
    if encoding.quality is Quality.LOSSLESS:
        causes = ["lossless"]
    elif force_cpu:
        causes = ["the setting force_cpu is on"]
    elif failures and not entry.hardware:
        causes = failures
    else:
        causes = [f"first usable of {', '.join(_families(priority, force_cpu))}", *failures]
    return f"{_label(entry)}: {'; '.join(causes)}"


class Encoders:
    """The machine's encoders: probed once, remembered, chosen from. Lives in one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = settings.data_path / "hardware.json"
        self._loading: asyncio.Task[HardwareReport] | None = None
        self._refreshing = False
        self._loaded_at = 0.0

    @property
    def known(self) -> HardwareReport | None:
        """The report, if there is one by now."""
        task = self._loading
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result()

    async def report(self, refresh: bool = False) -> HardwareReport:
        """The report: from memory, from the cache file, or by trying; `refresh` always tries.

        Callers that come together share one probe.

        Raises:
            WorkerLost: no child process can be started.
        """
        if self._must_load(refresh):
            previous = self._loading
            self._refreshing = refresh
            self._loading = asyncio.create_task(self._load(previous, refresh))
        assert self._loading is not None
        return await asyncio.shield(self._loading)

    async def choose(self, encoding: Encoding, exclude: frozenset[str] = frozenset()) -> Choice:
        """The encoder for `encoding`, as `decide` has it.

        Raises:
            EncoderUnavailable: the encoder asked for cannot be used, or none can.
            WorkerLost: no child process can be started.
        """
        settings = self._settings
        report = await self.report()
        return decide(encoding, report, settings.encoder_priority, settings.force_cpu, exclude)

    def suspect(self, name: str) -> None:
        """The encoder `name` failed at work: its family is tried again, and whoever asks next
        waits for the answer."""
        family = encoder(name).family
        names = [entry.name for entry in ENCODERS.values() if entry.family is family]
        self._refreshing = False
        self._loading = asyncio.create_task(self._retry(self._loading, names))

    async def close(self) -> None:
        """Stop a probe that is under way."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait({self._loading})

    def _must_load(self, refresh: bool) -> bool:
        task = self._loading
        if task is None:
            return True
        if not task.done():
            return refresh and not self._refreshing
        if refresh or task.cancelled() or task.exception() is not None:
            return True
        age = asyncio.get_running_loop().time() - self._loaded_at
        return not task.result().lasting and age > ASK_AGAIN_SECONDS

    async def _load(
        self, previous: asyncio.Task[HardwareReport] | None, refresh: bool
    ) -> HardwareReport:
        if previous is not None and not previous.done():
            await asyncio.wait({previous})
        settings = self._settings
        barred = {
            entry.name: why
            for entry in ENCODERS.values()
            if (why := ruled_out(entry, settings.encoder_priority, settings.force_cpu))
        }
        names = [name for name in ENCODERS if name not in barred]
        report = None if refresh else await self._cached(names)
        if report is None:
            report = await self._make(names)
            self._log(report)
            if report.lasting:
                await asyncio.to_thread(store, self._path, report)
        self._loaded_at = asyncio.get_running_loop().time()
        return report.completed(barred)

    async def _retry(
        self, previous: asyncio.Task[HardwareReport] | None, names: Sequence[str]
    ) -> HardwareReport:
        """The report, with what is true of `names` now."""
        if previous is None:
            return await self._load(None, refresh=True)
        known = await asyncio.shield(previous)
        fresh = await self._make(names)
        self._log(fresh)
        report = known.with_results(fresh.encoders, fresh.probed_at)
        if report.lasting:
            await asyncio.to_thread(store, self._path, report)
        return report

    @staticmethod
    def _log(report: HardwareReport) -> None:
        for result in report.encoders:
            logger.info(
                "encoder=%s action=probe usable=%s reason=%r detail=%r",
                result.name,
                "yes" if result.usable else "no",
                result.reason,
                result.detail,
            )

    async def _cached(self, names: Sequence[str]) -> HardwareReport | None:
        stored = await asyncio.to_thread(load, self._path)
        if stored is None or not stored.covers(names):
            return None
        now = await self._make([])
        return stored if stored.key == now.key else None

    async def _make(self, names: Sequence[str]) -> HardwareReport:
        try:
            return await make_report(names, self._settings.probe_timeout)
        except OSError as error:
            raise WorkerLost(
                f"No process could be started to try the encoders: {error}.",
                "Close programs that are not needed; the export is tried again by itself.",
            ) from error
