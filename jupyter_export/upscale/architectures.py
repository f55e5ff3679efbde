"""RRDBNet and SRVGGNetCompact in torch, with the names of the published state dicts.

After Real-ESRGAN and BasicSR (BSD-3-Clause; Apache-2.0): the layers' names and order are theirs,
so that their weight files load.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ModelUnusable
from .shape import Shape

__all__ = ["RRDBNet", "SRVGGNetCompact", "build", "detect"]


class SRVGGNetCompact(nn.Module):
    """A stack of convolutions; what it gives is to be added to the enlarged input.

    Unlike the published module, this one leaves the addition to its caller, who has the input in
    full precision.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.scale = shape.scale
        f = shape.features
        layers: list[nn.Module] = [_conv(3, f), nn.PReLU(f)]
        for _ in range(shape.blocks):
            layers += [_conv(f, f), nn.PReLU(f)]
        layers.append(_conv(f, 3 * shape.scale**2))
        self.body = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) in 0…1 → (n, 3, h·scale, w·scale), to add to `x` repeated pixel by pixel."""
        for layer in self.body:
            x = layer(x)
        return functional.pixel_shuffle(x, self.scale)


class _DenseBlock(nn.Module):
    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = _conv(features, growth)
        self.conv2 = _conv(features + growth, growth)
        self.conv3 = _conv(features + 2 * growth, growth)
        self.conv4 = _conv(features + 3 * growth, growth)
        self.conv5 = _conv(features + 4 * growth, features)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat((seen, _leaky(conv(seen))), 1)
        return torch.add(x, self.conv5(seen), alpha=0.2)


class _RRDB(nn.Module):
    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = _DenseBlock(features, growth)
        self.rdb2 = _DenseBlock(features, growth)
        self.rdb3 = _DenseBlock(features, growth)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=0.2)


class RRDBNet(nn.Module):
    """Residual-in-residual dense blocks, then ×4; for ×2 and ×1 the input is folded first."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.unshuffle = shape.unshuffle
        f = shape.features
        self.conv_first = _conv(3 * shape.unshuffle**2, f)
        self.body = nn.Sequential(*(_RRDB(f, shape.growth) for _ in range(shape.blocks)))
        self.conv_body = _conv(f, f)
        self.conv_up1 = _conv(f, f)
        self.conv_up2 = _conv(f, f)
        self.conv_hr = _conv(f, f)
        self.conv_last = _conv(f, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) in 0…1 → (n, 3, h·scale, w·scale); h and w are multiples of `unshuffle`."""
        if self.unshuffle > 1:
            x = functional.pixel_unshuffle(x, self.unshuffle)
        x = self.conv_first(x)
        x = x + self.conv_body(self.body(x))
        x = _leaky(self.conv_up1(functional.interpolate(x, scale_factor=2, mode="nearest")))
        x = _leaky(self.conv_up2(functional.interpolate(x, scale_factor=2, mode="nearest")))
        x = _leaky(self.conv_hr(x))
        # Rounded in 8 bits of mantissa (bfloat16) the brightest half would lose a bit.
        if x.dtype is torch.bfloat16:
            weight, bias = self.conv_last.weight, self.conv_last.bias
            assert bias is not None
            return functional.conv2d(x.float(), weight.float(), bias.float(), padding=1)
        last: Tensor = self.conv_last(x)
        return last


def detect(state: Mapping[str, Tensor]) -> Shape:
    """The shape of the network that a state dict belongs to, from its names and sizes.

    Raises:
        ModelUnusable: it is neither of the two architectures.
    """
    try:
        shape = _srvgg(state) if "body.0.weight" in state else _rrdb(state)
        if not (1 <= shape.scale <= 8 and shape.blocks <= len(state)):
            raise ValueError(shape)
        with torch.device("meta"):
            expected = {name: tuple(t.shape) for name, t in _module(shape).state_dict().items()}
    except (KeyError, ValueError, RuntimeError):
        expected = {}
    if {name: tuple(tensor.shape) for name, tensor in state.items()} != expected or not expected:
        raise ModelUnusable(
            "It holds weights of another architecture than RRDBNet and SRVGGNetCompact.",
            "Use a model made for Real-ESRGAN.",
        )
    return shape


def build(shape: Shape, state: Mapping[str, Tensor]) -> SRVGGNetCompact | RRDBNet:
    """The network of `shape` with the weights of `state`, for inference, in float32."""
    with torch.device("meta"):
        module = _module(shape)
    module.load_state_dict({k: t.float() for k, t in state.items()}, strict=True, assign=True)
    return module.eval().requires_grad_(False)


def _module(shape: Shape) -> SRVGGNetCompact | RRDBNet:
    return SRVGGNetCompact(shape) if shape.architecture == "srvgg" else RRDBNet(shape)


def _srvgg(state: Mapping[str, Tensor]) -> Shape:
    indices = sorted(int(n.split(".")[1]) for n in state if n.startswith("body."))
    last = state[f"body.{indices[-1]}.weight"].shape[0]
    scale = round((last / 3) ** 0.5)
    features = state["body.0.weight"].shape[0]
    return Shape("srvgg", scale, features, blocks=indices[-1] // 2 - 1)


def _rrdb(state: Mapping[str, Tensor]) -> Shape:
    first = state["conv_first.weight"]
    blocks = 1 + max(int(n.split(".")[1]) for n in state if n.startswith("body."))
    scale = {3: 4, 12: 2, 48: 1}[first.shape[1]]
    growth = state["body.0.rdb1.conv1.weight"].shape[0]
    return Shape("rrdb", scale, first.shape[0], blocks, growth)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, 1, 1)


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.2, inplace=True)
