"""Estimates of GPU memory against measured peaks, for every model and three sizes.

python3 tests/run.py tests/benchmarks/test_gpu_memory.py --benchmarks -s

Each in a process of its own on an idle GPU (`vram_peak`); skipped where torch finds no GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from server_support import REPOSITORY

from jupyter_export.hardware.gpus import Gpus
from jupyter_export.upscale.catalogue import PUBLISHED
from jupyter_export.upscale.memory import estimate

VIEW = Gpus().view()
pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(
        not (VIEW.devices and torch.cuda.is_available()),
        reason=f"needs a GPU that torch computes on: {VIEW.reason or 'this torch has no CUDA'}",
    ),
    pytest.mark.timeout(600),
]

SIZES = [(640, 360), (1280, 720), (1920, 1080)]
OFF = 0.25


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("model", PUBLISHED)
def test_the_estimate_is_near_the_measured_peak(model: str, size: tuple[int, int]) -> None:
    told = estimate(PUBLISHED[model].shape, *size)
    device = Gpus().view().devices[0]
    if told.total > device.free_mib:
        pytest.skip(f"needs {told.total} MiB, {device.free_mib} MiB are free")
    folders = [str(REPOSITORY), str(REPOSITORY / "tests")]
    child = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("vram_peak.py")), model, *map(str, size)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(folders),
            "CUDA_VISIBLE_DEVICES": device.id,
        },
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    peak, layout = child.stdout.strip().split("\t")
    error = told.total / int(peak) - 1
    print(
        f"{model} {size[0]}×{size[1]}: {told.total} MiB estimated (context {told.context}, "
        f"network {told.network}, pictures {told.pictures}), {peak} MiB measured with {layout}: "
        f"{error:+.0%}, {device.name}"
    )
    assert layout == str(told.layout), "it ran out of memory, or the format is another one"
    assert abs(error) <= OFF
