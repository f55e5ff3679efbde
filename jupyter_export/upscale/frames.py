"""Enlarge the frames of a video: planes of 8 bits in, planes of 8 bits and the wanted size out.

Between the two copies everything happens on the device: colour, network, final resize. On a GPU
the copies go through pinned memory in a stream of their own, so that the next frame is copied in
and the last one out while this one is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import OutOfMemory
from .colour import Coding, to_planes, to_rgb
from .device import free_memory, is_out_of_memory

__all__ = ["Frames", "Pending"]

Planes = list[NDArray[np.uint8]]


class Pending:
    """A frame that is being made."""

    def __init__(self, planes: Sequence[Tensor], ready: Any | None) -> None:
        self._planes = planes
        self._ready = ready

    def planes(self) -> Planes:
        """The finished planes, as soon as they are; valid until the frame after next begins."""
        if self._ready is not None:
            self._ready.synchronize()
        return [plane.numpy() for plane in self._planes]


class Frames:
    """Enlarges frames of one coding to one size. Not thread-safe."""

    def __init__(
        self,
        upscale: Callable[[Tensor], Tensor],
        device: torch.device,
        size: tuple[int, int],
        coding: Coding,
    ) -> None:
        """`upscale` takes and gives R'G'B' as `Engine` does; `size` is (width, height)."""
        self._upscale = upscale
        self._device = device
        self._size = size
        self._coding = coding
        self._pipe = _Pipe(device) if device.type == "cuda" else None
        self._last: tuple[Planes, Pending] | None = None

    def start(self, planes: Planes) -> Pending:
        """Begin with a frame. One that equals the frame before gets the same result.

        Raises:
            OutOfMemory: it does not fit, however it is cut.
        """
        if self._last is not None and all(map(np.array_equal, planes, self._last[0])):
            return self._last[1]
        try:
            if self._pipe is None:
                pending = Pending(self._make([torch.from_numpy(p) for p in planes]), None)
            else:
                pending = self._pipe.run(planes, self._make)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(
                f"There is no memory for a picture of {self._size[0]}×{self._size[1]}.",
                "Upscale to a smaller size, end what else uses the memory, or set force_cpu.",
            ) from None
        self._last = [plane.copy() for plane in planes], pending
        return pending

    @torch.inference_mode()
    def _make(self, planes: Sequence[Tensor]) -> list[Tensor]:
        try:
            return self._enlarged(planes)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # The network cuts its work; colours and resize need the whole picture, which may fit into
        # what the allocator has kept in pieces.
        free_memory(self._device)
        return self._enlarged(planes)

    def _enlarged(self, planes: Sequence[Tensor]) -> list[Tensor]:
        rgb = self._upscale(to_rgb(planes, self._coding))
        width, height = self._size
        if rgb.shape[1:] != (height, width):
            rgb = resize(rgb, width, height)
        return to_planes(rgb, self._coding)


def resize(rgb: Tensor, width: int, height: int) -> Tensor:
    """(3, h, w) → (3, height, width), bicubic, low-passed where it shrinks."""
    shrinks = width < rgb.shape[2] or height < rgb.shape[1]
    return functional.interpolate(
        rgb[None], (height, width), mode="bicubic", align_corners=False, antialias=shrinks
    )[0]


class _Pipe:
    """Copies frames to a GPU and back beside its work; two frames are under way at most."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._results = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._staging: list[tuple[list[Tensor], Any]] = []
        self._outputs: list[list[Tensor]] = []
        self._turn = 0

    def run(self, planes: Planes, make: Callable[[Sequence[Tensor]], Sequence[Tensor]]) -> Pending:
        """Start the copy in, `make`, and the copy out; returns before they are done."""
        compute = torch.cuda.current_stream(self._device)
        slot = self._turn % 2
        self._turn += 1
        if len(self._staging) <= slot:
            self._staging.append(
                ([torch.empty(p.shape, dtype=torch.uint8, pin_memory=True) for p in planes], None)
            )
        pinned, copied = self._staging[slot]
        if copied is not None:
            copied.synchronize()  # the copy in of the frame before last has read this memory
        for target, source in zip(pinned, planes, strict=True):
            target.numpy()[:] = source
        with torch.cuda.stream(self._copies):
            inputs = [p.to(self._device, non_blocking=True) for p in pinned]
            copied = self._copies.record_event()
        self._staging[slot] = pinned, copied
        compute.wait_event(copied)
        for tensor in inputs:
            tensor.record_stream(compute)
        results = make(inputs)
        made = compute.record_event()
        if len(self._outputs) <= slot:
            self._outputs.append(
                [torch.empty(r.shape, dtype=torch.uint8, pin_memory=True) for r in results]
            )
        outputs = self._outputs[slot]
        with torch.cuda.stream(self._results):
            self._results.wait_event(made)
            for out, result in zip(outputs, results, strict=True):
                result.record_stream(self._results)
                out.copy_(result, non_blocking=True)
            return Pending(outputs, self._results.record_event())
