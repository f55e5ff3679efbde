"""What this machine has: its GPUs, and whatever else decides what an encoder can do."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from .child import Child, scrubbed_environment

__all__ = ["Gpu", "find_gpus", "nvidia_driver", "search_environment"]

NVIDIA_SMI_SECONDS = 5.0

_VENDORS = {"0x8086": "Intel", "0x1002": "AMD", "0x10de": "NVIDIA"}
_SEARCH_VARIABLES = (
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "LIBVA_DRIVER_NAME",
    "ONEVPL_SEARCH_PATH",
)


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One graphics device."""

    name: str
    vendor: str
    driver: str | None = None
    """The version of NVIDIA's driver; for the others the kernel module's name."""
    bus: str | None = None
    """PCI address."""

    def to_json(self) -> dict[str, Any]:
        """For the cache and for REST."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `to_json` gave.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**value)


def nvidia_driver(root: Path = Path("/")) -> str | None:
    """The version of the loaded NVIDIA kernel module, or None; `root` is that of ``/proc``."""
    text = _read(root / "proc/driver/nvidia/version")
    found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)\s", text)
    return found[1] if found else None


def search_environment() -> dict[str, str]:
    """The variables that decide which drivers and devices a process finds."""
    present = {name: os.environ[name] for name in _SEARCH_VARIABLES if name in os.environ}
    return {"platform": platform.platform(terse=True), "machine": platform.machine(), **present}


async def find_gpus(root: Path = Path("/")) -> tuple[Gpu, ...]:
    """The graphics devices that the kernel shows, or those that ``nvidia-smi`` lists."""
    gpus = await asyncio.to_thread(_kernel_gpus, root)
    if not any(gpu.vendor == "NVIDIA" for gpu in gpus):
        # WSL and Windows have no /proc/driver/nvidia.
        gpus += await _nvidia_smi_gpus()
    return tuple(sorted(gpus, key=lambda gpu: (gpu.vendor, gpu.bus or "", gpu.name)))


def _kernel_gpus(root: Path) -> list[Gpu]:
    driver = nvidia_driver(root)
    gpus = []
    for folder in sorted((root / "proc/driver/nvidia/gpus").glob("*")):
        model = re.search(r"^Model:\s*(.+?)\s*$", _read(folder / "information"), re.MULTILINE)
        name = model[1] if model else "NVIDIA GPU"
        gpus.append(Gpu(name=name, vendor="NVIDIA", driver=driver, bus=folder.name))
    for node in sorted((root / "sys/class/drm").glob("renderD*")):
        vendor = _VENDORS.get(_read(node / "device/vendor").strip())
        if vendor in (None, "NVIDIA"):
            continue
        event = dict(
            line.split("=", 1) for line in _read(node / "device/uevent").splitlines() if "=" in line
        )
        device = _read(node / "device/device").strip()
        gpus.append(
            Gpu(
                name=f"{vendor} GPU {device}".strip(),
                vendor=vendor,
                driver=event.get("DRIVER"),
                bus=event.get("PCI_SLOT_NAME"),
            )
        )
    return gpus


async def _nvidia_smi_gpus() -> list[Gpu]:
    program = await asyncio.to_thread(shutil.which, "nvidia-smi")
    if program is None:
        return []
    lines: list[str] = []
    query = [program, "--query-gpu=name,driver_version,pci.bus_id", "--format=csv,noheader"]
    try:
        child = Child(
            query,
            environment=scrubbed_environment(),
            on_message=lambda message: lines.append(str(message.get("noise", ""))),
            on_exit=lambda code: None,
            merge_stderr=True,
        )
    except OSError:
        return []
    child.close_input()
    try:
        # A broken driver can leave it stuck for ever; asyncio.wait leaves it behind.
        done, _ = await asyncio.wait({child.exited}, timeout=NVIDIA_SMI_SECONDS)
    finally:
        child.kill()
    if not done or child.exited.result() != 0:
        return []
    rows = [[field.strip() for field in line.split(",")] for line in lines]
    return [
        Gpu(name=name, vendor="NVIDIA", driver=driver, bus=bus)
        for name, driver, bus in (row for row in rows if len(row) == 3)
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
