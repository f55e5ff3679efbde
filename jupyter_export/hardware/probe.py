"""Trial encodes in child processes, since a driver can crash or hang whoever loads it.

Each family of encoders has children of its own, and they run side by side: all of them together
take as long as the slowest. What a child does is in `trials`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from .child import Child, describe_exit, python_command, scrubbed_environment
from .encoders import ENCODERS, encoder
from .trials import NVDEC, TORCH

__all__ = ["EncoderResult", "ProbeResult", "probe_encoders"]

logger = logging.getLogger(__name__)

KILL_SECONDS = 1.0
START_SECONDS = 15.0
"""The least that a child gets until it has loaded FFmpeg, before any driver can be at fault."""
SOFTWARE_SECONDS = 60.0
MURDERS = 3
"""So many children may be ended from outside until that counts as an answer, if a passing one."""
_MURDER = frozenset({"SIGKILL", "SIGTERM", "SIGHUP", "SIGINT"})
TORCH_SECONDS = 30.0
"""The least that torch gets: loading it and a first CUDA context can take this long."""


_ENDED = "its trial was ended from outside"


@dataclass(frozen=True, kw_only=True)
class EncoderResult:
    """Whether one encoder (or NVDEC, or torch) can be used on this machine, and why not."""

    name: str
    usable: bool
    reason: str = ""
    """One phrase; empty when it is usable."""
    detail: str = ""
    """What FFmpeg, or the driver, logged."""
    lasting: bool = True
    """The answer holds until the drivers or libraries change; False: ask again later."""
    tried: bool = True
    """False: the settings rule it out, so its driver was not even loaded."""

    def to_json(self) -> dict[str, Any]:
        """For the cache and for REST."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `to_json` gave.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**value)


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """What the children found."""

    versions: dict[str, str]
    """Of PyAV and FFmpeg, and of FFmpeg's libraries; empty if no child got that far."""
    encoders: tuple[EncoderResult, ...]


async def probe_encoders(
    names: Sequence[str],
    limit: float,
    *,
    most: float = 0.0,
    command: Callable[[Sequence[str]], list[str]] | None = None,
) -> ProbeResult:
    """Try each of `names`; no answer within `limit` seconds counts as a hanging driver.

    What a trial waits for a core, since other programs keep them busy, is not its driver's fault:
    with `most` it gets that in addition, up to so many seconds in all.

    Beside encoders a name can be `NVDEC` or `TORCH`. A child that crashes costs the encoder it
    was busy with; the rest are tried in a fresh one. One that is killed costs nothing, unless it
    happens again and again. A driver that hangs costs its whole family,
    without another wait. `command` gives the command for a list of names (for tests).

    Raises:
        OSError: no child can be started.
        EncoderUnavailable: a name is not in the table.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        own = name in (NVDEC, TORCH)
        family = name if own else encoder(name, field=None).family.value
        groups.setdefault(family, []).append(name)
    make = command or (lambda left: python_command("jupyter_export.hardware.trials", *left))
    versions: dict[str, str] = {}
    found = await asyncio.gather(
        *(_probe_group(group, versions, limit, most, make) for group in groups.values() or [[]])
    )
    by_name = {result.name: result for results in found for result in results}
    return ProbeResult(versions=versions, encoders=tuple(by_name[name] for name in names))


async def _probe_group(
    names: Sequence[str],
    versions: dict[str, str],
    limit: float,
    most: float,
    make: Callable[[Sequence[str]], list[str]],
) -> list[EncoderResult]:
    """Try `names`, whose driver is one and the same, in as many children as it takes."""
    if TORCH in names:
        limit = max(limit, TORCH_SECONDS)
    elif all(name in ENCODERS and not ENCODERS[name].hardware for name in names):
        # No driver can hang here; what is late has been kept waiting by other programs.
        limit = max(limit, SOFTWARE_SECONDS)
    most = max(most, limit)
    results: list[EncoderResult] = []
    started = False
    murders = 0
    while not started or len(results) < len(names):
        started = True
        left = names[len(results) :]
        found, failure = await _probe_in_one_child(make(left), left, versions, limit, most)
        results += found
        if failure is None or len(results) == len(names):
            continue
        if failure.reason.startswith(_ENDED) and murders < MURDERS:
            murders += 1
            logger.warning("encoder=%s action=probe again=%r", failure.name, failure.reason)
            continue
        logger.warning("encoder=%s action=probe usable=no reason=%r", failure.name, failure.reason)
        results.append(failure)
        if not failure.lasting and failure.name in ENCODERS and ENCODERS[failure.name].hardware:
            results += [replace(failure, name=name) for name in names[len(results) :]]
    return results


async def _probe_in_one_child(
    command: list[str], names: Sequence[str], versions: dict[str, str], limit: float, most: float
) -> tuple[list[EncoderResult], EncoderResult | None]:
    """What one child answered, and the fate of the encoder on which it ended early, if it did."""
    inbox: asyncio.Queue[dict[str, Any] | int] = asyncio.Queue()
    child = Child(
        command,
        environment=scrubbed_environment(),
        on_message=inbox.put_nowait,
        on_exit=inbox.put_nowait,
        merge_stderr=True,
    )
    # The child ends by itself a little later, should this process be gone by then.
    child.send({"deadline": START_SECONDS + (most + 1) * (len(names) + 1)})
    found: list[EncoderResult] = []
    noise: list[str] = []
    ready = False
    try:
        while True:
            start = 0.0 if ready else START_SECONDS
            message = await _next(inbox, child.pid, max(limit, start), max(most, start))
            if isinstance(message, int):
                break
            if "noise" in message:
                noise.append(message["noise"])
            elif "versions" in message:
                ready = True
                versions.update(message["versions"])
            else:
                found.append(EncoderResult.from_json(message))
                noise.clear()
        if len(found) == len(names):
            return found, None
        how = describe_exit(message)
        if message < 0 and how.rpartition(" ")[2] in _MURDER:
            # By the kernel, which is short of memory, or by somebody: no driver does that.
            return found, _failure(names, found, f"{_ENDED} ({how})", noise, lasting=False)
        reason = (
            f"its driver crashed ({how})"
            if message < 0
            else f"its trial ended without an answer ({how})"
        )
        return found, _failure(names, found, reason, noise, lasting=True)
    except TimeoutError:
        if len(found) == len(names):
            return found, None
        reason = f"its driver did not answer within {limit:g} s"
        return found, _failure(names, found, reason, noise, lasting=False)
    finally:
        child.kill()
        # A process stuck inside a driver may not even die; it must not hold up the rest.
        await asyncio.wait({child.exited}, timeout=KILL_SECONDS)


async def _next(
    inbox: asyncio.Queue[dict[str, Any] | int], pid: int, limit: float, most: float
) -> dict[str, Any] | int:
    """The next message of the process `pid`.

    Raises:
        TimeoutError: none came in `most` seconds, or in `limit` that it did not wait for a core.
    """
    began, kept_waiting = time.monotonic(), _kept_waiting(pid)
    while True:
        passed = time.monotonic() - began
        left = min(limit + _kept_waiting(pid) - kept_waiting, most) - passed
        if left <= 0 and inbox.empty():
            raise TimeoutError
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(left, 0.01)):
                return await inbox.get()


def _kept_waiting(pid: int) -> float:
    """Seconds that the threads of a process could have run, but had no core; 0 if not known."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - half the time
            # Time on a core and time in the queue, in nanoseconds (Documentation/scheduler).
            total += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        pass  # another system; or it has just ended, which its own message tells
    return total / 1e9


def _failure(
    names: Sequence[str],
    found: Sequence[EncoderResult],
    reason: str,
    noise: Sequence[str],
    *,
    lasting: bool,
) -> EncoderResult | None:
    if len(found) >= len(names):
        return None
    return EncoderResult(
        name=names[len(found)],
        usable=False,
        reason=reason,
        detail="; ".join(noise)[-500:],
        lasting=lasting,
    )
