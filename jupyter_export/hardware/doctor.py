"""The hardware report as `jupyter export doctor` prints it and as REST gives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import EncoderUnavailable
from ..spec import Codec, Encoding
from .choice import decide
from .encoders import ENCODERS
from .report import HardwareReport

__all__ = ["to_json", "to_lines"]


def to_lines(report: HardwareReport, priority: Sequence[str], force_cpu: bool) -> list[str]:
    """Lines of text: each encoder with its reason, each GPU, the versions, and what auto takes."""
    width = max(len(name) for name in ENCODERS)
    lines = ["Encoders"]
    for result in report.encoders:
        lines += _verdict(result.name, result.usable, result.reason, result.detail, width)
    for codec in Codec:
        taken = _auto(report, priority, force_cpu, codec)["reason"]
        lines.append(f"  auto takes for {codec.value}: {taken}")
    nvdec, torch = report.nvdec, report.torch
    built = f"{torch.version}, CUDA {torch.cuda}" if torch.cuda else torch.version or ""
    lines += ["", "Other uses of a GPU"]
    lines += _verdict("nvdec", nvdec.usable, nvdec.reason, nvdec.detail, width)
    lines += _verdict("torch", torch.usable, torch.reason, built, width)
    lines += ["", "GPUs"]
    lines += [
        f"  {gpu.name}" + (f", driver {gpu.driver}" if gpu.driver else "") for gpu in report.gpus
    ] or ["  none found"]
    versions = report.versions
    lines += [
        "",
        "Versions",
        f"  PyAV {versions.get('av', 'unknown')}, FFmpeg {versions.get('ffmpeg', 'unknown')}"
        + (f", NVIDIA driver {report.driver}" if report.driver else ""),
        f"  tried {report.probed_at:%Y-%m-%d %H:%M} UTC",
    ]
    return lines


def to_json(report: HardwareReport, priority: Sequence[str], force_cpu: bool) -> dict[str, Any]:
    """The report for ``doctor --json`` and ``GET hardware``."""
    value = report.to_json()
    value.pop("environment")
    for result in value["encoders"]:
        entry = ENCODERS[result["name"]]
        result["family"] = entry.family.value
        result["codec"] = entry.codec.value if entry.codec else None
        result["qualities"] = [quality.value for quality in entry.presets]
        result["bits"] = entry.bits
    return {
        **value,
        "encoder_priority": list(priority),
        "force_cpu": force_cpu,
        "auto": _auto(report, priority, force_cpu),
    }


def _verdict(name: str, usable: bool, reason: str, detail: str, width: int) -> list[str]:
    line = f"  {name:<{width}}  {'yes' if usable else 'no':<3}".rstrip()
    if reason:
        line = f"{line:<{width + 7}}  {reason}"
    return [line, f"{'':<{width + 9}}{detail}"] if detail else [line]


def _auto(
    report: HardwareReport, priority: Sequence[str], force_cpu: bool, codec: Codec = Codec.H264
) -> dict[str, Any]:
    try:
        choice = decide(Encoding(codec=codec), report, priority, force_cpu)
    except EncoderUnavailable as error:
        return {"name": None, "reason": f"nothing: {error}"}
    return {"name": choice.name, "reason": choice.reason}
