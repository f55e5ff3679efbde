"""NVIDIA's management library as the tests want it: the one stand-in below `hardware.gpus`.

What the driver would tell is read from the file named in the environment, FAKE_NVML, at each call,
so that a test can take a GPU away or give its memory to a stranger while exports run:

    {"init": "NVMLError_…" or absent, "hang": seconds, "gpus": [
        {"uuid", "name", "total_mib", "free_mib", "nvenc": bool, "sessions": int,
         "lost": bool, "mig": [{"uuid", "total_mib", "free_mib"}]}]}
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NVML_DEVICE_MIG_ENABLE = 1
NVML_ENCODER_QUERY_H264 = 0


class NVMLError(Exception):
    pass


class NVMLError_LibraryNotFound(NVMLError):  # noqa: N801 - the library's own names
    def __str__(self) -> str:
        return "NVML Shared Library Not Found"


class NVMLError_DriverNotLoaded(NVMLError):  # noqa: N801
    def __str__(self) -> str:
        return "Driver Not Loaded"


class NVMLError_GpuIsLost(NVMLError):  # noqa: N801
    def __str__(self) -> str:
        return "GPU is lost"


class NVMLError_NotSupported(NVMLError):  # noqa: N801
    def __str__(self) -> str:
        return "Not Supported"


def _told() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(Path(os.environ["FAKE_NVML"]).read_text())
    time.sleep(told.get("hang", 0))
    return told


def nvmlInit() -> None:  # noqa: N802
    told = _told()
    if "init" in told:
        raise globals()[told["init"]]


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return len(_told()["gpus"])


def nvmlDeviceGetHandleByIndex(index: int) -> tuple[int, int | None]:  # noqa: N802
    if _told()["gpus"][index].get("lost"):
        raise NVMLError_GpuIsLost
    return index, None


def _entry(handle: tuple[int, int | None]) -> dict[str, Any]:
    index, instance = handle
    gpu = _told()["gpus"][index]
    return gpu if instance is None else gpu["mig"][instance]


def nvmlDeviceGetMemoryInfo(handle: tuple[int, int | None]) -> SimpleNamespace:  # noqa: N802
    entry = _entry(handle)
    return SimpleNamespace(total=entry["total_mib"] * 2**20, free=entry["free_mib"] * 2**20)


def nvmlDeviceGetUUID(handle: tuple[int, int | None]) -> str:  # noqa: N802
    return _entry(handle)["uuid"]


def nvmlDeviceGetName(handle: tuple[int, int | None]) -> str:  # noqa: N802
    return _entry(handle).get("name", "NVIDIA Test")


def nvmlDeviceGetEncoderCapacity(handle: Any, kind: int) -> int:  # noqa: N802
    if not _entry(handle).get("nvenc"):
        raise NVMLError_NotSupported
    return 100


def nvmlDeviceGetEncoderStats(handle: Any) -> list[int]:  # noqa: N802
    return [_entry(handle).get("sessions", 0), 0, 0]


def nvmlDeviceGetMigMode(handle: Any) -> list[int]:  # noqa: N802
    if "mig" not in _entry(handle):
        raise NVMLError_NotSupported
    return [NVML_DEVICE_MIG_ENABLE, NVML_DEVICE_MIG_ENABLE]


def nvmlDeviceGetMaxMigDeviceCount(handle: Any) -> int:  # noqa: N802
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(handle: Any, number: int) -> tuple[int, int]:  # noqa: N802
    if number >= len(_entry(handle)["mig"]):
        raise NVMLError_NotSupported
    return handle[0], number
