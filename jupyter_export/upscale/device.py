"""Which device upscaling uses, and which number format is fast *and* right on it."""

from __future__ import annotations

import platform

import torch

from ..errors import UpscaleUnavailable

__all__ = ["choose_device", "choose_format", "is_out_of_memory", "open_device"]


def choose_device(*, force_cpu: bool = False) -> str:
    """``cuda`` or ``cpu``; makes no CUDA context."""
    return "cuda" if not force_cpu and torch.cuda.is_available() else "cpu"


def open_device(kind: str) -> torch.device:
    """The device of a kind that `choose_device` gave, perhaps in another process.

    Raises:
        UpscaleUnavailable: the GPU is gone.
    """
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise UpscaleUnavailable(
                "The export was planned for a GPU, which cannot be used any more.",
                "Retry: it is planned again for what is there.",
            )
        # Shapes are fixed, so it pays to let cuDNN try its algorithms once for each.
        torch.backends.cudnn.benchmark = True
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def choose_format(device: torch.device) -> torch.dtype:
    """The fastest number format that the device computes natively.

    CUDA: float16 from compute capability 7.0 on, and on 6.0 and 6.2; on 6.1 it runs at 1/64 of
    the rate of float32 (CUDA C++ Programming Guide, "Arithmetic Instructions"). CPU: bfloat16
    with AVX512-BF16 or AMX; elsewhere it is emulated and slower than float32.
    """
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        half = capability >= (7, 0) or capability in {(6, 0), (6, 2)}
        return torch.float16 if half else torch.float32
    return torch.bfloat16 if native_bfloat16() else torch.float32


def native_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself, as far as torch can tell."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return False
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in tests)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch could not get memory, on a GPU or from the system."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The CPU's allocator raises a bare RuntimeError.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
