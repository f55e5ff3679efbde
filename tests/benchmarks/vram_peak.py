"""The GPU memory that upscaling really takes: ``vram_peak.py MODEL WIDTH HEIGHT`` prints MiB.

A process of its own, so that the driver's count before and after tells its whole share: the
context, the libraries and what the allocator holds. Nothing else may use the GPU meanwhile.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from jupyter_export.hardware.gpus import Gpus
from jupyter_export.upscale.catalogue import PUBLISHED
from jupyter_export.upscale.colour import Coding
from jupyter_export.upscale.device import open_device
from jupyter_export.upscale.engine import Engine
from jupyter_export.upscale.frames import Frames

FRAMES = 4
"""Two are under way at once, so the third finds all memory taken."""
MIB = 2**20


def main(model: str, width: int, height: int) -> None:
    from upscale_support import weights

    view = Gpus().view()
    before = view.devices[0].free_mib
    shape = PUBLISHED[model].shape
    device = open_device("cuda")
    engine = Engine(shape, weights(shape), device)
    size = width * shape.scale, height * shape.scale
    frames = Frames(engine, device, size, Coding(2, 2))
    noise = np.random.default_rng(0)
    pending = []
    for _ in range(FRAMES):
        planes = [
            noise.integers(0, 256, (height // part, width // part), dtype=np.uint8)
            for part in (1, 2, 2)
        ]
        pending.append(frames.start(planes))
        if len(pending) > 1:
            pending.pop(0).planes()
    pending.pop().planes()
    free, _ = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device) // MIB
    peak = torch.cuda.max_memory_reserved(device) // MIB
    print(before - free // MIB - held + peak, engine.layout(width, height), sep="\t")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
