"""How much GPU memory upscaling takes: a pure function of model and picture, without torch."""

from __future__ import annotations

from dataclasses import dataclass

from .shape import Shape
from .tiles import MIN_TILE, Layout, choose, window_area

__all__ = ["CONTEXT_MIB", "Estimate", "estimate"]

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


def levers(
    shape: Shape, width: int, height: int, size: tuple[int, int] | None, free_mib: int
) -> list[str]:
    """What a user can change when `free_mib` is too little, each with what it would need then."""
    found = []
    smallest = least(shape, width, height, size).total
    if smallest <= free_mib:
        found.append(f"cut the picture into smaller tiles (upscale_memory), from {smallest} MiB")
    half = least(shape, width // 2, height // 2, None)
    if half.total <= free_mib:
        found.append(f"crop or scale to {width // 2}×{height // 2} first, from {half.total} MiB")
    if shape.architecture == "rrdb":
        light = Shape("srvgg", 4, 64, 32)
        need = least(light, width, height, size).total
        if need <= free_mib:
            found.append(f"use a realesr model, from {need} MiB")
    found.append("use the CPU (force_cpu)")
    return found


def _mib(size: float) -> int:
    return -int(-size // _MIB)
