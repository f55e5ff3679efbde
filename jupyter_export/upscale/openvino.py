"""Run a network on the processor with OpenVINO instead of torch.

Importing the package `openvino` reports that to its makers, by way of `openvino_telemetry`, and
so does its own `convert_model`. Here neither happens: `openvino_telemetry` is kept from being
imported, for which OpenVINO is prepared, and a network is converted by the parts that
`convert_model` is made of.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .catalogue import require_openvino

__all__ = ["Compiled", "compiler"]

_MOST = 4
"""Compiled networks that are kept: each holds the memory of its batch."""
_SIDE = 32


class Compiled:
    """A network in float32 or bfloat16, compiled for each shape of batch. Not thread-safe."""

    def __init__(self, network: nn.Module, *, bfloat16: bool, threads: int) -> None:
        """`network` is in float32.

        Raises:
            UpscaleUnavailable: OpenVINO is not installed.
        """
        self._openvino = _import()
        self._model = _converted(network)
        self._options = {
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            # Threads tied to cores would all be on the same ones in every worker.
            "ENABLE_CPU_PINNING": False,
        }
        self._requests: dict[tuple[int, ...], Any] = {}

    def __call__(self, batch: Tensor) -> Tensor:
        """What the network makes of `batch`, in float32; valid until the next call."""
        given = batch.to(torch.float32, memory_format=torch.contiguous_format).numpy()
        try:
            request = self._request(tuple(batch.shape))
            return torch.from_numpy(
                request.infer([given], share_inputs=True, share_outputs=True)[0]
            )
        except Exception:
            # If memory has run out, smaller batches need what those of before hold.
            self._requests.clear()
            raise

    def _request(self, shape: tuple[int, ...]) -> Any:
        request = self._requests.get(shape)
        if request is None:
            if len(self._requests) >= _MOST:
                del self._requests[next(iter(self._requests))]
            self._model.reshape(list(shape))
            compiled = self._openvino.Core().compile_model(self._model, "CPU", self._options)
            request = self._requests[shape] = compiled.create_infer_request()
        return request


def compiler(threads: int) -> Callable[[nn.Module, torch.dtype], Compiled]:
    """What makes networks run with OpenVINO, for the engine."""
    return lambda network, dtype: Compiled(
        network, bfloat16=dtype is torch.bfloat16, threads=threads
    )


def _import() -> Any:
    require_openvino()
    # What is None here cannot be imported, and OpenVINO does without.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _converted(network: nn.Module) -> Any:
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    sample = torch.zeros(1, 3, _SIDE, _SIDE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.jit is on its way out
        decoder = TorchScriptPythonDecoder(network, example_input=(sample,))
    frontend = FrontEndManager().load_by_framework("pytorch")
    return frontend.convert(frontend.load(decoder))
