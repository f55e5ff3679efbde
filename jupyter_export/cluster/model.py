"""What an export, and many of them, take on a cluster of any size: a simulation, pure values.

Costs are seconds of one core, as `tests/benchmarks/test_cluster_cost.py` measures them; a machine
that is twice as slow doubles all of them but the bandwidth. See `docs/scaling.md`.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

__all__ = ["Costs", "Estimate", "Work", "simulate", "throughput"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """One export."""

    segments: Sequence[float]
    """Seconds that each segment takes a worker which has nothing else to do."""
    frames: int
    read: float = 0.0
    """Bytes that a segment reads of its sources, on average."""
    written: float = 0.0
    """Bytes of a segment, on average."""
    before: float = 0.0
    """Seconds on the server until the first segment can begin: planning."""
    after: float = 0.0
    """Seconds on the server after the last one: sound, assembling, publishing."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What distribution takes."""

    server: float
    """Seconds of the server's event loop for a segment: to pack, submit and take in."""
    server_event: float
    """Seconds of it for one event of progress."""
    scheduler: float
    """Seconds of Dask's scheduler for a segment."""
    scheduler_event: float
    worker: float
    """Seconds that a worker's thread loses between two segments."""
    bandwidth: float
    """Bytes a second of the storage, all machines together."""
    events: float = 2.0
    """Events a second that a segment tells while it renders: `host.EVENT_SECONDS`."""
    servers: int = 1
    """Jupyter servers that share the cluster; each has an event loop of its own."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What comes out for a number of workers."""

    seconds: float
    """For one export, alone on the cluster."""
    frames_per_second: float
    bound: str
    """What limits it: workers, segments, server, scheduler, storage or ends."""


def simulate(work: Work, costs: Costs, workers: int) -> Estimate:
    """One export on so many workers: each takes the next segment as soon as it is free.

    The server hands segments out one after the other, and so does the scheduler; their events take
    time of both. The storage is shared: nothing ends before its bytes have gone through.
    """
    each = list(work.segments)
    loads = _loads(sum(each) / len(each), costs)
    ready = work.before
    free = [work.before] * min(workers, len(each))
    heapq.heapify(free)
    handing = max(loads["server"], loads["scheduler"])
    end = ready
    for seconds, handed in zip(each, accumulate([handing] * len(each)), strict=True):
        start = max(heapq.heappop(free), ready + handed)
        finish = start + seconds + costs.worker
        heapq.heappush(free, finish)
        end = max(end, finish)
    bytes_ = len(each) * (work.read + work.written)
    lasting = {
        "workers": sum(s + costs.worker for s in each) / workers,
        "segments": max(each) + costs.worker,
        "server": len(each) * loads["server"],
        "scheduler": len(each) * loads["scheduler"],
        "storage": bytes_ / costs.bandwidth,
        "ends": work.before + work.after,
    }
    middle = max(end - work.before, lasting["storage"])
    seconds = work.before + middle + work.after
    return Estimate(
        seconds=seconds,
        frames_per_second=work.frames / seconds,
        bound=max(lasting, key=lambda name: lasting[name]),
    )


def throughput(work: Work, costs: Costs, workers: int) -> Estimate:
    """Many exports like `work` at once, so that there is always a segment to render: what passes
    in the long run, and which part is the narrowest."""
    count = len(work.segments)
    mean = sum(work.segments) / count
    loads = _loads(mean, costs)
    lasting = {
        "workers": (mean + costs.worker) / workers,
        "server": loads["server"] / costs.servers,
        "scheduler": loads["scheduler"],
        "storage": (work.read + work.written) / costs.bandwidth,
        "ends": (work.before + work.after) / count / costs.servers,
    }
    bound = max(lasting, key=lambda name: lasting[name])
    return Estimate(
        seconds=count * lasting[bound],
        frames_per_second=work.frames / count / lasting[bound],
        bound=bound,
    )


def _loads(mean: float, costs: Costs) -> dict[str, float]:
    """Seconds of the server and of the scheduler for a segment with all its events."""
    events = costs.events * mean
    return {
        "server": costs.server + events * costs.server_event,
        "scheduler": costs.scheduler + events * costs.scheduler_event,
    }
