"""Start all kernels of a network at once: CUDA graphs, one for each shape of batch.

A network of Real-ESRGAN is a hundred small kernels in a row. Starting them one by one keeps a core
busy, and a fast GPU waits for it; a graph is recorded once and replayed with one call. It replays
the very kernels that were recorded, so pictures are the same to the bit with and without, and a
resumed export does not depend on when its process began to replay. (`torch.compile` makes other
kernels, whose results differ in the last bit.)
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["Replay", "capture"]

_MOST = 4
"""Recordings that are kept: each holds the memory of its batch."""


class Replay:
    """A network whose calls are recorded and replayed. Not thread-safe."""

    def __init__(self, network: nn.Module) -> None:
        self._network = _unhooked(network)
        self._recorded: dict[tuple[int, ...], Callable[[Tensor], Tensor]] = {}

    def __call__(self, batch: Tensor) -> Tensor:
        """What the network makes of `batch`; valid until the next call."""
        shape = tuple(batch.shape)
        replay = self._recorded.get(shape)
        if replay is None:
            if len(self._recorded) >= _MOST:
                del self._recorded[next(iter(self._recorded))]
            replay = self._recorded[shape] = capture(self._network, batch)
        return replay(batch)


def capture(network: nn.Module, sample: Tensor) -> Callable[[Tensor], Tensor]:
    """`network` on a GPU, recorded for batches of the shape and layout of `sample`.

    Results share one piece of memory, and so do inputs: all is in the order of the current stream.
    """
    device = sample.device
    given = sample.clone()
    current = torch.cuda.current_stream(device)
    aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    # What other calls have left would come on top of what this stream takes, and the recording.
    torch.cuda.empty_cache()
    # Libraries set themselves up in a thread's first call, which cannot be recorded.
    aside.wait_stream(current)
    with torch.cuda.stream(aside):
        network(given)
    current.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    # Of this thread only: another clip's thread may get pinned memory meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        made: Tensor = network(given)

    def replay(batch: Tensor) -> Tensor:
        given.copy_(batch)
        graph.replay()
        return made

    return replay


def _unhooked(network: nn.Module) -> nn.Module:
    """The network on the same weights without its hooks, which would end a recording halfway."""
    plain = copy.deepcopy(network, {id(p): p for p in network.parameters()})
    for part in plain.modules():
        part._forward_pre_hooks.clear()
    return plain
