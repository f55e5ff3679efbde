"""How much GPU memory upscaling takes: a pure function of model and picture, without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .shape import Shape
from .tiles import MIN_TILE, Layout, choose, window_area

__all__ = ["CONTEXT_MIB", "Change", "Estimate", "estimate", "least", "levers"]

CONTEXT_MIB = 500
"""What a CUDA context and the libraries' workspaces take; differs by GPU and driver."""

#: Above the values that are alive: allocator's rounding, workspaces of the convolutions.
_SLACK = 1.3
#: Bytes per pixel of a picture in R'G'B', and of what making planes of it takes beside it.
_RGB_BYTES, _CODES_BYTES = 12, 20
_MIB = 2**20


@dataclass(frozen=True)
class Estimate:
    """Peak GPU memory in MiB, and where it goes."""

    context: int
    weights: int
    network: int
    """Values inside the network, for all tiles of a batch."""
    pictures: int
    """The enlarged picture and what is made of it."""
    layout: Layout

    @property
    def total(self) -> int:
        """All of it."""
        return self.context + self.weights + self.network + self.pictures


@dataclass(frozen=True)
class Change:
    """What is upscaled, by what, to what size."""

    shape: Shape
    width: int
    height: int
    size: tuple[int, int]

    @property
    def pixels(self) -> int:
        """Of the result."""
        return self.size[0] * self.size[1]

    @property
    def least_mib(self) -> int:
        """The least GPU memory that it can do with."""
        return least(self.shape, self.width, self.height, self.size).total


def estimate(
    shape: Shape,
    width: int,
    height: int,
    size: tuple[int, int] | None = None,
    *,
    value_bytes: int = 2,
    budget: int = 2 * 2**30,
    layout: Layout | None = None,
    context: int = CONTEXT_MIB,
) -> Estimate:
    """The peak for pictures of ``width × height`` that become `size` (else ``scale`` times it).

    `value_bytes` is 2 for float16 and bfloat16, 4 for float32; `context` can be a measured one.
    """
    layout = layout or choose(shape, width, height, value_bytes, budget)
    area, _ = window_area(shape, width, height, layout.tile)
    network = _SLACK * shape.live_values * value_bytes * area * layout.batch
    large = width * height * shape.scale**2
    result = size[0] * size[1] if size else large
    pictures = result * (_RGB_BYTES + _CODES_BYTES)
    if size is not None and size != (width * shape.scale, height * shape.scale):
        between = size[0] * height * shape.scale  # it is resized along one side first
        pictures = max(pictures, (large + between + result) * _RGB_BYTES)
    return Estimate(
        context,
        _mib(shape.weights * value_bytes),
        _mib(network),
        _mib(pictures),
        layout,
    )


def least(shape: Shape, width: int, height: int, size: tuple[int, int] | None = None) -> Estimate:
    """The least that upscaling can do with: the smallest tiles, one at a time."""
    return estimate(shape, width, height, size, layout=Layout(MIN_TILE, 1))


def levers(wanted: Change, light: Change, model: str) -> Iterator[tuple[str, int]]:
    """What a user can change where `wanted` is too much, each with the least MiB then.

    `light` is the same with the lighter network of the name `model`. What asks for the smallest
    change comes first; what changes nothing is left out.
    """
    heavy = wanted.shape.architecture != light.shape.architecture
    double = replace(wanted, size=(2 * wanted.width, 2 * wanted.height))
    smaller = double.pixels < wanted.pixels
    if smaller:
        yield "scale 2", double.least_mib
    if heavy:
        yield f"model {model}", light.least_mib
    if smaller and heavy:
        both = replace(light, size=double.size)
        yield f"model {model} with scale 2", both.least_mib
    half = replace(
        wanted,
        width=wanted.width // 2,
        height=wanted.height // 2,
        size=(wanted.size[0] // 2, wanted.size[1] // 2),
    )
    if half.least_mib < wanted.least_mib:
        yield f"a crop to {half.width}×{half.height} before it", half.least_mib


def _mib(size: float) -> int:
    return -int(-size // _MIB)
