"""Which GPUs an export may use, and in plain words why none: through a fake NVML."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from gpu_support import Driver, driver, gpu

from jupyter_export.hardware.allocation import allocation
from jupyter_export.hardware.gpus import Gpus

__all__ = ["driver"]

MIG = gpu(
    1,
    mig=[
        {"uuid": "MIG-a1", "total_mib": 4096, "free_mib": 4000},
        {"uuid": "MIG-b2", "total_mib": 2048, "free_mib": 2000},
    ],
)


def seen(**environment: str) -> list[str]:
    return [device.label for device in Gpus(environment).view().devices]


def why(**environment: str) -> str:
    view = Gpus(environment).view()
    assert view.devices == ()
    return view.reason


def test_a_gpu_is_shown_with_its_memory_and_its_sessions(driver: Driver) -> None:
    driver.tell(gpu(total=8192, free=5000, sessions=2, name="NVIDIA GeForce RTX 3060"))
    (device,) = Gpus({}).view().devices
    assert (device.id, device.label, device.name) == (
        "GPU-000",
        "GPU 0",
        "NVIDIA GeForce RTX 3060",
    )
    assert (device.total_mib, device.free_mib, device.nvenc, device.sessions) == (
        8192,
        5000,
        True,
        2,
    )


def test_memory_that_a_stranger_takes_is_seen_at_the_next_look(driver: Driver) -> None:
    gpus = Gpus({})
    assert gpus.view().devices[0].free_mib == 8192
    driver.free(100)
    time.sleep(0.15)  # one answer serves those who ask at the same time
    assert gpus.view().devices[0].free_mib == 100


@pytest.mark.parametrize(
    ("allotted", "shown"),
    [
        ("0,1", ["GPU 0", "GPU 1"]),
        ("1", ["GPU 1"]),
        ("2,0", ["GPU 2", "GPU 0"]),
        ("GPU-11", ["GPU 1"]),
        ("GPU-222,GPU-000", ["GPU 2", "GPU 0"]),
        ("0,7,1", ["GPU 0"]),  # as CUDA does: nothing counts after what means nothing
        ("0,0,1", ["GPU 0"]),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(
    driver: Driver, allotted: str, shown: list[str]
) -> None:
    driver.tell(gpu(0), gpu(1), gpu(2))
    assert seen(CUDA_VISIBLE_DEVICES=allotted) == shown


@pytest.mark.parametrize("allotted", ["", "-1", "NoDevFiles", "7", "GPU-9"])
def test_a_server_that_was_given_no_gpu_uses_none_and_says_so(
    driver: Driver, allotted: str
) -> None:
    assert "none of them is given to this server" in why(CUDA_VISIBLE_DEVICES=allotted)


def test_a_divided_gpu_shows_its_instances(driver: Driver) -> None:
    driver.tell(gpu(0), MIG)
    assert seen() == ["GPU 0", "GPU 1 MIG 0", "GPU 1 MIG 1"]
    assert seen(CUDA_VISIBLE_DEVICES="MIG-b2") == ["GPU 1 MIG 1"]
    assert seen(CUDA_VISIBLE_DEVICES="1") == ["GPU 1 MIG 0", "GPU 1 MIG 1"]


def test_slurm_tells_the_gpus_of_a_job_where_cuda_is_not_told(driver: Driver) -> None:
    driver.tell(gpu(0), gpu(1))
    assert seen(SLURM_JOB_GPUS="1") == ["GPU 1"]
    assert seen(SLURM_JOB_GPUS="0,1", CUDA_VISIBLE_DEVICES="0") == ["GPU 0"]


def test_where_slurm_hides_other_jobs_gpus_those_that_are_left_are_its_own(driver: Driver) -> None:
    driver.tell(gpu(0), gpu(1))
    assert seen(SLURM_STEP_GPUS="6,7", SLURM_JOB_GPUS="5,6,7") == ["GPU 0", "GPU 1"]
    assert seen(SLURM_JOB_GPUS="") == []


def test_a_machine_without_driver_says_so(driver: Driver) -> None:
    driver.tell(init="NVMLError_LibraryNotFound")
    assert why() == "no NVIDIA driver (libnvidia-ml is missing)"


def test_the_real_library_says_why_there_is_no_gpu_here() -> None:
    view = Gpus().view()
    assert view.devices or view.reason, "neither a GPU nor a reason"


def test_a_gpu_that_was_lost_does_not_take_the_others_with_it(driver: Driver) -> None:
    driver.tell(gpu(0, lost=True), gpu(1))
    view = Gpus({}).view()
    assert [device.label for device in view.devices] == ["GPU 1"]
    assert view.notes == ("GPU 0: lost: it has fallen off the bus, or was reset",)


def test_a_driver_that_hangs_costs_its_time_limit_once(driver: Driver) -> None:
    driver.tell(gpu(), hang=3)
    gpus = Gpus({}, timeout=0.5)
    assert gpus.view().reason == "the NVIDIA driver has not answered for 0.5 s"
    begun = time.monotonic()
    assert gpus.view().devices == ()
    assert time.monotonic() - begun < 0.5


def test_cores_are_those_of_the_tightest_limit(tmp_path: Path) -> None:
    def group(quota: str) -> Path:
        folder = tmp_path / "sys/fs/cgroup/pod/container"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.max").write_text(quota)
        (tmp_path / "proc/self").mkdir(parents=True, exist_ok=True)
        (tmp_path / "proc/self/cgroup").write_text("0::/pod/container\n")
        return tmp_path

    everything = len(os.sched_getaffinity(0))
    assert allocation({}, group("max 100000")).cores == everything
    limited = allocation({}, group("100000 100000"))
    assert limited.cores == 1
    assert "container" in limited.by
    assert limited.pool != "cpu", "it shares no cores with those outside"
    slurm = allocation({"SLURM_JOB_ID": "77", "SLURM_CPUS_ON_NODE": "1"}, group("max 100000"))
    assert (slurm.cores, slurm.by) == (1, "SLURM job 77")
