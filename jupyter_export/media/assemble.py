"""Put finished segments and the audio into one file, without re-encoding anything."""

from __future__ import annotations

import contextlib
import heapq
import os
import shutil
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from ..errors import DiskFull, InternalError
from ..points import Point, reached
from ..spec import OUTPUT_SUFFIXES
from .audio import SHIFT, add_track, copied_packets
from .cache import SegmentCache, file_sha256
from .copied import as_avc1, source_packets
from .h264 import avcc
from .nal import parameters
from .open import created, open_segment, open_source, writing
from .plan import Plan, Segment
from .recipe import CopyRecipe

__all__ = ["Assembled", "assemble", "settled"]

#: Apple's players take HEVC only when its parameter sets are outside of the stream.
_TAGS = {("hevc", "mp4"): "hvc1", ("hevc", "mov"): "hvc1"}
_MOOV_FIRST = {"mp4": {"movflags": "+faststart"}, "mov": {"movflags": "+faststart"}}
_Timed = tuple[Fraction, int, "av.Packet[VideoStream] | av.Packet[AudioStream]"]


@dataclass(frozen=True)
class Assembled:
    """The finished part file."""

    bytes: int
    sha256: str
    frames: int
    duration: float
    """Seconds."""


def assemble(
    plan: Plan,
    cache: SegmentCache,
    part: Path,
    on_progress: Callable[[float], None],
) -> Assembled:
    """Write the file of `plan` to `part`, and flush it to the disk.

    `on_progress` gets the finished fraction; what it raises ends the work.

    Raises:
        DiskFull, OutputError: `part` cannot be written.
    """
    _check_space(plan, cache, part)
    format = OUTPUT_SUFFIXES[plan.suffix]
    order = _Order(plan, cache)
    with contextlib.ExitStack() as stack:
        stack.enter_context(writing(part))
        container = av.open(
            stack.enter_context(created(part)),
            "w",
            format=format,
            # Nothing random and no version inside: the same segments give the same bytes.
            options={"fflags": "+bitexact", **_MOOV_FIRST.get(format, {})},
        )
        stack.enter_context(_closing(container))
        template = _template(plan, cache, stack)
        video = container.add_stream_from_template(template, opaque=True)
        own = template.codec_context.extradata
        if plan.parameter_sets:
            video.codec_context.extradata = _all_sets(plan, template)
        video.time_base = plan.time_base
        if tag := _TAGS.get((template.codec_context.name, format)):
            video.codec_context.codec_tag = tag
        # FFV1 keeps no colour tags of its own: the container must.
        colour = plan.colour
        video.codec_context.color_range = colour.range
        video.codec_context.colorspace = colour.space
        video.codec_context.color_primaries = colour.primaries
        video.codec_context.color_trc = colour.transfer
        tracks = [_video(plan, cache, order, video, own)]
        if plan.audio is not None:
            tracks += _audio(plan, cache, container, stack)
        _name_chapters(container, plan)
        written = 0
        for _, track, packet in heapq.merge(*tracks, key=lambda item: item[:2]):
            container.mux_one(packet)
            if track == 0:
                written += 1
                on_progress(written / order.frames)
    return settled(part, order.frames, float(plan.duration * plan.time_base))


def settled(part: Path, frames: int, duration: float) -> Assembled:
    """The written file, flushed to the disk.

    Raises:
        DiskFull, OutputError: the disk refuses it now.
    """
    with writing(part), part.open("rb+") as file:
        reached(Point.PART_WRITTEN)
        os.fsync(file.fileno())
    reached(Point.PART_SYNCED)
    return Assembled(
        bytes=part.stat().st_size, sha256=file_sha256(part), frames=frames, duration=duration
    )


class _Order:
    """Global decoding times: the k-th packet decodes when the (k − d)-th frame is shown.

    The segments' own decoding times overlap where they meet; `d` is the largest reordering of
    any segment, so that no packet decodes after it is shown.
    """

    def __init__(self, plan: Plan, cache: SegmentCache) -> None:
        self.shown: list[int] = []
        """All presentation times, sorted, in the plan's time base."""
        self.offsets: list[int] = []
        """Per segment, what turns its time stamps into the output's."""
        self.scales: list[Fraction] = []
        delay = 0
        for segment in plan.segments:
            if isinstance(segment.recipe, CopyRecipe):
                self.shown += [p + segment.start for p in segment.recipe.stamps.values()]
                self.offsets.append(segment.start)
                self.scales.append(Fraction(1))
                delay = max(delay, segment.recipe.delay)
                continue
            stamps, scale = _stamps(cache, segment)
            offset = segment.start - stamps[0]
            ranked = sorted(stamps)
            delay = max(delay, *(k - bisect_left(ranked, p) for k, p in enumerate(stamps)))
            self.shown += [p + offset for p in ranked]
            self.offsets.append(offset)
            self.scales.append(scale)
        self.delay = delay
        self.frames = len(self.shown)
        self._end = plan.duration

    def decode_time(self, k: int) -> int:
        if k >= self.delay:
            return self.shown[k - self.delay]
        step = self.shown[1] - self.shown[0] if self.frames > 1 else 1
        return self.shown[0] - (self.delay - k) * step

    def duration(self, pts: int) -> int:
        i = bisect_left(self.shown, pts) + 1
        return max(1, (self.shown[i] if i < self.frames else self._end) - pts)


def _stamps(cache: SegmentCache, segment: Segment) -> tuple[list[int], Fraction]:
    """The segment's time stamps in decoding order, in its recipe's time base."""
    base = segment.recipe.time_base
    with open_segment(cache.path(segment.id), decoded=False) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        scale = stream.time_base / base
        stamps = [round(p.pts * scale) for p in container.demux(stream) if p.pts is not None]
    if not stamps or min(stamps) != stamps[0]:
        raise InternalError(f"Segment {segment.id} does not begin with its first frame.")
    return stamps, scale


def _template(plan: Plan, cache: SegmentCache, stack: contextlib.ExitStack) -> VideoStream:
    """A track like the output's: of a rendered segment if there is one, else of a source."""
    for segment in plan.segments:
        if segment.kind == "render":
            return stack.enter_context(open_segment(cache.path(segment.id))).streams.video[0]
    source = plan.sources[plan.segments[0].sources[0]]
    stream = stack.enter_context(open_source(Path(source.path))).streams[source.video.index]
    assert isinstance(stream, VideoStream)
    return stream


def _all_sets(plan: Plan, template: VideoStream) -> bytes:
    """The header of a track in which copied packets and rendered ones are together."""
    sets = [bytes.fromhex(u) for u in plan.parameter_sets]
    if plan.encoder is not None:
        sets += parameters(template.codec_context.extradata or b"", hevc=False).sets
    return avcc(sets)


def _video(
    plan: Plan, cache: SegmentCache, order: _Order, target: VideoStream, own: bytes | None
) -> Iterator[_Timed]:
    k = 0
    with contextlib.ExitStack() as stack:
        sources: dict[int, InputContainer] = {}
        for i, segment in enumerate(plan.segments):
            if isinstance(segment.recipe, CopyRecipe):
                index = segment.sources[0]
                path = Path(plan.sources[index].path)
                if index not in sources:
                    sources[index] = stack.enter_context(open_source(path))
                packets = source_packets(sources[index], path, segment.recipe)
            else:
                packets = _rendered(cache, segment, order.scales[i], own)
            for packet, stamp in packets:
                made = packet
                if plan.parameter_sets and segment.kind == "render":
                    made = as_avc1(packet, 0)
                made.pts = stamp + order.offsets[i]
                made.dts = order.decode_time(k)
                made.duration = order.duration(made.pts)
                made.time_base = plan.time_base
                made.stream = target
                k += 1
                yield made.dts * plan.time_base, 0, made


def _rendered(
    cache: SegmentCache, segment: Segment, scale: Fraction, own: bytes | None
) -> Iterator[tuple[av.Packet[VideoStream], int]]:
    with open_segment(cache.path(segment.id), decoded=False) as container:
        stream = container.streams.video[0]
        if stream.codec_context.extradata != own:
            raise InternalError(
                f"Segment {segment.id} has other parameter sets than the first one.",
                "Retry with encoder: libx264.",
            )
        for packet in container.demux(stream):
            if packet.pts is not None:
                yield packet, round(packet.pts * scale)


def _audio(
    plan: Plan, cache: SegmentCache, container: OutputContainer, stack: contextlib.ExitStack
) -> list[Iterator[_Timed]]:
    """The audio track; none where the source is silent: an empty one would confuse players."""
    audio = plan.audio
    assert audio is not None
    if audio.id is None:
        source = stack.enter_context(open_source(Path(plan.sources[audio.sources[0] or 0].path)))
        stream = source.streams[audio.facts.index]
        assert isinstance(stream, AudioStream)
        copied = copied_packets(source, audio.facts.index, audio.start, audio.end)
    else:
        entry = cache.peek(audio.id)
        if entry is not None and not entry.frames:
            return []
        file = stack.enter_context(open_segment(cache.path(audio.id)))
        stream = file.streams.audio[0]
        base = stream.time_base
        assert base is not None
        copied = (
            (packet, packet.pts * base - SHIFT)
            for packet in file.demux(stream)
            if packet.pts is not None
        )
    first = next(iter(copied), None)
    if first is None:
        return []
    if audio.recipe is None or audio.recipe.codec == "flac":
        target = container.add_stream_from_template(stream)
    else:
        # Only an open encoder tells the muxer how much its decoder swallows at the beginning.
        target = add_track(container, audio.recipe)
        container.start_encoding()
    end = plan.duration * plan.time_base
    return [_timed_audio(chain([first], copied), target, end)]


def _timed_audio(
    packets: Iterator[tuple[av.Packet[AudioStream], Fraction]], target: AudioStream, end: Fraction
) -> Iterator[_Timed]:
    """The last packet is told to be as short as the picture is; what it has more is not played."""
    last: int | None = None
    for packet, time in packets:
        assert packet.time_base is not None
        stamp = round(time / packet.time_base)
        if last is not None and stamp <= last:
            stamp = last + 1
        last = stamp
        packet.pts = packet.dts = stamp
        if packet.duration:
            left = round(end / packet.time_base) - stamp
            packet.duration = max(1, min(packet.duration, left))
        packet.stream = target
        yield time, 1, packet


def _name_chapters(container: OutputContainer, plan: Plan) -> None:
    ends = [c.start for c in plan.chapters[1:]] + [plan.duration]
    container.set_chapters(
        [
            {
                "id": i,
                "start": chapter.start,
                "end": end,
                "time_base": plan.time_base,
                "metadata": {"title": chapter.title},
            }
            for i, (chapter, end) in enumerate(zip(plan.chapters, ends, strict=False), 1)
        ]
    )


@contextlib.contextmanager
def _closing(container: OutputContainer) -> Iterator[None]:
    """Close the container; after an error, without minding that closing fails as well."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            container.close()
        raise
    container.close()


def _check_space(plan: Plan, cache: SegmentCache, part: Path) -> None:
    needed = sum(
        s.recipe.bytes if isinstance(s.recipe, CopyRecipe) else cache.path(s.id).stat().st_size
        for s in plan.segments
    )
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise DiskFull(
            f"{part.parent} has {free / 1e6:.0f} MB free, but the export needs "
            f"{needed / 1e6:.0f} MB.",
            "Free some space and retry: finished segments are kept.",
        )
