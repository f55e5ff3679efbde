"""Trial encodes in a child process, since a driver can crash or hang whoever loads it.

``python -m jupyter_export.hardware.probe NAME…`` is the child. It writes one JSON line with the
versions of the libraries, then one per encoder; whatever else it writes is the drivers' own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Self, cast

from ..spec import Quality
from .child import Child, describe_exit, python_command, scrubbed_environment
from .encoders import ENCODERS, Encoder, encoder, options
from .reasons import SESSION_LIMIT, explain

__all__ = ["EncoderResult", "ProbeResult", "probe_encoders"]

logger = logging.getLogger(__name__)

FRAMES = 5
SIDE = 256  # NVENC refuses pictures smaller than about 145×145 on cards that work.
KILL_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class EncoderResult:
    """Whether one encoder can be used on this machine, and why not."""

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


# --- The parent ---------------------------------------------------------------------------------


async def probe_encoders(
    names: Sequence[str],
    limit: float,
    *,
    command: Callable[[Sequence[str]], list[str]] | None = None,
) -> ProbeResult:
    """Try each of `names`; no answer within `limit` seconds counts as a hanging driver.

    A child that crashes or hangs costs the encoder it was busy with; the rest are tried in a
    fresh one. `command` gives the command for a list of names (for tests).

    Raises:
        OSError: no child can be started.
        EncoderUnavailable: a name is not in the table.
    """
    for name in names:
        encoder(name, field=None)
    make = command or (lambda left: python_command(__name__, *left))
    versions: dict[str, str] = {}
    results: list[EncoderResult] = []
    started = False
    while not started or len(results) < len(names):
        started = True
        left = names[len(results) :]
        found, failure = await _probe_in_one_child(make(left), left, versions, limit)
        results += found
        if failure is not None and len(results) < len(names):
            culprit = names[len(results)]
            logger.warning("encoder=%s action=probe usable=no reason=%r", culprit, failure.reason)
            results.append(failure)
    return ProbeResult(versions=versions, encoders=tuple(results))


async def _probe_in_one_child(
    command: list[str], names: Sequence[str], versions: dict[str, str], limit: float
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
    child.send({"deadline": (limit + 1) * (len(names) + 1)})
    found: list[EncoderResult] = []
    noise: list[str] = []
    try:
        while True:
            async with asyncio.timeout(limit):
                message = await inbox.get()
            if isinstance(message, int):
                break
            if "noise" in message:
                noise.append(message["noise"])
            elif "versions" in message:
                versions.update(message["versions"])
            else:
                found.append(EncoderResult.from_json(message))
                noise.clear()
        if len(found) == len(names):
            return found, None
        reason = (
            f"its driver crashed ({describe_exit(message)})"
            if message < 0
            else f"its trial ended without an answer ({describe_exit(message)})"
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


# --- The child ----------------------------------------------------------------------------------


def _trial(name: str) -> EncoderResult:
    import av
    import av.logging

    entry = ENCODERS[name]
    av.logging.set_level(av.logging.VERBOSE)
    with av.logging.Capture(local=False) as lines:
        failure = ""
        try:
            _encode(entry)
        except av.codec.codec.UnknownCodecError:
            return EncoderResult(
                name=name, usable=False, reason="this build of FFmpeg does not contain it"
            )
        except Exception as error:
            # Whatever went wrong here is the answer, not a fault of the probe.
            failure = f"{type(error).__name__}: {error}"
    if not failure:
        return EncoderResult(name=name, usable=True)
    said = [
        f"{who}: {' '.join(text.split())}"
        for level, who, text in lines
        if level <= av.logging.ERROR
    ]
    reason = explain(entry.family, [*(text for _, _, text in lines), failure])
    return EncoderResult(
        name=name,
        usable=False,
        reason=reason,
        detail="; ".join(said or [failure])[-500:],
        lasting=reason != SESSION_LIMIT,
    )


def _encode(entry: Encoder) -> None:
    """Open, encode a few frames, flush; that every frame came out proves that it works."""
    import av

    quality = Quality.BALANCED if Quality.BALANCED in entry.presets else next(iter(entry.presets))
    settings = options(entry.name, quality)
    context = cast("av.VideoCodecContext", av.CodecContext.create(entry.name, "w"))
    context.width = context.height = SIDE
    context.pix_fmt = settings.pix_fmt or "yuv420p"
    context.time_base = Fraction(1, 30)
    context.framerate = Fraction(30)
    context.options = settings.options
    packets = []
    for number in range(FRAMES):
        frame = av.VideoFrame(SIDE, SIDE, context.pix_fmt)
        for plane in frame.planes:
            plane.update(bytes([64 + number]) * plane.buffer_size)
        frame.pts = number
        packets += context.encode(frame)
    packets += context.encode(None)
    if len(packets) != FRAMES or not all(packet.size for packet in packets):
        raise RuntimeError(f"{FRAMES} frames went in, {len(packets)} came out")


def _say(value: dict[str, Any]) -> None:
    # The empty line ends what a driver may have written without one.
    sys.stdout.write("\n" + json.dumps(value) + "\n")
    sys.stdout.flush()


def main(names: Sequence[str]) -> None:
    """Try each of `names` and say what came of it."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        deadline = float(json.loads(sys.stdin.readline())["deadline"])
        if hasattr(signal, "setitimer"):
            # The default action ends the process even while it is stuck in a driver's code.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, deadline)
    import av

    libraries = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    ffmpeg = str(getattr(av, "ffmpeg_version_info", ""))
    _say({"versions": {"av": av.__version__, "ffmpeg": ffmpeg, **libraries}})
    for name in names:
        _say(_trial(name).to_json())


if __name__ == "__main__":
    main(sys.argv[1:])
