"""The child of the probes: tries encoders, the decoder and torch, one after another.

``python -m jupyter_export.hardware.trials NAME…`` writes one JSON line with the versions of the
libraries, then one per name; whatever else it writes is the drivers' own.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import signal
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, cast

from ..spec import Quality
from .encoders import ENCODERS, Encoder, Family, options
from .real_time import not_in_real_time
from .reasons import NOT_BUILT, PASSING, explain

__all__ = ["NVDEC", "TORCH"]

NVDEC = "nvdec"
"""The trial of NVIDIA's decoder."""
TORCH = "torch"
"""The trial of PyTorch on the GPU."""

FRAMES = 5
SIDE = 256  # NVENC refuses pictures smaller than about 145×145 on cards that work.


def trial(name: str) -> dict[str, Any]:
    """What came of it: the fields of `EncoderResult`."""
    import av
    import av.logging

    entry = ENCODERS.get(name)
    family = entry.family if entry else Family.NVENC
    attempts: dict[str, Callable[[], object]] = {NVDEC: _decode, TORCH: _compute}
    attempt = attempts.get(name) or (lambda: _encode(ENCODERS[name]))
    av.logging.set_level(av.logging.VERBOSE)
    with av.logging.Capture(local=False) as lines:
        failure = ""
        try:
            attempt()
        except av.codec.codec.UnknownCodecError:
            return {"name": name, "usable": False, "reason": NOT_BUILT}
        except Exception as error:
            # Whatever went wrong here is the answer, not a fault of the probe.
            failure = f"{type(error).__name__}: {error}"
    if not failure:
        return {"name": name, "usable": True}
    said = [
        f"{who}: {' '.join(text.split())}"
        for level, who, text in lines
        if level <= av.logging.ERROR
    ]
    reason = explain(family, [*(text for _, _, text in lines), failure])
    return {
        "name": name,
        "usable": False,
        "reason": reason,
        "detail": "; ".join(said or [failure])[-500:],
        "lasting": reason not in PASSING,
    }


def _encode(entry: Encoder) -> tuple[bytes | None, list[Any]]:
    """Open, encode a few frames, flush; that every frame came out proves that it works.

    Gives the stream's header and packets.
    """
    import av

    quality = Quality.BALANCED if Quality.BALANCED in entry.presets else next(iter(entry.presets))
    settings = options(entry.name, quality)
    context = cast("av.VideoCodecContext", av.CodecContext.create(entry.name, "w"))
    context.width = context.height = SIDE
    context.pix_fmt = settings.pix_fmt or "yuv420p"
    context.time_base = Fraction(1, 30)
    context.framerate = Fraction(30)
    context.options = settings.options
    with not_in_real_time():
        context.open()
    packets = []
    for number in range(FRAMES):
        frame = av.VideoFrame(SIDE, SIDE, context.pix_fmt)
        for plane in frame.planes:
            plane.update(bytes([64 + number]) * plane.buffer_size)
        frame.pts = number
        packets += context.encode(frame)
    packets += context.encode(None)
    if len(packets) != FRAMES or not all(packet.size for packet in packets):
        raise RuntimeError(f"{FRAMES} frames went in, {len(packets)} came out")
    return context.extradata, packets


def _decode() -> None:
    """Decode H.264 on the device, with no way back to software."""
    import av
    from av.codec.hwaccel import HWAccel

    extradata, packets = _encode(ENCODERS["libx264"])
    context = av.CodecContext.create(
        "h264", "r", hwaccel=HWAccel("cuda", allow_software_fallback=False)
    )
    context.extradata = extradata
    frames = [frame for packet in [*packets, None] for frame in context.decode(packet)]
    if len(frames) != FRAMES:
        raise RuntimeError(f"{FRAMES} frames went in, {len(frames)} came out")


def _compute() -> None:
    """A small product on the first device: importing torch proves nothing."""
    torch: Any = importlib.import_module("torch")
    if not torch.cuda.is_available():
        raise RuntimeError("torch finds no CUDA device")
    ones = torch.ones(64, 64, device="cuda")
    if float((ones @ ones).sum()) != 64.0**3:
        raise RuntimeError("the device computed nonsense")


def say(value: dict[str, Any]) -> None:
    """Write one message."""
    # The empty line ends what a driver may have written without one.
    sys.stdout.write("\n" + json.dumps(value) + "\n")
    sys.stdout.flush()


def main(names: Sequence[str]) -> None:
    """Try each of `names` and say what came of it."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        deadline = float(json.loads(sys.stdin.readline())["deadline"])
        if hasattr(signal, "setitimer"):
            # The default action ends the process even while it is stuck in a driver's code.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, deadline)
    import av

    libraries = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    ffmpeg = str(getattr(av, "ffmpeg_version_info", ""))
    say({"versions": {"av": av.__version__, "ffmpeg": ffmpeg, **libraries}})
    for name in names:
        say(trial(name))


if __name__ == "__main__":
    main(sys.argv[1:])
