"""Tell the second field of an H.264 picture from a picture of its own, without decoding.

In transport streams the two fields of a frame may come as two packets (PAFF). Counting frames
needs to know which packets go together.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["FieldPairs"]

_START = b"\0\0\1"
_SLICE, _IDR_SLICE, _SPS = 1, 5, 7
#: The most that num_ref_frames_in_pic_order_cnt_cycle may be (7.4.2.1.1).
_LONGEST_CYCLE = 255
#: Profiles whose parameter sets say more about chroma (ITU-T H.264, 7.3.2.1.1).
_HIGH = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}


class FieldPairs:
    """Looks at the packets of one stream in decoding order."""

    def __init__(self) -> None:
        self._frame_number_bits: int | None = None
        self._separate_planes = False
        self._frames_only = True
        self._first: tuple[int, int] | None = None
        """Frame number and parity of a field that waits for the other one."""

    def is_second(self, data: bytes) -> bool:
        """Whether the packet is the other field of the one before it."""
        for kind, payload in _units(data):
            if kind == _SPS:
                self._read_parameters(payload)
            elif kind in (_SLICE, _IDR_SLICE):
                return self._is_second(payload)
        return False

    def _is_second(self, payload: bytes) -> bool:
        first, self._first = self._first, None
        if self._frames_only or self._frame_number_bits is None:
            return False
        bits = _Bits(payload[:32])
        for _ in range(3):  # first macroblock, type, picture parameter set
            bits.ue()
        if self._separate_planes:
            bits.u(2)
        number = bits.u(self._frame_number_bits)
        if not bits.u(1):
            return False
        parity = bits.u(1)
        if first == (number, 1 - parity):
            return True
        self._first = number, parity
        return False

    def _read_parameters(self, payload: bytes) -> None:
        bits = _Bits(payload[:256])
        profile = bits.u(8)
        bits.u(16)
        bits.ue()
        self._separate_planes = False
        if profile in _HIGH:
            chroma = bits.ue()
            self._separate_planes = chroma == 3 and bool(bits.u(1))
            bits.ue(), bits.ue(), bits.u(1)
            if bits.u(1):
                for i in range(12 if chroma == 3 else 8):
                    if bits.u(1):
                        bits.skip_scaling_list(16 if i < 6 else 64)
        self._frame_number_bits = bits.ue() + 4
        order = bits.ue()
        if order == 0:
            bits.ue()
        elif order == 1:
            bits.u(1), bits.ue(), bits.ue()
            for _ in range(min(bits.ue(), _LONGEST_CYCLE)):
                bits.ue()
        bits.ue(), bits.u(1), bits.ue(), bits.ue()
        self._frames_only = bool(bits.u(1))


def _units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and payload of each NAL unit of an Annex B packet; a payload may go on too far."""
    at = data.find(_START)
    while at >= 0 and at + 4 <= len(data):
        begin = at + 4
        at = data.find(_START, begin)
        payload = data[begin : begin + 300]
        yield data[begin - 1] & 0x1F, payload.replace(b"\0\0\3", b"\0\0")


class _Bits:
    """Reads a payload from its first bit; after its end come zeros."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._length = len(data) * 8
        self._at = 0

    def u(self, count: int) -> int:
        """An unsigned number of `count` bits."""
        self._at += count
        shift = self._length - self._at
        if shift < 0:
            return 0
        return self._value >> shift & ((1 << count) - 1)

    def ue(self) -> int:
        """An unsigned exponential Golomb code (9.1); as large for a signed one."""
        zeros = 0
        while self._at < self._length and not self.u(1):
            zeros += 1
        return (1 << zeros) - 1 + self.u(zeros)

    def skip_scaling_list(self, size: int) -> None:
        """7.3.2.1.1.1."""
        last = following = 8
        for _ in range(size):
            if following:
                code = self.ue()
                delta = (code + 1) // 2 if code % 2 else -(code // 2)
                following = (last + delta) % 256
            last = following or last
