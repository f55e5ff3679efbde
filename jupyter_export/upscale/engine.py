"""Enlarge pictures tile by tile with one network, in bounded memory.

The network runs in the device's fast number format; what its result is added to, and the sum,
stay in float32, so that a reduced format costs less than a code value.
"""

from __future__ import annotations

import copy
import itertools
import logging
import threading
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import OutOfMemory
from .architectures import build
from .device import choose_format, free_memory, is_out_of_memory
from .replay import Replay
from .shape import Shape
from .tiles import MIN_TILE, Layout, Span, choose, spans

__all__ = ["DEFAULT_BUDGET", "Engine", "Runtime"]

_log = logging.getLogger(__name__)

#: What runs a network, which is in float32, in a number format; None: torch does.
Runtime = Callable[[nn.Module, torch.dtype], Callable[[Tensor], Tensor]]

#: Bytes for the values inside the network that a picture is cut to fit.
DEFAULT_BUDGET = 2 * 2**30
#: Pixels a side of the picture on which a reduced format is tried, and the mean error, as a part
#: of the full range, up to which it is trusted.
_SAMPLE = 32
_TRUSTED = 0.5 / 255


class Engine:
    """One network on one device. Pictures of any size, one at a time: threads wait in line."""

    def __init__(
        self,
        shape: Shape,
        state: Mapping[str, Tensor],
        device: torch.device,
        *,
        dtype: torch.dtype | None = None,
        budget: int = DEFAULT_BUDGET,
        layout: Layout | None = None,
        check: Callable[[], None] | None = None,
        replay_after: int | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        """`dtype` and `layout` are chosen by device and budget unless given.

        `check` is called before every layer; what it raises ends the work. On a GPU, from picture
        number `replay_after` on, the network is recorded and replayed, which changes no bit. With
        a `runtime`, which torch is not, there is neither: `check` is called before every batch.

        Raises:
            OutOfMemory: not even the weights fit.
        """
        self.shape = shape
        self.device = device
        self.budget = budget
        self._check = check
        self._replay_after = None if runtime else replay_after
        self._pictures = 0
        self._lock = threading.Lock()
        self._given = layout
        self._layouts: dict[tuple[int, int], Layout] = {}
        try:
            exact = build(shape, state).to(device)
            exact = exact.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            network, self.dtype = _trusted(exact, device, dtype, runtime or _torch)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise _too_large(shape) from None
        self._network: Callable[[Tensor], Tensor] = network
        self._replay: Replay | None = None
        if check is not None and isinstance(network, nn.Module):
            for part in network.modules():
                if isinstance(part, nn.Conv2d):
                    part.register_forward_pre_hook(lambda *_: check())

    def layout(self, width: int, height: int) -> Layout:
        """How pictures of this size are cut, after all that memory has taught so far."""
        found = self._layouts.get((width, height))
        if found is None:
            found = self._given or choose(
                self.shape, width, height, self.dtype.itemsize, self.budget
            )
            self._layouts[width, height] = found
        return found

    @torch.inference_mode()
    def __call__(self, rgb: Tensor) -> Tensor:
        """(3, height, width) float32 in 0…1 → (3, height·scale, width·scale) float32.

        The result leaves 0…1 only as far as `rgb` does. Where memory runs out, the whole picture
        is made again in smaller parts, and so are all later ones.

        Raises:
            OutOfMemory: it does not fit in the smallest parts either.
        """
        with self._lock:
            self._pictures += 1
            if self._pictures == self._replay_after:
                assert isinstance(self._network, nn.Module)
                self._replay = Replay(self._network)
            return self._enlarged(rgb)

    def _enlarged(self, rgb: Tensor) -> Tensor:
        _, height, width = rgb.shape
        while True:
            layout = self.layout(width, height)
            try:
                return self._attempt(rgb, layout)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Out of the except block first: its traceback keeps the attempt's tensors alive.
            self._make_room(layout, width, height)

    def _make_room(self, layout: Layout, width: int, height: int) -> None:
        # Recordings hold memory of their own, and there is none to spare from now on.
        self._replay = self._replay_after = None
        free_memory(self.device)
        smaller = layout.smaller(width, height)
        if smaller is None:
            raise _too_large(self.shape)
        _log.warning(
            "action=shrink tile=%d batch=%d: out of memory on %s",
            smaller.tile,
            smaller.batch,
            self.device,
        )
        self._layouts[width, height] = smaller

    def _attempt(self, rgb: Tensor, layout: Layout) -> Tensor:
        scale, multiple = self.shape.scale, self.shape.multiple
        _, height, width = rgb.shape
        source = _padded(rgb.clamp(0, 1), multiple)
        down = spans(source.shape[1], layout.tile, self.shape.halo, multiple)
        across = spans(source.shape[2], layout.tile, self.shape.halo, multiple)
        result = torch.empty(
            (3, source.shape[1] * scale, source.shape[2] * scale), device=rgb.device
        )
        windows = list(itertools.product(down, across))
        for i in range(0, len(windows), layout.batch):
            if self._check is not None:
                self._check()
            # The last batch is filled up: every call of the network is of one shape.
            part = windows[max(0, min(i, len(windows) - layout.batch)) :][: layout.batch]
            self._enlarge(source, part, result)
        result = result[:, : height * scale, : width * scale]
        if self.shape.architecture == "srvgg":
            return _onto(rgb, result, scale)
        return result.clamp_(0, 1)

    def _enlarge(self, source: Tensor, windows: list[tuple[Span, Span]], result: Tensor) -> None:
        scale = self.shape.scale
        views = [source[:, y.start : y.stop, x.start : x.stop] for y, x in windows]
        batch = torch.stack(views).to(self.dtype, memory_format=torch.channels_last)
        for (y, x), tile in zip(windows, self._infer(batch), strict=True):
            core = tile[
                :,
                (y.first - y.start) * scale : (y.last - y.start) * scale,
                (x.first - x.start) * scale : (x.last - x.start) * scale,
            ]
            result[:, y.first * scale : y.last * scale, x.first * scale : x.last * scale] = core

    def _infer(self, batch: Tensor) -> Tensor:
        if self._replay is not None:
            try:
                return self._replay(batch)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                reason = str(error).split("\n")[0]
            # A driver or a library that cannot record: slower, but the picture comes.
            _log.warning("action=no-replay: CUDA graphs do not work here: %s", reason)
            self._replay = None
        return self._network(batch)


def _torch(exact: nn.Module, dtype: torch.dtype) -> nn.Module:
    return exact if dtype is torch.float32 else copy.deepcopy(exact).to(dtype)


def _trusted(
    exact: nn.Module, device: torch.device, dtype: torch.dtype | None, runtime: Runtime
) -> tuple[Callable[[Tensor], Tensor], torch.dtype]:
    """The network in `dtype`, or in the device's fast format if its results can be trusted."""
    wanted = dtype or choose_format(device)
    reduced = runtime(exact, wanted)
    if dtype is not None or wanted is torch.float32:
        return reduced, wanted
    sample = torch.rand((1, 3, _SAMPLE, _SAMPLE), generator=torch.Generator().manual_seed(0))
    sample = sample.to(device, memory_format=torch.channels_last)
    with torch.inference_mode():
        error = (reduced(sample.to(wanted)).float() - exact(sample)).abs().mean().item()
    # Some devices have a format and give NaN, some weights overflow it.
    if error < _TRUSTED:
        return reduced, wanted
    _log.warning("action=float32: %s is off by %.3g on %s", wanted, error, device)
    return runtime(exact, torch.float32), torch.float32


def _padded(x: Tensor, multiple: int) -> Tensor:
    """`x` with its lower and right edge mirrored until its sides are multiples."""
    down, across = -x.shape[1] % multiple, -x.shape[2] % multiple
    if not (down or across):
        return x
    mode = "reflect" if down < x.shape[1] and across < x.shape[2] else "replicate"
    return functional.pad(x[None], (0, across, 0, down), mode=mode)[0]


def _onto(rgb: Tensor, residual: Tensor, scale: int) -> Tensor:
    """`residual`, changed in place into its sum with the enlarged `rgb`."""
    channels, height, width = rgb.shape
    base = rgb[:, :, None, :, None]
    fine = residual.view(channels, height, scale, width, scale)
    fine += base
    # What lies outside R'G'B's gamut in the source may stay there, and goes no further.
    torch.clamp(fine, base.clamp(max=0), base.clamp(min=1), out=fine)
    return residual


def _too_large(shape: Shape) -> OutOfMemory:
    return OutOfMemory(
        f"The {shape.architecture} model does not fit into memory, not even in tiles of "
        f"{MIN_TILE} pixels one by one.",
        "Use a smaller model, crop first, end what else uses the memory, or set force_cpu.",
    )
