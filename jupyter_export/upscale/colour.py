"""Y'CbCr planes of 8 bits to R'G'B' and back, in torch, on whatever device the planes are.

Nothing is rounded or clipped on the way: what comes back unchanged is exactly what went in.
Matrices and ranges after ITU-T H.273; chroma is sited as H.264's type 0 unless told otherwise:
level with the left one of two luma samples, half-way between two rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["Coding", "to_planes", "to_rgb"]

#: K_R and K_B by H.273's MatrixCoefficients.
_LUMA: dict[int, tuple[float, float]] = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
}
_UNKNOWN = 6
"""FFmpeg's own choice where a file does not say: what is converted both ways keeps its colours
under any matrix, so this decides only how the network sees them."""


@dataclass(frozen=True)
class Coding:
    """How the samples of planar pictures are to be read."""

    across: int
    """Luma samples per chroma sample in a row: 1 or 2."""
    down: int
    """Luma rows per chroma row: 1 or 2."""
    matrix: int = 2
    """H.273 MatrixCoefficients; 2 is unspecified."""
    full_range: bool = False
    centred_across: bool = False
    """Chroma lies half-way between its two luma samples in a row (JPEG, MPEG-1)."""
    centred_down: bool = True
    """Chroma lies half-way between its two luma rows."""

    def matrix_to_codes(self) -> tuple[Tensor, Tensor]:
        """(3, 3) and (3, 1): R'G'B' in 0…1 to code values, before rounding; float64."""
        red, blue = _LUMA.get(self.matrix, _LUMA[_UNKNOWN])
        luma = torch.tensor([red, 1 - red - blue, blue], dtype=torch.float64)
        unit = torch.eye(3, dtype=torch.float64)
        rows = [luma, (unit[2] - luma) / (2 * (1 - blue)), (unit[0] - luma) / (2 * (1 - red))]
        gain = [255, 255, 255] if self.full_range else [219, 224, 224]
        offset = [0, 128, 128] if self.full_range else [16, 128, 128]
        scale = torch.tensor(gain, dtype=torch.float64)[:, None]
        return torch.stack(rows) * scale, torch.tensor(offset, dtype=torch.float64)[:, None]


def to_rgb(planes: Sequence[Tensor], coding: Coding) -> Tensor:
    """Three uint8 planes → (3, height, width) float32, 0…1 inside R'G'B's gamut."""
    luma = planes[0]
    height, width = luma.shape
    codes = torch.empty((3, height, width), dtype=torch.float32, device=luma.device)
    codes[0] = luma
    for i in (1, 2):
        chroma = planes[i].float()
        if coding.down == 2:
            chroma = _double(chroma.T, centred=coding.centred_down).T[:height]
        if coding.across == 2:
            chroma = _double(chroma, centred=coding.centred_across)[:, :width]
        codes[i] = chroma
    back, bias = _matrices(coding, luma.device)[1]
    return torch.addmm(bias, back, codes.view(3, -1)).view(codes.shape)


def to_planes(rgb: Tensor, coding: Coding) -> list[Tensor]:
    """(3, height, width) float32 → three uint8 planes, rounded to the nearest code."""
    forward, offset = _matrices(coding, rgb.device)[0]
    codes = torch.addmm(offset, forward, rgb.reshape(3, -1)).view(rgb.shape)
    planes = [codes[0]]
    for chroma in codes[1:]:
        if coding.down == 2:
            chroma = _halve(chroma.T, centred=coding.centred_down).T
        if coding.across == 2:
            chroma = _halve(chroma, centred=coding.centred_across)
        planes.append(chroma)
    return [plane.round_().clamp_(0, 255).to(torch.uint8).contiguous() for plane in planes]


@lru_cache(maxsize=16)
def _matrices(
    coding: Coding, device: torch.device
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """To codes and back, on the device: a copy to a GPU for every frame would wait for it."""
    forward, offset = coding.matrix_to_codes()
    back = torch.linalg.inv(forward)
    with torch.inference_mode(False):
        there, here = (
            tuple(t.to(device, torch.float32).clone() for t in pair)
            for pair in ((forward, offset), (back, -(back @ offset)))
        )
    return (there[0], there[1]), (here[0], here[1])


def _double(x: Tensor, *, centred: bool) -> Tensor:
    """Twice as many samples along the last side, by linear interpolation."""
    right = torch.cat((x[..., 1:], x[..., -1:]), -1)
    if centred:
        left = torch.cat((x[..., :1], x[..., :-1]), -1)
        pair = (0.75 * x + 0.25 * left, 0.75 * x + 0.25 * right)
    else:
        pair = (x, 0.5 * (x + right))
    return torch.stack(pair, -1).flatten(-2)


def _halve(x: Tensor, *, centred: bool) -> Tensor:
    """Half as many samples along the last side, low-passed; an odd last one is repeated."""
    if x.shape[-1] % 2:
        x = torch.cat((x, x[..., -1:]), -1)
    even, odd = x[..., ::2], x[..., 1::2]
    if centred:
        return (even + odd).mul_(0.5)
    before = torch.cat((even[..., :1], odd[..., :-1]), -1)
    return (before + odd).mul_(0.25).add_(even, alpha=0.5)
