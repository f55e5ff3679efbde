"""Why an encoder cannot be used, in plain words, from what FFmpeg and its driver logged."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .encoders import Family

__all__ = ["SESSION_LIMIT", "explain"]

SESSION_LIMIT = "the NVENC session limit is reached"
"""The one reason that passes by itself: other programs hold all encoder sessions."""

_NO_NVENC = (
    "this NVIDIA GPU has no NVENC encoder (data-centre GPUs such as A100, H100, H200 have none)"
)
_NO_DRIVER = "no NVIDIA driver (libcuda.so.1 is missing)"
_NO_INTEL = "no Intel GPU or media driver (oneVPL)"
_NO_AMD = "no AMD GPU or AMF runtime"

# The texts are those of libavcodec/nvenc.c, qsv.c and libavutil/hwcontext_amf.c. The order
# matters: NVENC ends with "No capable devices found" after each more telling failure.
_RULES: dict[Family, tuple[tuple[str, str], ...]] = {
    Family.NVENC: (
        (r"Cannot load (libcuda|nvcuda)", _NO_DRIVER),
        (
            r"Cannot load (libnvidia-encode|nvEncodeAPI)",
            "the NVIDIA driver comes without its encoding library (libnvidia-encode.so.1); in a "
            "container, NVIDIA_DRIVER_CAPABILITIES must contain video",
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
        (r"(?P<error>CUDA_ERROR_\w+)", "the NVIDIA driver found no usable GPU ({error})"),
        (r"No CUDA capable devices found", "the NVIDIA driver found no GPU"),
        (r"unsupported device|No capable devices found|Codec not supported", _NO_NVENC),
    ),
    Family.QSV: ((r"MFX session|MFX implementation|MFX loader|oneVPL", _NO_INTEL),),
    Family.AMF: ((r"amfrt|\(AMF\)|AMF failed to initiali[sz]e", _NO_AMD),),
    Family.SOFTWARE: (),
}


def explain(family: Family, log: Sequence[str]) -> str:
    """The reason in one phrase; `log` holds FFmpeg's lines and the error's own text."""
    text = "\n".join(log)
    for pattern, reason in _RULES[family]:
        if found := re.search(pattern, text):
            return reason.format(**found.groupdict())
    return "its trial encode failed"
