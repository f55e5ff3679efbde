"""Which device upscaling uses, and which number format is fast *and* right on it."""

from __future__ import annotations

import contextlib
import gc
import platform
import re
from collections.abc import Iterator

import torch

from ..errors import GpuFailed

__all__ = [
    "choose_device",
    "choose_format",
    "free_memory",
    "gpu_failures",
    "is_out_of_memory",
    "open_device",
]

#: How torch tells that a driver, or one of NVIDIA's libraries, gave an error.
_FAILED = re.compile(
    r"(CUDA|HIP) (driver )?error|cuDNN error|CUBLAS_STATUS|No CUDA GPUs are available"
)

#: The CPU's allocator; OpenVINO's; the driver (also for pinned memory and graphs); cuDNN, cuBLAS.
_NO_MEMORY = (
    "can't allocate memory",
    "Failed to allocate ",
    "CUDA error: out of memory",
    "HIP error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def choose_device(*, force_cpu: bool = False) -> str:
    """``cuda`` or ``cpu``; makes no CUDA context."""
    return "cuda" if not force_cpu and torch.cuda.is_available() else "cpu"


def open_device(kind: str) -> torch.device:
    """The device of a kind that `choose_device` gave, perhaps in another process.

    Raises:
        GpuFailed: the GPU is gone.
    """
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise _failed("the GPU that it was planned for is gone")
        # cuDNN's own choice of algorithm, and only of those that give the same bits every time:
        # trying them out would let a resumed export round otherwise than the attempt before.
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
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


@contextlib.contextmanager
def gpu_failures() -> Iterator[None]:
    """What torch raises inside because a GPU or its driver failed becomes a `GpuFailed`.

    After most of these the process can never use that GPU again. Running out of memory is none.
    """
    try:
        yield
    except RuntimeError as error:
        lost = getattr(torch, "AcceleratorError", ())
        if is_out_of_memory(error) or not (isinstance(error, lost) or _FAILED.search(str(error))):
            raise
        raise _failed(str(error).strip().splitlines()[0].rstrip(".")) from error


def _failed(why: str) -> GpuFailed:
    return GpuFailed(
        f"The GPU failed: {why}.",
        "Set force_cpu to upscale on the processor, and see what `nvidia-smi` says.",
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or OpenVINO could not get memory, on a GPU or from the system."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The CPU's allocator, and what allocates beside torch's own on a GPU, raise bare RuntimeErrors.
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)


def free_memory(device: torch.device) -> None:
    """Give back what nothing refers to any more. Not to be called in an except block: the error's
    traceback holds the tensors of what has failed."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
