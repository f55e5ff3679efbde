"""What torch says when a GPU or its driver fails under an upscale becomes an error of its own;
and what workers do about GPUs otherwise.

No GPU can be broken on purpose: the texts are torch's, raised where a GPU would raise them.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from upscale_support import CPU, SMALL, save

from jupyter_export.errors import GpuFailed, OutOfMemory
from jupyter_export.media.effects.upscale import UpscaleStep
from jupyter_export.spec import clip
from jupyter_export.upscale.colour import Coding
from jupyter_export.upscale.device import open_device
from jupyter_export.upscale.frames import Frames, Pending
from jupyter_export.workers.context import TaskContext
from jupyter_export.workers.tasks import TASKS

LOST = [
    torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be"),
    RuntimeError("CUDA driver error: device not ready"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("No CUDA GPUs are available"),
]


class Late(Pending):
    """A frame whose result is asked for when the GPU has gone."""

    def __init__(self, error: Exception) -> None:
        super().__init__([], None)
        self._error = error

    def planes(self) -> list[NDArray[np.uint8]]:
        raise self._error


def step(upscale: Callable[[torch.Tensor], torch.Tensor]) -> UpscaleStep:
    size = 64, 48
    return UpscaleStep(lambda *_: Frames(upscale, CPU, size, Coding(2, 2)), size, "yuv420p")


def raising(error: Exception) -> Callable[[torch.Tensor], torch.Tensor]:
    def upscale(rgb: torch.Tensor) -> torch.Tensor:
        raise error

    return upscale


@pytest.mark.parametrize("error", LOST, ids=lambda error: str(error)[:30])
def test_a_gpu_that_fails_is_named_with_what_the_driver_said(error: Exception) -> None:
    with pytest.raises(GpuFailed) as failed:
        step(raising(error)).begin(VideoFrame(32, 24, "yuv420p"), Fraction(0))
    said = str(error).splitlines()[0]
    assert failed.value.detail == f"The GPU failed: {said}."
    assert "force_cpu" in failed.value.advice


def test_one_that_fails_only_when_the_result_is_fetched_is_noticed_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = step(raising(LOST[0]))
    monkeypatch.setattr(Frames, "start", lambda *_: Late(LOST[0]))
    finish = made.begin(VideoFrame(32, 24, "yuv420p"), Fraction(0))
    with pytest.raises(GpuFailed):
        finish()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"), OutOfMemory),
        (torch.OutOfMemoryError("CUDA error: out of memory"), OutOfMemory),
        (RuntimeError("expected scalar type Half but found Float"), RuntimeError),
        (ValueError("CUDA error"), ValueError),
    ],
)
def test_neither_a_full_memory_nor_a_bug_of_ours_is_blamed_on_the_gpu(
    error: Exception, told: type[Exception]
) -> None:
    with pytest.raises(told) as raised:
        step(raising(error)).begin(VideoFrame(32, 24, "yuv420p"), Fraction(0))
    assert not isinstance(raised.value, GpuFailed)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU for torch")
def test_a_gpu_that_is_gone_since_the_plan_counts_as_one_that_failed() -> None:
    with pytest.raises(GpuFailed, match="gone"):
        open_device("cuda")


def test_an_export_is_planned_for_the_processor_where_the_gpu_has_failed_under_it(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("JUPYTER_EXPORT_MODELS_DIR", str(tmp_path))
    save(tmp_path / "own.pth", SMALL["srvgg x2"])
    spec = clip("timecode_720p30.mp4", 0, 1, output="o.mp4").upscale(2, model="own")
    params: dict[str, Any] = {
        "root": str(media),
        "spec": spec.model_dump(mode="json"),
        "encoder": "libx264",
        "cache": str(tmp_path / "cache"),
        "allow_hidden": False,
    }
    context = TaskContext(lambda message: None)
    on_gpu = TASKS["plan"](params, context)
    assert on_gpu["vram"]["mib"] > 0
    without = TASKS["plan"]({**params, "on_processor": True}, context)
    assert without["vram"] is None
    assert {s["id"] for s in on_gpu["segments"]}.isdisjoint(s["id"] for s in without["segments"])
    # What is planned next may use the GPU again.
    assert TASKS["plan"](params, context)["vram"] == on_gpu["vram"]


def test_a_preview_keeps_no_more_of_a_gpu_than_its_network(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(True))
    spec = clip("timecode_720p30.mp4", 0, 1, output="o.mp4")
    params: dict[str, Any] = {
        "root": str(media),
        "spec": spec.model_dump(mode="json"),
        "allow_hidden": False,
        "time": 0.5,
        "width": 64,
        "show": "result",
    }
    assert TASKS["preview"](params, TaskContext(lambda message: None))["jpeg"]
    assert freed
