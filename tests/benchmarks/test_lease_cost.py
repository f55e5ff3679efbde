"""What leases cost: to take and give back one, and how soon a killed holder's is free.

python3 tests/run.py tests/benchmarks/test_lease_cost.py --benchmarks -s
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from queue_support import settings
from server_support import REPOSITORY

from jupyter_export.hardware.leases import Leases
from jupyter_export.hardware.needs import Need
from jupyter_export.queue.lease_folder import LeaseFolder
from jupyter_export.queue.reservations import Reservations

pytestmark = pytest.mark.benchmark

ROUNDS = 500
KILLS = 20
HOLDER = REPOSITORY / "tests" / "faults" / "lease_holder.py"


def told(values: Sequence[float]) -> str:
    ordered = sorted(values)
    worst = ordered[int(len(ordered) * 0.99)]
    return f"median {statistics.median(ordered) * 1e3:.2f} ms, p99 {worst * 1e3:.2f} ms"


@pytest.mark.parametrize("others", [0, 64])
async def test_a_core_for_a_segment(tmp_path: Path, others: int) -> None:
    held = [Leases(tmp_path).acquire(Need(vram_mib=1), lambda seen: "x") for _ in range(others)]
    reservations = Reservations(
        settings(tmp_path / "data"), folder=LeaseFolder(path=tmp_path, shared=False)
    )
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        async with reservations.cores(lambda reason: None):
            pass
        taken.append(time.perf_counter() - begun)
    for lease in held:
        assert lease is not None
        lease.release()
    print(f"a core, beside {others} leases: {told(taken)}")
    assert statistics.median(taken) < 0.010


def test_a_killed_holders_lease_is_free(tmp_path: Path) -> None:
    leases, taken = Leases(tmp_path), []
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, str(HOLDER), "0", "0", str(tmp_path), "hold"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        assert len(leases.standing().held) == 1
        begun = time.perf_counter()
        process.kill()
        while leases.standing().held:
            time.sleep(0.001)
        taken.append(time.perf_counter() - begun)
        process.wait()
        process.stdout.close()
    print(f"kill -9 to free: {told(taken)}")
    assert max(taken) < 0.1
