"""Why an encoder cannot be used, in plain words, from what FFmpeg and its driver logged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from .encoders import Family

__all__ = [
    "GPU_FULL",
    "NOT_BUILT",
    "NO_NVENC",
    "PASSING",
    "SESSION_LIMIT",
    "Trouble",
    "explain",
    "judge",
    "with_models",
]

NOT_BUILT = "not in this build of FFmpeg"
GPU_FULL = "the GPU's memory is full"
SESSION_LIMIT = "the NVENC session limit is reached"

PASSING = frozenset({SESSION_LIMIT, GPU_FULL})
"""The reasons that pass by themselves: other programs hold what is needed."""

NO_NVENC = "no NVENC on this GPU"
_NO_CODEC = "this GPU's NVENC does not encode this codec"
_NO_DRIVER = "no NVIDIA driver (libcuda.so.1 is missing)"
_NO_INTEL = "no Intel GPU or media driver (oneVPL)"
_NO_AMD = "no AMD GPU or AMF runtime"
_NO_VAAPI = "no GPU with a VA-API driver"
_NO_UPLOAD = "it takes frames from GPU memory only, which is not supported yet"
_NO_APPLE = "this Mac has no hardware encoder for it"


class Trouble(StrEnum):
    """What an encoder's failure calls for."""

    BUSY = "busy"
    """Wait: others hold what it needs."""
    DEVICE = "device"
    """Go on in software: the device is gone, its driver failed, or it cannot do this."""
    REQUEST = "request"
    """Report it: we asked for something that makes no sense."""


#: NVIDIA's "Video Encode and Decode Support Matrix": these models have no encoder.
_WITHOUT_NVENC = re.compile(r"\b(A30X?|A100X?|A800|H20|H100|H200|H800|GH200|B100|B200|GB200)\b")

# The texts are those of libavcodec/nvenc.c, qsv.c and libavutil/hwcontext_amf.c. The order
# matters: NVENC ends with "No capable devices found" after each more telling failure.
_RULES: dict[Family, tuple[tuple[str, str], ...]] = {
    Family.NVENC: (
        (r"Cannot load (libcuda|nvcuda)", _NO_DRIVER),
        (
            r"Cannot load (libnvcuvid|nvcuvid)",
            "the NVIDIA driver comes without its decoding library (libnvcuvid.so.1); in a "
            "container, NVIDIA_DRIVER_CAPABILITIES must contain video",
        ),
        (
            r"Cannot load (libnvidia-encode|nvEncodeAPI)",
            "the NVIDIA driver comes without its encoding library (libnvidia-encode.so.1); in a "
            "container, NVIDIA_DRIVER_CAPABILITIES must contain video",
        ),
        (
            r"(?P<what>(Width|Height) \d+ exceeds \d+)",
            "the picture is too large for this GPU's encoder ({what})",
        ),
        (
            r"minimum required Nvidia driver for nvenc is (?P<version>[\d.]+)",
            "the NVIDIA driver is too old for this FFmpeg ({version} or newer is needed)",
        ),
        (
            r"required nvenc API version. Required: (?P<version>[\d.]+)",
            "the NVIDIA driver is too old for this FFmpeg (NVENC API {version} is needed)",
        ),
        (r"out of memory \(10\)|incompatible client key \(21\)", SESSION_LIMIT),
        (r"CUDA_ERROR_OUT_OF_MEMORY", GPU_FULL),
        (r"(?P<error>CUDA_ERROR_\w+)", "the NVIDIA driver found no usable GPU ({error})"),
        (r"No CUDA capable devices found", "the NVIDIA driver found no GPU"),
        (r"Codec not supported", _NO_CODEC),
        (r"unsupported device|No capable devices found", NO_NVENC),
    ),
    Family.QSV: ((r"MFX session|MFX implementation|MFX loader|oneVPL", _NO_INTEL),),
    Family.AMF: ((r"amfrt|\(AMF\)|AMF failed to initiali[sz]e", _NO_AMD),),
    Family.VAAPI: (
        (r"No VA display|[Ff]ailed to initiali[sz]e VAAPI", _NO_VAAPI),
        (r"hardware frames reference is required", _NO_UPLOAD),
    ),
    Family.VIDEOTOOLBOX: (
        (r"[Cc]annot create compression session|qscale not available", _NO_APPLE),
    ),
    Family.SOFTWARE: (),
}


def explain(family: Family, log: Sequence[str]) -> str:
    """The reason in one phrase; `log` holds FFmpeg's lines and the error's own text."""
    return _known(family, log) or "its trial failed"


def judge(family: Family, log: Sequence[str], *, invalid: bool) -> tuple[Trouble, str]:
    """Whose fault it is that an encoder did not open, and the reason in one phrase.

    `log` is as for `explain`; `invalid` says that FFmpeg took it for an invalid argument.
    """
    reason = _known(family, log)
    if reason in PASSING:
        return Trouble.BUSY, reason
    if family is Family.SOFTWARE or (invalid and not reason):
        return Trouble.REQUEST, reason or "it refused its settings"
    return Trouble.DEVICE, reason or "its device or driver failed"


def _known(family: Family, log: Sequence[str]) -> str:
    text = "\n".join(log)
    for pattern, reason in _RULES[family]:
        if found := re.search(pattern, text):
            return reason.format(**found.groupdict())
    return ""


def with_models(reason: str, models: Sequence[str]) -> str:
    """`reason`, with the names of the NVIDIA GPUs if it is that they have no encoder."""
    if reason != NO_NVENC or not models:
        return reason
    short = list(dict.fromkeys(model.removeprefix("NVIDIA ") for model in models))
    known = all(_WITHOUT_NVENC.search(model) for model in short)
    return f"{reason} ({', '.join(short)})" + (": data-centre GPUs have none" if known else "")
