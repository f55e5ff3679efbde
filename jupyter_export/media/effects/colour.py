"""From sRGB to the samples of a video: matrix and range as the frame's tags say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

__all__ = ["Palette", "parse_color"]

# The weights of red and blue in luma by matrix_coefficients, ITU-T H.273 table 4.
_WEIGHTS: dict[int, tuple[float, float]] = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
_FULL = 2
# What browsers take untagged video for: standard definition below 720 lines.
_HD_LINES = 720


@dataclass(frozen=True)
class Palette:
    """How colours become samples, after ITU-T H.273 section 8.3."""

    red: float
    blue: float
    full: bool

    @classmethod
    def of(cls, frame: VideoFrame) -> Palette:
        """The frame's own; BT.601 or BT.709 by its height where it has no tag."""
        unknown = 1 if frame.height >= _HD_LINES else 6
        red, blue = _WEIGHTS.get(int(frame.colorspace), _WEIGHTS[unknown])
        full = int(frame.color_range) == _FULL or frame.format.name.startswith("yuvj")
        return cls(red, blue, full)

    @property
    def black(self) -> int:
        """The luma of black; chroma is 128."""
        return 0 if self.full else 16

    @property
    def white(self) -> int:
        """The luma of white."""
        return 255 if self.full else 235

    @property
    def offset(self) -> npt.NDArray[np.float32]:
        """What a sample of black is: Y, Cb, Cr."""
        return np.array([self.black, 128, 128], np.float32)

    @property
    def matrix(self) -> npt.NDArray[np.float32]:
        """3×3: from red, green and blue, 0 to 255, to Y, Cb and Cr beyond `offset`."""
        red, blue = self.red, self.blue
        green = 1 - red - blue
        luma = 1.0 if self.full else 219 / 255
        chroma = 1.0 if self.full else 224 / 255
        u, v = chroma / (2 * (1 - blue)), chroma / (2 * (1 - red))
        rows = [
            [red * luma, green * luma, blue * luma],
            [-red * u, -green * u, (1 - blue) * u],
            [(1 - red) * v, -green * v, -blue * v],
        ]
        return np.array(rows, np.float32)

    def samples(self, rgb: tuple[float, float, float]) -> tuple[int, int, int]:
        """Y, Cb and Cr of a colour whose components are 0 to 255."""
        values = (self.matrix * np.array(rgb, np.float32)).sum(axis=1) + self.offset
        y, u, v = np.clip(np.rint(values), 0, 255)
        return int(y), int(u), int(v)


def parse_color(color: str) -> tuple[float, float, float]:
    """``#rrggbb`` as red, green and blue from 0 to 255."""
    red, green, blue = bytes.fromhex(color[1:])
    return float(red), float(green), float(blue)
