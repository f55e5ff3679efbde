"""What a model is, as far as planning needs it: shape, reach, arithmetic and memory, without torch.

The two architectures are those of Real-ESRGAN (Wang et al., 2021): RRDBNet, from ESRGAN, and
SRVGGNetCompact, a plain stack of convolutions with the residual added to the enlarged input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Shape"]

#: How far, in pixels, a sample of an RRDBNet is reckoned to feel its surroundings. The theoretical
#: reach of 23 blocks is 349 pixels, but every dense block adds only a fifth of what it computes:
#: with lively random weights a halo of 8 is off by 0.1 code values at the seam, 16 by none.
RRDB_HALO = 24


@dataclass(frozen=True)
class Shape:
    """The numbers that make a network of its architecture."""

    architecture: Literal["srvgg", "rrdb"]
    scale: int
    """How many times the result is larger, each way."""
    features: int
    """Channels between the layers."""
    blocks: int
    """Convolutions between the first and the last (srvgg), or dense blocks in threes (rrdb)."""
    growth: int = 0
    """Channels that each layer of a dense block adds (rrdb only)."""

    @property
    def multiple(self) -> int:
        """Pictures are padded to a multiple of so many pixels, as `RealESRGANer` does it."""
        return {1: 4, 2: 2}.get(self.scale, 1)

    @property
    def unshuffle(self) -> int:
        """Pixels per side that RRDBNet folds into channels first, so that all of it works at ×4."""
        return self.multiple if self.architecture == "rrdb" else 1

    @property
    def reach(self) -> int:
        """How far, in pixels of the input, a sample of the result can depend on others."""
        if self.architecture == "srvgg":
            return self.blocks + 2
        # The first convolution, 15 in each block, one after them, and four in the enlarged
        # picture, which together see less than two pixels.
        return (1 + 15 * self.blocks + 1 + 2) * self.unshuffle

    @property
    def halo(self) -> int:
        """Pixels around a tile that keep its seams within one part in 255."""
        return self.reach if self.architecture == "srvgg" else min(self.reach, RRDB_HALO)

    @property
    def weights(self) -> int:
        """The number of weights, biases included."""
        f, g = self.features, self.growth
        if self.architecture == "srvgg":
            last = 3 * self.scale**2
            inner = self.blocks * (_conv(f, f) + f)
            return _conv(3, f) + f + inner + _conv(f, last)
        dense = sum(_conv(f + i * g, g) for i in range(4)) + _conv(f + 4 * g, f)
        first = _conv(3 * self.unshuffle**2, f)
        return first + 3 * self.blocks * dense + 4 * _conv(f, f) + _conv(f, 3)

    @property
    def live_values(self) -> int:
        """The most values per pixel of the input that are alive at once inside the network.

        A layer's input and output with the network's own input; for RRDBNet, those of the second
        enlargement (16 values of each channel per folded pixel) with what it enlarges.
        """
        f = self.features
        if self.architecture == "srvgg":
            return 3 + f + max(f, 3 * self.scale**2)
        folded = self.unshuffle**2
        dense = 4 * f + 2 * (f + 4 * self.growth)
        return 3 * (1 + (folded > 1)) + -(-max(36 * f, dense) // folded)


def _conv(inputs: int, outputs: int) -> int:
    return 9 * inputs * outputs + outputs
