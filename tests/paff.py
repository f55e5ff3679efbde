"""H.264 with a picture for each field (PAFF), written bit by bit: no encoder at hand makes it.

Every sample is sent as it is (I_PCM macroblocks, ITU-T H.264, 7.3.5), so what a decoder must give
is known exactly.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_MAIN, _LEVEL_3 = 77, 30
_I_PCM, _ONLY_I = 25, 7


class _Bits:
    def __init__(self) -> None:
        self.text: list[str] = []

    def u(self, bits: int, value: int) -> _Bits:
        self.text.append(f"{value:0{bits}b}")
        return self

    def ue(self, *values: int) -> _Bits:
        """Exponential Golomb codes (9.1)."""
        for value in values:
            code = f"{value + 1:b}"
            self.text.append("0" * (len(code) - 1) + code)
        return self

    def aligned(self) -> bytes:
        bits = "".join(self.text)
        bits += "0" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8)

    def trailing(self) -> bytes:
        self.text.append("1")
        return self.aligned()


def _nal(ref: int, kind: int, payload: bytes) -> bytes:
    payload = re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", payload)
    return b"\0\0\0\1" + bytes([ref << 5 | kind]) + payload


def _parameters(width: int, height: int) -> bytes:
    across, down = -(-width // 16), -(-height // 32)
    sps = _Bits().u(8, _MAIN).u(8, 0).u(8, _LEVEL_3)
    sps.ue(0, 0, 2, 2).u(1, 0)  # id, frame numbers of 4 bits, order as decoded, two references
    sps.ue(across - 1, down - 1).u(1, 0).u(1, 0).u(1, 1)  # fields, not macroblock adaptive
    sps.u(1, 1).ue(0, (across * 16 - width) // 2, 0, (down * 32 - height) // 4).u(1, 0)
    pps = _Bits().ue(0, 0).u(1, 0).u(1, 0).ue(0, 0, 0).u(1, 0).u(2, 0).ue(0, 0, 0)
    pps.u(1, 1).u(1, 0).u(1, 0)  # deblocking is controlled by slices
    return _nal(3, 7, sps.trailing()) + _nal(3, 8, pps.trailing())


def _field(planes: list[np.ndarray], *, second: bool, bottom: bool, number: int) -> bytes:
    """One field as one slice; `planes` are Y, U and V of the field, in whole macroblocks."""
    head = _Bits().ue(0, _ONLY_I, 0).u(4, 0).u(1, 1).u(1, int(bottom))
    if second:
        head.u(1, 0)
    else:
        head.ue(number % 2).u(2, 0)  # an IDR picture, as only a first field can be
    head.ue(0, 1)  # QP as it is, no deblocking
    y, u, v = planes
    data = b""
    for row in range(y.shape[0] // 16):
        for column in range(y.shape[1] // 16):
            head.ue(_I_PCM)
            data += head.aligned()
            head = _Bits()
            for plane, size in ((y, 16), (u, 8), (v, 8)):
                block = plane[row * size :, column * size :][:size, :size]
                data += block.tobytes()
    return _nal(1, 1 if second else 5, data + b"\x80")


def write_paff(
    path: Path, frames: list[np.ndarray], *, rate: int = 25, apart: bool, top_first: bool = True
) -> None:
    """An MPEG transport stream of `frames`, whose (3/2 × height, width) are planar yuv420p.

    `apart` gives each field a time stamp and a packet of its own, as broadcasters do.
    """
    height, width = frames[0].shape[0] * 2 // 3, frames[0].shape[1]
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_mux_stream("h264", rate=rate, width=width, height=height)
        stream.time_base = Fraction(1, 90000)
        for n, frame in enumerate(frames):
            fields = []
            for second in (False, True):
                bottom = second == top_first
                planes = [p[int(bottom) :: 2] for p in _planes(frame, width, height)]
                fields.append(_field(planes, second=second, bottom=bottom, number=n))
            first = _parameters(width, height) + fields[0]
            packets = [first, fields[1]] if apart else [first + fields[1]]
            for k, data in enumerate(packets):
                packet = av.Packet(b"\0\0\0\1\x09\xf0" + data)
                packet.stream, packet.time_base = stream, Fraction(1, 90000)
                packet.pts = packet.dts = 90000 + (2 * n + k) * 90000 // (2 * rate)
                packet.is_keyframe = k == 0
                container.mux_one(packet)


def _planes(frame: np.ndarray, width: int, height: int) -> list[np.ndarray]:
    """Y, U and V, padded to whole macroblocks of two fields."""
    y = frame[:height]
    chroma = frame[height:].reshape(2, height // 2, width // 2)
    across, down = -width % 16, -height % 32
    return [
        np.pad(y, ((0, down), (0, across)), mode="edge"),
        *(np.pad(c, ((0, down // 2), (0, across // 2)), mode="edge") for c in chroma),
    ]
