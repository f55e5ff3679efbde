"""How long the hardware report takes: cold, beside a driver that hangs, and from memory.

python3 tests/run.py tests/benchmarks/test_hardware_report.py --benchmarks -s
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from pathlib import Path

import pytest
from nvidia_support import Nvidia
from server_support import RunningServer

from jupyter_export.hardware.encoders import ENCODERS
from jupyter_export.hardware.report import make_report
from jupyter_export.settings import Settings

pytestmark = pytest.mark.benchmark


def seconds_of_a_report() -> float:
    begin = time.perf_counter()
    asyncio.run(make_report(list(ENCODERS), Settings().probe_timeout))
    return time.perf_counter() - begin


def test_all_probes_together_without_a_gpu() -> None:
    taken = statistics.median(seconds_of_a_report() for _ in range(3))
    print(f"all probes: {taken:.1f} s; load average {os.getloadavg()[0]:.1f}")
    assert taken < 5


def test_all_probes_together_beside_a_driver_that_hangs(nvidia: Nvidia) -> None:
    nvidia.set("hang")
    taken = seconds_of_a_report()
    print(f"all probes, NVIDIA's driver hangs: {taken:.1f} s; load {os.getloadavg()[0]:.1f}")
    assert taken < 8, "its 4 seconds once, not once per codec"


def test_hardware_from_memory(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "server")
    try:
        server.http.get("hardware").raise_for_status()
        taken = []
        for _ in range(100):
            begin = time.perf_counter()
            server.http.get("hardware").raise_for_status()
            taken.append((time.perf_counter() - begin) * 1e3)
    finally:
        server.stop()
    print(f"GET hardware, cached: median {statistics.median(taken):.1f} ms, worst {max(taken):.0f}")
    assert statistics.median(taken) < 50
