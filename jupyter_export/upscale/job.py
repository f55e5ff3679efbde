"""From the parameters of a segment to the running network, which stays for the next segment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .catalogue import GENERAL_WDN, find
from .colour import Coding
from .device import open_device
from .engine import Engine
from .frames import Frames
from .shape import Shape
from .weights import load, mix

__all__ = ["frames_for"]

#: After so many pictures a job is long enough for recording to pay: it stops the GPU for a moment.
REPLAY_AFTER = 50

_lock = threading.Lock()
_kept: tuple[dict[str, Any], torch.device, Callable[[Tensor], Tensor]] | None = None


def frames_for(
    folder: Path, params: dict[str, Any], coding: Coding, check: Callable[[], None], threads: int
) -> Frames:
    """What enlarges frames as ``params`` say, which are those of the effect `Upscale`.

    `check` is called many times per frame, and must be the same function for equal `params`;
    what it raises ends the work. The CPU computes with `threads` threads.

    Raises:
        ModelMissing, ModelUnusable: the weights are not what they were.
        UpscaleUnavailable: the package realesrgan, or openvino, is gone.
        GpuFailed: the GPU is.
        OutOfMemory: not even the weights fit.
    """
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    device, upscale = _network(folder, params, check, threads)
    width, height = params["size"]
    return Frames(upscale, device, (width, height), coding)


def _network(
    folder: Path, params: dict[str, Any], check: Callable[[], None], threads: int
) -> tuple[torch.device, Callable[[Tensor], Tensor]]:
    global _kept
    wanted = {k: v for k, v in params.items() if k != "size"}
    with _lock:  # two clips of one export are prepared in two threads
        if _kept is None or _kept[0] != wanted:
            _kept = None  # both at once might not fit
            device = open_device(params["device"])
            _kept = wanted, device, _load(folder, params, device, check, threads)
        return _kept[1], _kept[2]


def _load(
    folder: Path,
    params: dict[str, Any],
    device: torch.device,
    check: Callable[[], None],
    threads: int,
) -> Callable[[Tensor], Tensor]:
    shape, state = _weights(folder, params)
    if params["backend"] == "realesrgan":
        from .stock import Stock

        return Stock(shape, state, device)
    runtime = None
    if params["backend"] == "openvino":
        from .openvino import compiler

        runtime = compiler(threads)
    return Engine(
        shape,
        state,
        device,
        dtype=None if params["bfloat16"] or device.type == "cuda" else torch.float32,
        budget=params["memory"] * 2**20,
        check=check,
        replay_after=REPLAY_AFTER if device.type == "cuda" else None,
        runtime=runtime,
    )


def _weights(folder: Path, params: dict[str, Any]) -> tuple[Shape, dict[str, Tensor]]:
    files = params["weights"]
    shape, state = load(find(folder, params["model"]), files[params["model"]])
    if GENERAL_WDN in files and params["model"] != GENERAL_WDN:
        _, other = load(find(folder, GENERAL_WDN), files[GENERAL_WDN])
        state = mix(state, other, params["denoise"])
    return shape, state
