"""Where the packets of a range can be copied from and to: their first bytes, nothing is decoded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
from av.video.stream import VideoStream

from .facts import FrameTimes, SourceFacts
from .h264 import Pps, Sps, pps_of, slice_head, sps_of
from .index import seek_before
from .interrupt import check
from .nal import H264, HEVC, Syntax, parameters, units
from .open import demux, open_source

__all__ = ["DAMAGED", "MISSING", "MOST_DECLARED", "Bitstream", "Unit", "bitstream"]

#: How many frames x264 tells a decoder to hold back, at most.
MOST_DECLARED = 2

#: Profiles (A.2) that every player has: Baseline, Main and High.
_PLAYED = {66: "Baseline", 77: "Main", 100: "High"}
_B_SLICE = 1

OPEN = "the source has open GOPs"
CHANGING = "the parameter sets of the source change"
DAMAGED = "the source is damaged"
#: No coded picture has three zeros in a row (emulation prevention); what was never written has
#: many, and many are found far faster.
_HOLE = bytes(32)
MISSING = "frames are missing in the source"


@dataclass(frozen=True)
class Unit:
    """A group of pictures that begins with an IDR picture and needs nothing before it.

    Numbers count the frames of the range.
    """

    start: int
    stops: tuple[int, ...]
    """Rising: the packets up to any of these, in decoding order, hold just the frames up to it."""


@dataclass(frozen=True)
class Bitstream:
    """The packets of a range of a track in H.264 or HEVC."""

    hevc: bool
    problem: str
    """Why none of them can be copied; empty where some can."""
    doubt: str = ""
    """What was wrong with a part of them."""
    length: int = 0
    sets: tuple[bytes, ...] = ()
    """Both as in `nal.Parameters`."""
    profile: int = 0
    """The highest H.264 profile of `sets`."""
    units: tuple[Unit, ...] = ()
    reorder: int = 0
    """How many frames a decoder holds back."""
    declared: bool = True
    """Whether the stream says that, and does not leave it to be guessed."""
    delay: int = 0
    """How many packets come before one whose frame is shown before theirs, at most."""
    sizes: tuple[int, ...] = ()
    """Bytes of each frame's packet."""


def bitstream(source: SourceFacts, times: FrameTimes) -> Bitstream:
    """The packets of the frames `times` of `source`, which is H.264 or HEVC.

    Raises:
        SourceMissing, SourceUnreadable: it cannot be opened.
    """
    hevc = source.video.codec == "hevc"
    with open_source(Path(source.path)) as container:
        stream = container.streams[source.video.index]
        assert isinstance(stream, VideoStream)
        try:
            known = parameters(stream.codec_context.extradata or b"", hevc=hevc)
            sequences = [sps_of(u) for u in known.sets if not hevc and u[0] & 31 == 7]
            pictures = [pps_of(u) for u in known.sets if not hevc and u[0] & 31 == 8]
        except ValueError:
            return Bitstream(hevc, "the parameter sets of the source cannot be read")
        if why := _refused(known.sets, sequences, hevc=hevc):
            return Bitstream(hevc, why)
        scan = _Scan(
            HEVC if hevc else H264,
            known.length,
            frozenset(known.sets),
            {s.id: s for s in sequences},
            {p.id: p for p in pictures},
            {pts: i for i, pts in enumerate(times.pts)},
            timeless=source.format == "avi",
        )
        with contextlib.suppress(av.FFmpegError):  # what cannot be read is not copied
            # MP4 may have several headers for a track; which one a range has, only the first
            # packet of a file just opened tells.
            container.seek(times.pts[0], stream=stream, backward=True)
            scan.take_header(next(demux(container, stream)))
            seek_before(container, stream, times.pts[0])
            for packet in demux(container, stream):
                check()
                scan.take(packet)
                if scan.problem or scan.complete:
                    break
    declared = [s.reorder for s in sequences if s.reorder is not None]
    if len(declared) < len(sequences) and scan.delay > MOST_DECLARED:
        scan.problem = scan.problem or "the source does not say how far its frames are reordered"
    return Bitstream(
        hevc=hevc,
        problem=scan.problem,
        doubt=scan.doubt,
        length=known.length,
        sets=known.sets,
        profile=max((s.profile for s in sequences), default=0),
        units=tuple(scan.finished()),
        reorder=max([scan.delay, *declared]),
        declared=len(declared) == len(sequences),
        delay=scan.delay,
        sizes=tuple(scan.sizes),
    )


def _refused(sets: tuple[bytes, ...], sequences: list[Sps], *, hevc: bool) -> str:
    if not sets:
        return "the source has no parameter sets in its header"
    if hevc:
        return ""
    if any(not s.progressive for s in sequences):
        return "the source is coded for interlaced video"
    if any(s.profile not in _PLAYED for s in sequences):
        return f"only the H.264 profiles {', '.join(_PLAYED.values())} play everywhere"
    return ""


@dataclass
class _Group:
    """A unit that grows."""

    start: int
    count: int = 0
    highest: int = 0
    frame_num: int = 0
    whole: bool = True
    """Whether what comes next can still be copied with what came so far."""
    stops: list[int] = field(default_factory=list)


class _Scan:
    """Takes packets in decoding order."""

    def __init__(
        self,
        syntax: Syntax,
        length: int,
        sets: frozenset[bytes],
        sequences: dict[int, Sps],
        pictures: dict[int, Pps],
        ranks: dict[int, int],
        *,
        timeless: bool,
    ) -> None:
        self.problem = ""
        self.doubt = ""
        self.delay = 0
        self.sizes = [0] * len(ranks)
        self._syntax = syntax
        self._length = length
        self._sets = sets
        self._sequences = sequences
        self._pictures = pictures
        self._ranks = ranks
        self._last = max(ranks)
        self._timeless = timeless
        self._missing = len(ranks)
        self._beyond = False
        self._groups: list[_Group] = []
        self._group: _Group | None = None

    @property
    def complete(self) -> bool:
        """Whether all frames have been found."""
        return self._beyond or not self._missing

    def finished(self) -> Iterator[Unit]:
        """The units so far."""
        for group in self._groups:
            if group.stops:
                yield Unit(group.start, tuple(group.stops))

    def take_header(self, packet: av.Packet[VideoStream]) -> None:
        """Whether a packet brings parameter sets that are not those of the track."""
        if packet.has_sidedata("new_extradata"):
            self.problem = CHANGING

    def take(self, packet: av.Packet[VideoStream]) -> None:
        """The next packet."""
        if not packet.size:
            return
        self.take_header(packet)
        rank = None if packet.pts is None or packet.is_discard else self._ranks.get(packet.pts)
        if packet.dts is not None and packet.dts > self._last:
            self._beyond = True
        if rank is not None:
            self._missing -= not self.sizes[rank]
        try:
            idr, head, reference = self._look(packet)
        except (ValueError, KeyError, IndexError):
            self._spoil(DAMAGED)
            return
        if idr:
            self._group = None if rank is None else _Group(rank)
            if self._group is not None:
                self._groups.append(self._group)
        group = self._group
        if group is None:
            self.doubt = self.doubt or (OPEN if packet.is_keyframe and not idr else "")
            return
        if packet.is_keyframe and not idr:
            group.stops.clear()
            self._spoil(OPEN)
        if not group.whole:
            return
        if packet.is_corrupt:
            self._spoil(DAMAGED)
        elif head is not None and head != (0 if idr else group.frame_num):
            self._spoil(MISSING)
        elif rank is None or self.sizes[rank]:
            group.whole = False  # the rest of it is not shown
        elif rank < group.start:
            group.stops.clear()
            self._spoil(OPEN)
        if not group.whole:
            return
        assert rank is not None
        if head is not None and reference:
            group.frame_num = self._next(head)
        self.sizes[rank] = packet.size
        self.delay = max(self.delay, group.count - (rank - group.start))
        group.count += 1
        group.highest = max(group.highest, rank)
        if group.highest - group.start + 1 == group.count:
            group.stops.append(group.highest + 1)

    def _look(self, packet: av.Packet[VideoStream]) -> tuple[bool, int | None, bool]:
        """Whether the packet holds an IDR picture, its frame number, and whether others refer
        to it.

        Raises:
            ValueError, KeyError, IndexError: it is no whole picture.
        """
        syntax = self._syntax
        idr, begun, head, reference = False, 0, None, False
        for unit in units(memoryview(packet), self._length):
            kind = syntax.type(unit)
            if kind in syntax.slices:
                # The first macroblock of a picture is number 0, a single bit.
                begun += bool(unit[2 if syntax.hevc else 1] & 0x80)
                if _HOLE in bytes(unit).rstrip(b"\0"):
                    raise ValueError("a hole")
                idr = kind in syntax.idr
                if head is None and not syntax.hevc:
                    told = slice_head(unit, self._pictures, self._sequences)
                    sps = self._sequences[self._pictures[told.pps].sps]
                    self._modulus = 1 << sps.frame_num_bits
                    head, reference = told.frame_num, bool(unit[0] & 0x60)
                    if told.type == _B_SLICE and self._timeless:
                        self.problem = "the source keeps no display times of its B-frames"
            elif kind in syntax.sets:
                if bytes(unit).rstrip(b"\0") not in self._sets:
                    self.problem = CHANGING
            elif kind not in syntax.passing:
                raise ValueError(f"type {kind}")
        if begun != 1:
            raise ValueError(f"{begun} pictures")
        return idr, head, reference

    def _next(self, frame_num: int) -> int:
        """The number of the picture after a reference picture (H.264, 7.4.3)."""
        return (frame_num + 1) % self._modulus

    def _spoil(self, why: str) -> None:
        self.doubt = self.doubt or why
        if self._group is not None:
            self._group.whole = False
