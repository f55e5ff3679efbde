"""`RealESRGANer` itself, from the packages `realesrgan` and `basicsr`, as a backend.

It is several times slower than the engine and does not survive a full memory; it is here to
compare with, and for who wants exactly that. The packages do not import beside a current torch:
they want parts of torchvision that are gone, and load a whole training framework. What is needed
of them is imported around that, with `sys.modules` as it was afterwards; only in a worker process.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import io
import logging
import sys
import tempfile
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UpscaleUnavailable
from .catalogue import require_realesrgan
from .shape import Shape

__all__ = ["Stock", "stock_network", "stock_upsampler"]

_BARE = (
    "basicsr",
    "basicsr.archs",
    "basicsr.utils",
    "basicsr.ops",
    "realesrgan",
    "realesrgan.archs",
)


class Stock:
    """Enlarges one picture after the other with `RealESRGANer`, in float32 or float16."""

    def __init__(
        self, shape: Shape, state: Mapping[str, Tensor], device: torch.device, *, tile: int = 0
    ) -> None:
        half = device.type == "cuda"
        self._upsampler = stock_upsampler(shape, state, device, half=half, tile=tile)
        self._device = device

    def __call__(self, rgb: Tensor) -> Tensor:
        """(3, height, width) in 0…1 → (3, height·scale, width·scale), by way of 8 bits."""
        picture = rgb.clamp(0, 1).mul(255).round().to(torch.uint8)
        bgr = picture.flip(0).permute(1, 2, 0).cpu().numpy()
        with contextlib.redirect_stdout(io.StringIO()):  # it prints every tile
            result, _ = self._upsampler.enhance(np.ascontiguousarray(bgr))
        values = torch.from_numpy(np.ascontiguousarray(result)).to(self._device)
        return values.permute(2, 0, 1).flip(0).float().div_(255)


def stock_upsampler(
    shape: Shape,
    state: Mapping[str, Tensor],
    device: torch.device,
    *,
    half: bool = False,
    tile: int = 0,
    tile_pad: int = 10,
    pre_pad: int = 0,
) -> Any:
    """A `RealESRGANer` with the given weights.

    Raises:
        UpscaleUnavailable: the packages are not installed.
    """
    with _packages():
        upsampler = _import("realesrgan.utils").RealESRGANer
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.pth")
        torch.save({"params": dict(state)}, path)
        return upsampler(
            scale=shape.scale,
            model_path=str(path),
            model=stock_network(shape),
            tile=tile,
            tile_pad=tile_pad,
            pre_pad=pre_pad,
            half=half,
            device=device,
        )


def stock_network(shape: Shape) -> Any:
    """The packages' own network of this shape, with random weights."""
    with _packages():
        if shape.architecture == "srvgg":
            return _import("realesrgan.archs.srvgg_arch").SRVGGNetCompact(
                num_feat=shape.features, num_conv=shape.blocks, upscale=shape.scale
            )
        return _import("basicsr.archs.rrdbnet_arch").RRDBNet(
            3,
            3,
            scale=shape.scale,
            num_feat=shape.features,
            num_block=shape.blocks,
            num_grow_ch=shape.growth,
        )


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UpscaleUnavailable(
            f"The package realesrgan cannot be used: {error}.",
            "Install it again as the page on upscaling says, or set `upscale_backend` to engine.",
        ) from None


_kept: dict[str, types.ModuleType] = {}
"""Modules that were imported around their packages; a second import must find the same ones."""


@contextlib.contextmanager
def _packages() -> Iterator[None]:
    """The two packages without their ``__init__``s, which import all they have, and torchvision."""
    before = dict(sys.modules)
    sys.modules.update(_kept or _stubs())
    try:
        yield
    finally:
        ours = {
            name: module
            for name, module in sys.modules.items()
            if name.split(".")[0] in {"basicsr", "realesrgan", "torchvision"}
        }
        _kept.update(ours)
        for name in ours:
            del sys.modules[name]
            if name in before:
                sys.modules[name] = before[name]


def _stubs() -> dict[str, types.ModuleType]:
    require_realesrgan()
    modules: dict[str, types.ModuleType] = {}
    for name in _BARE:
        parent, _, last = name.rpartition(".")
        path = list(modules[parent].__path__) if parent else None
        spec = importlib.machinery.PathFinder.find_spec(last, path)
        if spec is None or spec.submodule_search_locations is None:
            raise UpscaleUnavailable(
                f"The package realesrgan cannot be used: {name} is missing.",
                "Install it again as the page on upscaling says, or set `upscale_backend` to "
                "engine.",
            )
        module = types.ModuleType(name)
        module.__path__ = list(spec.submodule_search_locations)
        modules[name] = module
        if parent:
            setattr(modules[parent], last, module)
    modules["basicsr.utils"].get_root_logger = (  # type: ignore[attr-defined]
        lambda *args, **kwargs: logging.getLogger("basicsr")
    )
    # Only deformable convolutions, which none of the models has, call into these.
    deformable = types.ModuleType("basicsr.ops.dcn")
    deformable.ModulatedDeformConvPack = type("ModulatedDeformConvPack", (), {})  # type: ignore[attr-defined]
    deformable.modulated_deform_conv = None  # type: ignore[attr-defined]
    torchvision = types.ModuleType("torchvision")
    torchvision.__version__ = "0"  # type: ignore[attr-defined]
    return {**modules, "basicsr.ops.dcn": deformable, "torchvision": torchvision}
