"""A process with leases: ``lease_holder.py USER GROUP DIRECTORY hold|look|SECONDS``.

Runs as another user (0: as it is), `hold`s one lease for ever, `look`s at what others hold, or
takes random amounts of the fake GPU again and again, by all that a server takes them by.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from jupyter_export.hardware.leases import Leases
from jupyter_export.hardware.needs import Need
from jupyter_export.queue import reservations as module
from jupyter_export.queue.reservations import Reservations
from jupyter_export.settings import Settings

# More often than in earnest: the point is to meet others.
module.FIRST_SECONDS, module.LAST_SECONDS = 0.002, 0.01


def become(user: int, group: int) -> None:
    """From here on the kernel takes this process for the user's: no way back."""
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)


def hold(folder: Path) -> None:
    need = Need(vram_mib=1000, nvenc_sessions=1)
    lease = Leases(folder).acquire(need, lambda standing: "GPU-000")
    assert lease is not None
    print(lease.path, flush=True)
    time.sleep(600)


def look(folder: Path) -> None:
    print([(held.uid, held.need.vram_mib) for held in Leases(folder).standing().held])


async def take(folder: str, seconds: float) -> int:
    settings = Settings(
        lease_dir=folder, gpu_headroom_mib=0, gpu_exports_per_device=4, nvenc_sessions=3
    )
    reservations = Reservations(settings)
    assert str(reservations.folder.path) == folder, reservations.folder
    print("ready", flush=True)
    had, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        need = Need(vram_mib=random.choice([500, 2000, 5000]), nvenc_sessions=1)
        lease = await reservations.gpu(need, lambda reason: None)
        await asyncio.sleep(random.random() * 0.01)
        lease.release()
        had += 1
    return had


if __name__ == "__main__":
    user, group, folder, what = sys.argv[1:]
    if int(user):
        if what not in {"hold", "look"}:
            # All modules are loaded now: another user perhaps cannot read them.
            with tempfile.TemporaryDirectory() as own:
                asyncio.run(take(own, 0.01))
        become(int(user), int(group))
    match what:
        case "hold":
            hold(Path(folder))
        case "look":
            look(Path(folder))
        case _:
            print(asyncio.run(take(folder, float(what))), flush=True)
