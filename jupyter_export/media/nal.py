"""H.264 and HEVC packets as network abstraction layer (NAL) units: split, sorted, put together."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = [
    "H264",
    "HEVC",
    "Parameters",
    "Syntax",
    "annex_b",
    "length_prefixed",
    "parameters",
    "prefixed",
    "units",
]

Bytes = bytes | memoryview


@dataclass(frozen=True)
class Syntax:
    """What the types of NAL units mean (ITU-T H.264, table 7-1; ITU-T H.265, table 7-1)."""

    hevc: bool
    idr: frozenset[int]
    slices: frozenset[int]
    """All that hold a part of a picture."""
    sets: frozenset[int]
    """Parameter sets."""
    passing: frozenset[int]
    """What says nothing about how pictures are decoded: SEI, delimiters, filler."""

    def type(self, unit: Bytes) -> int:
        """Of a NAL unit; -1 where a bit that must be 0 is not, or it belongs to another layer."""
        if not self.hevc:
            return -1 if unit[0] & 0x80 else unit[0] & 31
        if len(unit) < 3 or unit[0] & 0x81 or unit[1] >> 3:
            return -1
        return unit[0] >> 1 & 63


H264 = Syntax(
    hevc=False,
    idr=frozenset({5}),
    slices=frozenset({1, 5}),
    sets=frozenset({7, 8}),
    passing=frozenset({6, 9, 10, 11, 12}),
)
HEVC = Syntax(
    hevc=True,
    idr=frozenset({19, 20}),
    slices=frozenset({*range(10), *range(16, 22)}),
    sets=frozenset({32, 33, 34}),
    passing=frozenset({35, 38, 39, 40}),
)


@dataclass(frozen=True)
class Parameters:
    """The parameter sets of a track, and how the NAL units of its packets are told apart."""

    length: int
    """Bytes before each unit that hold its length; 0 for start codes (Annex B)."""
    sets: tuple[bytes, ...]


def parameters(extradata: bytes, *, hevc: bool) -> Parameters:
    """What an ``avcC`` or ``hvcC`` record (ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1) or a head in
    Annex B says.

    Raises:
        ValueError: it says nothing that can be understood.
    """
    syntax = HEVC if hevc else H264
    if extradata[:1] != b"\1":
        length, sets = 0, list(annex_b(extradata))
    else:
        try:
            length, sets = _hvcc(extradata) if hevc else _avcc(extradata)
        except (struct.error, IndexError):
            raise ValueError("cut off") from None
    return Parameters(length, tuple(u for u in sets if u and syntax.type(u) in syntax.sets))


def _avcc(data: bytes) -> tuple[int, list[bytes]]:
    sets: list[bytes] = []
    at = 5
    for mask in (31, 255):
        count, at = data[at] & mask, at + 1
        for _ in range(count):
            at = _take(data, at, sets)
    return (data[4] & 3) + 1, sets


def _hvcc(data: bytes) -> tuple[int, list[bytes]]:
    sets: list[bytes] = []
    at = 23
    for _ in range(data[22]):
        (count,) = struct.unpack_from(">H", data, at + 1)
        at += 3
        for _ in range(count):
            at = _take(data, at, sets)
    return (data[21] & 3) + 1, sets


def _take(data: bytes, at: int, sets: list[bytes]) -> int:
    (size,) = struct.unpack_from(">H", data, at)
    sets.append(data[at + 2 : at + 2 + size])
    return at + 2 + int(size)


def units(data: Bytes, length: int) -> Iterator[Bytes]:
    """The NAL units of a packet; `length` as in `Parameters`.

    Raises:
        ValueError: their lengths and the packet's do not agree.
    """
    return prefixed(data, length) if length else annex_b(bytes(data))


def prefixed(data: Bytes, length: int) -> Iterator[Bytes]:
    """The NAL units of a packet in which each is behind its length, of `length` bytes.

    Raises:
        ValueError: their lengths and the packet's do not agree.
    """
    at, end = 0, len(data)
    while at < end:
        size = int.from_bytes(data[at : at + length], "big")
        at += length
        if not size or at + size > end:
            raise ValueError("not whole")
        yield data[at : at + size]
        at += size


def annex_b(data: bytes) -> Iterator[bytes]:
    """The NAL units between start codes."""
    at = data.find(b"\0\0\1")
    while at >= 0:
        stop = data.find(b"\0\0\1", at + 3)
        unit = data[at + 3 : stop if stop >= 0 else len(data)]
        # A zero before the next start code is part of it: none can end a unit.
        if unit := unit.rstrip(b"\0"):
            yield unit
        at = stop


def length_prefixed(parts: Iterable[Bytes]) -> bytes:
    """NAL units as a packet of an ``avc1`` track: each behind its length, of 4 bytes, without
    parameter sets, which such a track has in its header, and without delimiters."""
    kept = []
    for unit in parts:
        kind = unit[0] & 31
        if kind in H264.slices or kind == 6:
            kept += [struct.pack(">I", len(unit)), unit]
    return b"".join(kept)
