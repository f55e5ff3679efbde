"""How this server shares GPUs and cores with others, as `jupyter export doctor` prints it."""

from __future__ import annotations

from typing import Any

from ..hardware.gpus import GpuView
from ..hardware.needs import gigabytes

__all__ = ["to_json", "to_lines"]


def to_json(leases: dict[str, Any], gpus: GpuView) -> dict[str, Any]:
    """For ``doctor --json``; `leases` is what `Reservations.to_json` gives."""
    return {
        "leases": leases,
        "gpu_memory": {
            "devices": [
                {
                    "id": device.id,
                    "label": device.label,
                    "name": device.name,
                    "total_mib": device.total_mib,
                    "free_mib": device.free_mib,
                }
                for device in gpus.devices
            ],
            "reason": gpus.reason or None,
            "notes": list(gpus.notes),
        },
    }


def to_lines(leases: dict[str, Any], gpus: GpuView) -> list[str]:
    """Lines of text: where the leases are, and how much of each device is free."""
    lines = ["", "Sharing"]
    if leases["directory"] is not None:
        whom = "all users of the machine" if leases["shared"] else "this user's servers"
        lines.append(f"  leases in {leases['directory']}, for {whom}")
    if leases["notice"]:
        lines.append(f"  {leases['notice']}")
    by = f", allotted by {leases['cores_by']}" if leases["cores_by"] else ""
    lines.append(f"  {leases['cores']} segments are encoded in software at once{by}")
    lines += [
        f"  {device.label}, {device.name}: {gigabytes(device.free_mib)} of "
        f"{gigabytes(device.total_mib)} are free"
        for device in gpus.devices
    ] or [f"  no GPU memory to share: {gpus.reason}"]
    return [*lines, *(f"  {note}" for note in gpus.notes)]
