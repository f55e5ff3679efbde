"""Small models with random weights, and pictures for them."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from jupyter_export.upscale.architectures import RRDBNet, SRVGGNetCompact
from jupyter_export.upscale.shape import Shape

# Threads that wait for each other make small work slow where other tests run beside.
torch.set_num_threads(1)
ONE_THREAD = {"JUPYTER_EXPORT_SEGMENT_WORKERS": str(os.cpu_count())}

CPU = torch.device("cpu")
needs_realesrgan = pytest.mark.skipif(
    sys.version_info >= (3, 13) and find_spec("basicsr") is None,
    reason="basicsr does not build on Python 3.13",
)
SMALL = {
    "srvgg x4": Shape("srvgg", 4, 24, 3),
    "srvgg x2": Shape("srvgg", 2, 16, 2),
    "rrdb x4": Shape("rrdb", 4, 16, 1, 8),
    "rrdb x2": Shape("rrdb", 2, 16, 1, 8),
    "rrdb x1": Shape("rrdb", 1, 16, 1, 8),
}
"""One of each architecture and scale."""


def weights(shape: Shape, seed: int = 0, *, zero_last: bool = False) -> dict[str, torch.Tensor]:
    """Random weights that change a picture visibly, and show every seam."""
    generator = torch.Generator().manual_seed(seed)
    network = SRVGGNetCompact(shape) if shape.architecture == "srvgg" else RRDBNet(shape)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(
                layer.weight, a=0.2, nonlinearity="leaky_relu", generator=generator
            )
            nn.init.zeros_(layer.bias)
    last = network.body[-1] if shape.architecture == "srvgg" else network.conv_last
    with torch.no_grad():
        last.weight.mul_(0.0 if zero_last else 0.1)
        if shape.architecture == "rrdb":
            last.bias.fill_(0.5)
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def save(path: Path, shape: Shape, seed: int = 0, *, zero_last: bool = False) -> Path:
    """A weight file as the published ones are."""
    torch.save({"params_ema": weights(shape, seed, zero_last=zero_last)}, path)
    return path


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(height, width, 3) uint8: noise, on which nothing can hide."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """(h, w, 3) uint8 → (3, h, w) float32 in 0…1."""
    return torch.from_numpy(image).permute(2, 0, 1).float().div(255)


def to_image(rgb: torch.Tensor) -> np.ndarray:
    """(3, h, w) in 0…1 → (h, w, 3) as int, to subtract."""
    return rgb.clamp(0, 1).mul(255).round().permute(1, 2, 0).numpy().astype(int)
