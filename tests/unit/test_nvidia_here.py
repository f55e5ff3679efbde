"""What is told of a real NVIDIA GPU is compared with what others find; skipped where there is none.

NVML, the libraries' presence and torch in a process of its own are the witnesses.
"""

from __future__ import annotations

import asyncio
import ctypes
import re
import subprocess
import sys

import pytest

from jupyter_export.hardware.doctor import to_lines
from jupyter_export.hardware.encoders import ENCODERS, Family
from jupyter_export.hardware.gpus import Gpus
from jupyter_export.hardware.reasons import PASSING
from jupyter_export.hardware.report import HardwareReport, make_report
from jupyter_export.settings import Settings

VIEW = Gpus().view()
pytestmark = [
    pytest.mark.skipif(not VIEW.devices, reason=f"needs an NVIDIA GPU: {VIEW.reason}"),
    pytest.mark.timeout(300),
]

#: NVIDIA's "Video Encode and Decode GPU Support Matrix": no encoder at all.
WITHOUT_NVENC = re.compile(r"\b(A30|A100|A800|H20|H100|H200|H800|GH200|B100|B200|GB200)\b")


@pytest.fixture(scope="module")
def report() -> HardwareReport:
    return asyncio.run(make_report(list(ENCODERS), Settings().probe_timeout))


def loads(name: str) -> bool:
    """Whether this part of the driver is there; containers often get only some."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def test_the_gpus_are_named_with_their_driver(report: HardwareReport) -> None:
    names = [gpu.name for gpu in report.gpus if gpu.vendor == "NVIDIA"]
    assert {device.name for device in VIEW.devices} <= set(names)
    assert report.driver


def test_nvenc_is_told_as_the_driver_has_it(report: HardwareReport) -> None:
    result = report.find("h264_nvenc")
    assert result is not None
    names = [device.name for device in VIEW.devices]
    if not loads("libcuda.so.1"):
        assert result.reason == "no NVIDIA driver (libcuda.so.1 is missing)"
    elif not loads("libnvidia-encode.so.1"):
        assert not result.usable
        assert "NVIDIA_DRIVER_CAPABILITIES must contain video" in result.reason
    elif all(WITHOUT_NVENC.search(name) for name in names):
        assert not any(device.nvenc for device in VIEW.devices)
        for entry in ENCODERS.values():
            if entry.family is Family.NVENC:
                found = report.find(entry.name)
                assert found is not None and not found.usable
                assert found.reason.startswith("no NVENC on this GPU (")
                assert found.reason.endswith("): data-centre GPUs have none")
    else:
        assert result.usable or result.reason in PASSING, result


def test_nvdec_is_told_as_the_driver_has_it(report: HardwareReport) -> None:
    if not loads("libcuda.so.1"):
        assert report.nvdec.reason == "no NVIDIA driver (libcuda.so.1 is missing)"
    elif loads("libnvcuvid.so.1"):
        assert report.nvdec.usable, report.nvdec  # every NVIDIA GPU decodes H.264
    else:
        assert not report.nvdec.usable
        assert "NVIDIA_DRIVER_CAPABILITIES must contain video" in report.nvdec.reason


def test_torch_is_told_as_torch_finds_it(report: HardwareReport) -> None:
    code = "import torch; torch.ones(9, device='cuda'); print(torch.__version__)"
    alone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert report.torch.usable == (alone.returncode == 0), (report.torch, alone.stderr[-500:])
    if alone.returncode == 0:
        assert report.torch.version == alone.stdout.strip()
    else:
        assert report.torch.reason


def test_the_doctor_tells_all_of_it(report: HardwareReport) -> None:
    text = "\n".join(to_lines(report, Settings().encoder_priority, force_cpu=False))
    assert all(gpu.name in text for gpu in report.gpus)
    assert re.search(r"^  nvdec +(yes|no +\S)", text, re.MULTILINE)
    assert re.search(r"^  torch +(yes|no +\S)", text, re.MULTILINE)
    assert re.search(r"^  h264_nvenc +(yes|no +\S)", text, re.MULTILINE)
