"""Read weight files: tensors only, of a known hash, of a known architecture.

A file is read once into memory; what was hashed is what is parsed. torch parses ``.pth`` with
``weights_only=True``, which runs no code of the file.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ModelUnusable
from .architectures import detect
from .catalogue import check_published
from .shape import Shape

__all__ = ["load", "mix", "shape_of"]

#: The names under which training scripts keep the weights, best first.
_KEYS = ("params_ema", "params")
_MAX_BYTES = 2**30


def load(path: Path, sha256: str | None = None) -> tuple[Shape, dict[str, Tensor]]:
    """The network's shape and its weights, in float32 on the CPU.

    Raises:
        ModelUnusable: the file is damaged, is no weights file, belongs to another architecture,
            or its hash is not `sha256` or not that of the published model of its name.
    """
    data = _read(path)
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise ModelUnusable(
            f"The model file {path.name!r} was changed while an export was using it.",
            "Retry: the export is planned again.",
        )
    check_published(path.stem, found)
    state = _parse(path, data)
    try:
        shape = detect(state)
    except ModelUnusable as error:
        raise ModelUnusable(f"{path.name!r}: {error.detail}", error.advice) from None
    return shape, {name: tensor.float() for name, tensor in state.items()}


@lru_cache(maxsize=32)
def shape_of(path: Path, sha256: str) -> Shape:
    """The shape of the network in a file whose hash is known.

    Raises:
        ModelUnusable: as `load`.
    """
    return load(path, sha256)[0]


def mix(one: Mapping[str, Tensor], other: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """``share · one + (1 − share) · other``, weight by weight (deep network interpolation).

    Wang et al., "Deep Network Interpolation for Continuous Imagery Effect Transition", 2019.
    """
    return {name: torch.lerp(other[name], weight, share) for name, weight in one.items()}


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ModelUnusable(
                f"{path.name!r} is too large for a model of Real-ESRGAN.", "Use another file."
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelUnusable(
            f"The model file {path.name!r} cannot be read: {error.strerror}.",
            "Check that it is there, and its permissions.",
        ) from None


def _parse(path: Path, data: bytes) -> dict[str, Tensor]:
    if data[:512].lstrip()[:1] == b"<":
        raise ModelUnusable(
            f"{path.name!r} is a web page, not a model.", "Download the file itself again."
        )
    try:
        if path.suffix == ".safetensors":
            value: object = _safetensors(path, data)
        else:
            value = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except ModelUnusable:
        raise
    except pickle.UnpicklingError:
        raise ModelUnusable(
            f"{path.name!r} holds more than weights, or none; nothing in it was run.",
            "Get the model from a source that you trust.",
        ) from None
    except Exception as error:  # whatever a parser makes of bytes that are no weights
        raise ModelUnusable(
            f"{path.name!r} is damaged or incomplete ({type(error).__name__}).",
            "Download it again.",
        ) from None
    if isinstance(value, dict):
        for key in _KEYS:
            if isinstance(value.get(key), dict):
                value = value[key]
                break
    if not isinstance(value, dict) or not value:
        raise ModelUnusable(f"{path.name!r} holds no weights.", "Use another file.")
    for tensor in value.values():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise ModelUnusable(f"{path.name!r} holds more than weights.", "Use another file.")
    return value


def _safetensors(path: Path, data: bytes) -> dict[str, Tensor]:
    """Parsed by the package of that name, which only files of that kind need."""
    try:
        from safetensors.torch import load as parse
    except ImportError:
        raise ModelUnusable(
            f"{path.name!r} is a file of safetensors, a package that is not installed.",
            "Run `pip install safetensors`.",
        ) from None
    return parse(data)
