"""When the frames of a range are shown and where decoding can start: from packets, not pictures."""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ..errors import SourceUnreadable, SpecError
from .facts import FrameTimes, SourceFacts
from .fields import FieldPairs
from .interrupt import check
from .open import demux, open_source

__all__ = ["frame_times", "seek_before"]

#: Decimals of a spec and the ticks of a container are rounded by up to this many seconds.
TOLERANCE = Fraction(1, 1000)

#: Seconds to step back when a seek lands after its target; the last resort is the beginning.
_STEPS_BACK = (Fraction(0), Fraction(2), Fraction(10), Fraction(60))

#: Containers in which the two fields of an H.264 frame may be two packets.
_FIELDS_APART = {"mpegts", "mpeg"}

#: Seconds by which a packet without a decoding time may come before its frame is shown.
_REORDER = Fraction(2)


def frame_times(
    source: SourceFacts,
    start: float,
    end: float | None,
    *,
    only: float | None = None,
    field: str = "sources[0]",
) -> FrameTimes:
    """The frames with ``start <= time < end``, times in seconds from the first shown frame.

    With `only`, no more than so many seconds from `start` are read; the checks are the same.

    Raises:
        SourceUnreadable: the file ends before its frames do.
        SpecError: no frame lies in the range.
    """
    base = source.video.time_base
    first = source.origin + _ticks(Fraction(str(start)) - TOLERANCE, base)
    last = None if end is None else source.origin + _ticks(Fraction(str(end)) - TOLERANCE, base)
    path = Path(source.path)
    with open_source(path, field=f"{field}.path") as container:
        stream = container.streams[source.video.index]
        assert isinstance(stream, VideoStream)
        _check_complete(container, stream, source, last, field)
        until = last
        if only is not None:
            until = first + _ticks(Fraction(str(only)), base)
            until = until if last is None else min(until, last)
        packets = _scan(container, stream, max(first, source.origin), until)
        # A keyframe before the range is listed too, so that its frames know where to start.
        packets = [p for p in packets if p[0] >= source.origin]
        # Of two frames with the same time only one can be shown.
        shown = sorted({pts for pts, _, _ in packets})
        inside = shown[bisect_left(shown, first) :]
        if until is not None:
            inside = inside[: bisect_left(inside, until)]
        rates = [stream.average_rate, stream.guessed_rate, stream.base_rate]
        # A stream of fields may name their rate.
        rates += [rate / 2 for rate in rates if rate and source.video.interlaced]
    if not inside:
        length = f" ({source.duration:g} s)" if source.duration else ""
        raise SpecError(
            f"No frame of {path.name!r} lies between {start:g} s and "
            f"{'the end' if end is None else f'{end:g} s'}.",
            f"Choose a range within the video{length}.",
            field=f"{field}.start",
        )
    chosen = frozenset(inside)
    after = shown[bisect_left(shown, inside[-1]) + 1 :][:1]
    durations = {pts: duration for pts, duration, _ in packets}
    step = durations.get(inside[-1]) or _typical_step(inside, base)
    stop = after[0] if after else inside[-1] + step
    return FrameTimes(
        pts=tuple(inside),
        keyframes=tuple(sorted(pts for pts, _, key in packets if key and pts in chosen)),
        end=stop,
        rate=_constant_rate(inside, rates, base),
    )


def seek_before(container: InputContainer, stream: VideoStream, pts: int) -> None:
    """Seek so that the next packets of `stream` begin with a keyframe shown at or before `pts`."""
    assert stream.time_base is not None
    for step in _STEPS_BACK:
        target = pts - _ticks(step, stream.time_base)
        try:
            container.seek(target, stream=stream, backward=True)
        except av.FFmpegError:
            continue
        landed = _next_keyframe(container, stream)
        if landed is not None and landed <= pts:
            container.seek(target, stream=stream, backward=True)
            return
    # Where even that fails, nothing can be found, and whoever reads says so.
    with contextlib.suppress(av.FFmpegError):
        container.seek(0, backward=True, any_frame=True)


def _next_keyframe(container: InputContainer, stream: VideoStream) -> int | None:
    with contextlib.suppress(av.FFmpegError):
        for packet in demux(container, stream):
            if packet.is_keyframe and packet.pts is not None:
                return packet.pts
    return None


def _scan(
    container: InputContainer, stream: VideoStream, first: int, last: int | None
) -> list[tuple[int, int, bool]]:
    """``(pts, duration, is_keyframe)`` of the shown frames from a keyframe before `first`."""
    assert stream.time_base is not None
    reorder = _ticks(_REORDER, stream.time_base)
    beyond: int | None = None
    found: list[tuple[int, int, bool]] = []
    apart = container.format.name in _FIELDS_APART and stream.codec_context.name == "h264"
    pairs = FieldPairs() if apart else None
    seek_before(container, stream, first)
    try:
        for packet in demux(container, stream):
            check()
            if not packet.size or packet.is_discard or _hidden(stream, packet):
                continue
            if pairs is not None and pairs.is_second(bytes(memoryview(packet))):
                if found and packet.pts is not None:
                    pts, duration, key = found[-1]
                    found[-1] = pts, duration + (packet.duration or 0), key
                continue
            if packet.pts is None:
                continue
            found.append((packet.pts, packet.duration or 0, packet.is_keyframe))
            if last is not None and packet.pts >= last:
                beyond = packet.pts if beyond is None else min(beyond, packet.pts)
            # A frame is decoded before it is shown: from here on, none is shown before `beyond`.
            decoded = packet.pts - reorder if packet.dts is None else packet.dts
            if beyond is not None and decoded > beyond:
                break
    except av.FFmpegError:
        pass  # what is missing shows in the check that follows
    return found


def _hidden(stream: VideoStream, packet: av.Packet[VideoStream]) -> bool:
    """Whether it is a VP8 frame that is never shown (RFC 6386, 9.1: the show_frame bit)."""
    return stream.codec_context.name == "vp8" and not bytes(memoryview(packet)[:1])[0] & 0x10


def _check_complete(
    container: InputContainer,
    stream: VideoStream,
    source: SourceFacts,
    last: int | None,
    field: str,
) -> None:
    """Refuse a file that was cut off before the end of the range."""
    assert stream.time_base is not None
    missing = False
    if source.format.startswith("mov"):
        # The header lists every sample, also those that the file no longer has.
        size = source.fingerprint.size
        missing = any(
            entry.pos + entry.size > size and (last is None or entry.timestamp < last)
            for entry in stream.index_entries
        )
    elif source.format.startswith("matroska") and source.duration:
        asked = source.duration
        if last is not None:
            asked = min(asked, float((last - source.origin) * stream.time_base))
        # Tracks may end before the others, and durations are often rough.
        slack = max(2.0, 0.05 * source.duration)
        missing = asked > slack and not _reaches(container, Fraction(asked - slack))
    if missing:
        raise SourceUnreadable(
            f"{Path(source.path).name!r} is incomplete: it ends before its frames do.",
            "The recording or the download was cut off; get the whole file again, "
            "or choose a range before the cut.",
            field=f"{field}.path",
        )


def _reaches(container: InputContainer, seconds: Fraction) -> bool:
    """Whether any track of the file has something at or after that time."""
    with contextlib.suppress(av.FFmpegError):
        container.seek(int(seconds * av.time_base), backward=True)
        for packet in demux(container):
            base = packet.time_base
            if packet.pts is not None and base is not None and packet.pts * base >= seconds:
                return True
    return False


def _constant_rate(
    pts: Sequence[int], rates: Iterable[Fraction | None], base: Fraction
) -> Fraction | None:
    """The rate that puts every frame within one tick of ``pts[0] + k / rate``, if there is one."""
    for rate in rates:
        if not rate or rate > 1000:
            continue
        step = 1 / (rate * base)
        if step >= 1 and all(abs(value - pts[0] - k * step) <= 1 for k, value in enumerate(pts)):
            return Fraction(rate)
    return None


def _typical_step(pts: Sequence[int], base: Fraction) -> int:
    if len(pts) < 2:
        return max(1, _ticks(Fraction(1, 25), base))
    steps = sorted(b - a for a, b in pairwise(pts))
    return max(1, steps[len(steps) // 2])


def _ticks(seconds: Fraction, base: Fraction) -> int:
    """The first tick at or after `seconds`."""
    return -((-seconds / base).__floor__())
