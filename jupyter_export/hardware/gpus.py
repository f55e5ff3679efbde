"""The NVIDIA GPUs that this process may use, with their free memory, by NVML."""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from .allocation import allotted_gpus

__all__ = ["Device", "GpuView", "Gpus", "visible"]

ANSWER_SECONDS = 5.0
"""A driver that takes longer hangs, perhaps for ever."""
FRESH_SECONDS = 0.1
"""An answer this young serves again."""
AGAIN_SECONDS = 60.0
"""Where there was no driver, it is looked for again after this long."""

_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Device:
    """One GPU, or one instance of a GPU that is divided (MIG)."""

    id: str
    """NVIDIA's UUID: ``GPU-…`` or ``MIG-…``. The same in every container."""
    label: str
    """``GPU 0``, or ``GPU 0 MIG 1``, with the numbers of nvidia-smi."""
    name: str
    total_mib: int
    free_mib: int
    """Of what nobody uses now, exports or strangers."""
    nvenc: bool = False
    """Whether it has encoding units. Data-centre GPUs (A100, H100, H200) have none."""
    sessions: int = 0
    """NVENC sessions that are open now, of exports and strangers."""
    index: int = 0
    """NVIDIA's number of the GPU."""
    parent: str = ""
    """The UUID of the GPU that this is an instance of."""


@dataclass(frozen=True, kw_only=True)
class GpuView:
    """What can be seen at one moment."""

    devices: tuple[Device, ...] = ()
    reason: str = ""
    """Why there are none, in plain words."""
    notes: tuple[str, ...] = ()
    """What is wrong with single devices."""


class Gpus:
    """Asks the driver, in a thread of its own that may hang with it. Use it from any thread."""

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        timeout: float = ANSWER_SECONDS,
        library: str = "pynvml",
    ) -> None:
        self._environment = os.environ if environment is None else environment
        self._timeout = timeout
        self._library = library
        self._lock = threading.Lock()
        self._requests: queue.SimpleQueue[Future[GpuView]] | None = None
        self._pending: Future[GpuView] | None = None
        self._view = GpuView(reason="not looked for yet")
        self._good_until = 0.0

    def view(self) -> GpuView:
        """The devices now; takes about a millisecond, and at most the time limit."""
        with self._lock:
            if time.monotonic() < self._good_until:
                return self._view
            if self._pending is None:
                if self._requests is None:
                    self._requests = queue.SimpleQueue()
                    # A daemon: whoever hangs in a driver must not hold up the end of the server.
                    threading.Thread(
                        target=self._serve, args=(self._requests,), name="nvml", daemon=True
                    ).start()
                self._pending = Future()
                self._requests.put(self._pending)
                patience = self._timeout
            else:
                patience = 0.0  # it hangs since an earlier call
            try:
                self._view = self._pending.result(patience)
            except TimeoutError:
                return GpuView(reason=f"the NVIDIA driver has not answered for {self._timeout:g} s")
            self._pending = None
            keep = AGAIN_SECONDS if self._view.reason else FRESH_SECONDS
            self._good_until = time.monotonic() + keep
            return self._view

    def _serve(self, requests: queue.SimpleQueue[Future[GpuView]]) -> None:
        nvml: Any = None
        while True:
            request = requests.get()
            try:
                if nvml is None:
                    nvml = _loaded(self._library)
                request.set_result(_look(nvml, self._environment))
            except Exception as error:
                request.set_result(GpuView(reason=_why(error)))
                nvml = None


def visible(devices: Sequence[Device], allotted: str | None) -> tuple[tuple[Device, ...], str]:
    """Those that `allotted` (as in ``CUDA_VISIBLE_DEVICES``) leaves, in its order, and why none.

    As CUDA does it: numbers or beginnings of UUIDs, separated by commas; the list ends at the
    first entry that means nothing. A divided GPU shows its instances instead of itself.
    """
    whole = [device for device in devices if not device.parent]
    divided = {device.parent for device in devices if device.parent}
    if allotted is None:
        return tuple(device for device in devices if device.id not in divided), ""
    chosen: list[Device] = []
    for entry in (part.strip() for part in allotted.split(",")):
        found: list[Device] = []
        if entry.isdigit():
            found = [device for device in whole if device.index == int(entry)]
        elif entry.startswith(("GPU-", "MIG-")):
            found = [device for device in devices if device.id.startswith(entry)]
        if len(found) != 1 or found[0] in chosen:
            break
        chosen.append(found[0])
    shown = [
        one
        for device in chosen
        for one in ([d for d in devices if d.parent == device.id] or [device])
    ]
    if not shown:
        return (), f"none of them is given to this server (visible devices: {allotted!r})"
    return tuple(shown), ""


def _loaded(library: str) -> Any:
    nvml = importlib.import_module(library)
    nvml.nvmlInit()
    return nvml


def _look(nvml: Any, environment: Mapping[str, str]) -> GpuView:
    notes: list[str] = []
    devices: list[Device] = []
    count = nvml.nvmlDeviceGetCount()
    for index in range(count):
        try:
            devices += _device(nvml, index)
        except nvml.NVMLError as error:
            # Such as a GPU that has fallen off the bus: the others go on.
            notes.append(f"GPU {index}: {_why(error)}")
    if not devices:
        return GpuView(reason="; ".join(notes) or "no NVIDIA GPU", notes=tuple(notes))
    present = sum(not device.parent for device in devices)
    shown, reason = visible(devices, allotted_gpus(environment, present))
    return GpuView(devices=shown, reason=reason, notes=tuple(notes))


def _device(nvml: Any, index: int) -> Iterator[Device]:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    uuid = _text(nvml.nvmlDeviceGetUUID(handle))
    nvenc, sessions = _nvenc(nvml, handle)
    whole = Device(
        id=uuid,
        label=f"GPU {index}",
        name=_text(nvml.nvmlDeviceGetName(handle)),
        total_mib=memory.total // _MIB,
        free_mib=memory.free // _MIB,
        nvenc=nvenc,
        sessions=sessions,
        index=index,
    )
    yield whole
    for number, instance in _instances(nvml, handle):
        memory = nvml.nvmlDeviceGetMemoryInfo(instance)
        yield Device(
            id=_text(nvml.nvmlDeviceGetUUID(instance)),
            label=f"GPU {index} MIG {number}",
            name=whole.name,
            total_mib=memory.total // _MIB,
            free_mib=memory.free // _MIB,
            index=index,
            parent=uuid,
        )


def _instances(nvml: Any, handle: Any) -> Iterator[tuple[int, Any]]:
    try:
        if nvml.nvmlDeviceGetMigMode(handle)[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            return
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:
        return  # it cannot be divided
    for number in range(count):
        with contextlib.suppress(nvml.NVMLError):
            yield number, nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)


def _nvenc(nvml: Any, handle: Any) -> tuple[bool, int]:
    """Whether it encodes H.264 at all, and how many sessions are open."""
    try:
        nvml.nvmlDeviceGetEncoderCapacity(handle, nvml.NVML_ENCODER_QUERY_H264)
    except nvml.NVMLError:
        return False, 0
    try:
        return True, int(nvml.nvmlDeviceGetEncoderStats(handle)[0])
    except nvml.NVMLError:
        return True, 0


def _why(error: Exception) -> str:
    said = " ".join(str(error).split())
    plain = {
        "NVMLError_LibraryNotFound": "no NVIDIA driver (libnvidia-ml is missing)",
        "NVMLError_DriverNotLoaded": "the NVIDIA driver is installed, but not loaded",
        "NVMLError_NoPermission": "this user may not use the NVIDIA driver",
        "NVMLError_LibRmVersionMismatch": (
            "the NVIDIA driver was updated; it works again after a restart of the machine"
        ),
        "NVMLError_GpuIsLost": "lost: it has fallen off the bus, or was reset",
        "ModuleNotFoundError": "the package nvidia-ml-py is not installed",
    }
    return plain.get(type(error).__name__, f"the NVIDIA driver answers {said!r}")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
