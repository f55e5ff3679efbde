"""What the parameter sets and slice headers of H.264 say (ITU-T H.264, 7.3), and `avcC`."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Pps", "SliceHead", "Sps", "avcc", "pps_of", "slice_head", "sps_of"]

#: Profiles with the fields of High (7.3.2.1.1).
_HIGH = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
_EXTENDED_SAR = 255
#: Bytes of a slice that hold the fields we read, with every Exp-Golomb code at its longest.
_HEAD = 24


@dataclass(frozen=True)
class Sps:
    """A sequence parameter set."""

    id: int
    profile: int
    constraints: int
    """The byte of constraint flags."""
    level: int
    frame_num_bits: int
    gaps: bool
    """Whether frames may be missing on purpose."""
    progressive: bool
    """Whether there are frames only, no fields."""
    reorder: int | None
    """How many frames may come before one that is shown earlier; None where it is not said."""


@dataclass(frozen=True)
class Pps:
    """A picture parameter set."""

    id: int
    sps: int


@dataclass(frozen=True)
class SliceHead:
    """The beginning of a slice header."""

    pps: int
    type: int
    """0 P, 1 B, 2 I, 3 SP, 4 SI."""
    frame_num: int


class _Bits:
    def __init__(self, unit: bytes | memoryview) -> None:
        # Emulation prevention (7.4.1): 00 00 03 stands for 00 00.
        data = bytes(unit).replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def u(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("cut off")
        return self._value >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        """Exp-Golomb (9.1)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def sps_of(unit: bytes) -> Sps:
    """A NAL unit of type 7.

    Raises:
        ValueError: it is cut off.
    """
    bits = _Bits(unit[1:])
    profile, constraints, level, id = bits.u(8), bits.u(8), bits.u(8), bits.ue()
    if profile in _HIGH:
        chroma = bits.ue()
        if chroma == 3:
            bits.u(1)
        bits.ue(), bits.ue(), bits.u(1)
        if bits.u(1):
            for i in range(12 if chroma == 3 else 8):
                if bits.u(1):
                    _skip_scaling(bits, 16 if i < 6 else 64)
    frame_num_bits = bits.ue() + 4
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.u(1), bits.se(), bits.se()
        for _ in range(bits.ue()):
            bits.se()
    bits.ue()
    gaps = bool(bits.u(1))
    bits.ue(), bits.ue()
    progressive = bool(bits.u(1))
    if not progressive:
        bits.u(1)
    bits.u(1)
    if bits.u(1):
        for _ in range(4):
            bits.ue()
    return Sps(
        id=id,
        profile=profile,
        constraints=constraints,
        level=level,
        frame_num_bits=frame_num_bits,
        gaps=gaps,
        progressive=progressive,
        # Without B-frames by its order count (8.2.1.3), nothing is reordered.
        reorder=0 if order == 2 else _reorder(bits) if bits.u(1) else None,
    )


def _skip_scaling(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _reorder(bits: _Bits) -> int | None:
    """max_num_reorder_frames of the usability information (E.1.1)."""
    if bits.u(1) and bits.u(8) == _EXTENDED_SAR:
        bits.u(32)
    if bits.u(1):
        bits.u(1)
    if bits.u(1):
        bits.u(4)
        if bits.u(1):
            bits.u(24)
    if bits.u(1):
        bits.ue(), bits.ue()
    if bits.u(1):
        bits.u(65)
    hypothetical = False
    for _ in range(2):
        if bits.u(1):
            _skip_hrd(bits)
            hypothetical = True
    if hypothetical:
        bits.u(1)
    bits.u(1)
    if not bits.u(1):
        return None
    bits.u(1)
    for _ in range(4):
        bits.ue()
    return bits.ue()


def _skip_hrd(bits: _Bits) -> None:
    count = bits.ue() + 1
    bits.u(8)
    for _ in range(count):
        bits.ue(), bits.ue(), bits.u(1)
    bits.u(20)


def pps_of(unit: bytes) -> Pps:
    """A NAL unit of type 8.

    Raises:
        ValueError: it is cut off.
    """
    bits = _Bits(unit[1:])
    return Pps(id=bits.ue(), sps=bits.ue())


def slice_head(
    unit: bytes | memoryview, parameters: dict[int, Pps], sequences: dict[int, Sps]
) -> SliceHead:
    """A NAL unit of type 1 or 5.

    Raises:
        ValueError: it is cut off.
        KeyError: it names a parameter set that is not there.
    """
    bits = _Bits(unit[1:_HEAD])
    bits.ue()
    type, pps = bits.ue() % 5, bits.ue()
    sps = sequences[parameters[pps].sps]
    return SliceHead(pps=pps, type=type, frame_num=bits.u(sps.frame_num_bits))


def avcc(sets: Sequence[bytes]) -> bytes:
    """The record of a track whose packets refer to any of `sets`; 8 bits, 4:2:0.

    Its header (ISO/IEC 14496-15, 5.3.3.1.2) names what a decoder of all of them must be able to.
    """
    sequences = [u for u in sets if u[0] & 31 == 7]
    pictures = [u for u in sets if u[0] & 31 == 8]
    profile = max(u[1] for u in sequences)
    constraints = 0xFF
    for unit in sequences:
        constraints &= unit[2]
    level = max(u[3] for u in sequences)
    data = bytes([1, profile, constraints, level, 0xFC | 3, 0xE0 | len(sequences)])
    data += b"".join(struct.pack(">H", len(u)) + u for u in sequences)
    data += bytes([len(pictures)])
    data += b"".join(struct.pack(">H", len(u)) + u for u in pictures)
    if profile in _HIGH:
        data += bytes([0xFC | 1, 0xF8, 0xF8, 0])
    return data
