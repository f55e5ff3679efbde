"""The one table of encoders: what each is, and its settings for each quality.

Sources of the figures:

- x264: ``preset`` and ``crf``. ``cpu-independent`` gives the same bytes on every processor,
  ``stitchable`` keeps the headers free of what the content suggests, and ``open-gop=0`` makes
  every segment stand alone: that is what lets segments be joined without re-encoding. ``8x8dct``
  makes the fastest preset High profile too, at no measurable cost.
- NVENC: presets p1 (fastest) to p7 of NVIDIA's Video Codec SDK ≥ 10; ``rc=vbr`` with ``b=0``
  leaves ``cq`` alone in charge. Without ``forced-idr`` a requested keyframe is an I frame that
  need not start a closed group.
- QSV: ``global_quality`` without a bit rate selects intelligent constant quality (ICQ), on a
  scale near x264's crf.
- AMF: ``rc=cqp``, since constant quality modes differ between generations of cards.
- FFV1: version 3 with checksums; every frame a keyframe; the number of slices is pinned because
  it is part of the stream.

Byte identity is promised for software encoders only, hence their fixed number of threads.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from ..errors import EncoderUnavailable
from ..spec import Codec, Encoding, Quality

__all__ = ["ENCODERS", "Encoder", "EncoderSettings", "Family", "encoder", "options"]

SOFTWARE_THREADS = 4
KEYFRAME_SECONDS = 4.0
"""Seconds between keyframes at most: seeking in a notebook's player feels immediate."""


class Family(StrEnum):
    """Who does the encoding; the words of the setting `encoder_priority`."""

    NVENC = "nvenc"
    """NVIDIA."""
    QSV = "qsv"
    """Intel Quick Sync Video."""
    AMF = "amf"
    """AMD."""
    SOFTWARE = "software"
    """The processor."""


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """One encoder of FFmpeg."""

    name: str
    family: Family
    codec: Codec | None
    """The codec of a spec that it serves; None serves every codec (lossless: FFV1)."""
    presets: dict[Quality, dict[str, str]]
    """FFmpeg options per quality; a quality that is missing cannot be had."""
    common: dict[str, str]
    """FFmpeg options for every quality."""
    pix_fmt: str | None
    """What it is fed with; None is the format that the frames have."""
    keyframe_seconds: float | None = KEYFRAME_SECONDS
    """None: every frame is a keyframe."""
    thread_type: str = "FRAME"

    @property
    def hardware(self) -> bool:
        """Whether a device encodes, not the processor."""
        return self.family is not Family.SOFTWARE

    def serves(self, encoding: Encoding) -> bool:
        """Whether it can give what `encoding` asks for."""
        return encoding.quality in self.presets and self.codec in (None, encoding.codec)


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Everything that decides what an encoder makes of given frames."""

    name: str
    options: dict[str, str]
    """For the codec's `options`."""
    pix_fmt: str | None
    """None: encode the frames in the format that they have."""
    hardware: bool
    thread_count: int | None
    """Fixed for software, so that the bytes are the same everywhere; None for hardware."""
    thread_type: str | None
    """``FRAME`` or ``SLICE``; None for hardware."""
    keyframe_seconds: float | None
    """Longest distance of two keyframes; None: every frame is one."""
    closed_gop: bool = True
    """No frame refers across a keyframe."""

    def gop_size(self, rate: Fraction) -> int:
        """The longest group of pictures, in frames, at `rate` frames per second."""
        if self.keyframe_seconds is None:
            return 1
        return max(1, round(Fraction(self.keyframe_seconds) * rate))

    def to_json(self) -> dict[str, Any]:
        """All of it, for the hash of a segment."""
        return asdict(self)


_X264 = Encoder(
    name="libx264",
    family=Family.SOFTWARE,
    codec=Codec.H264,
    presets={
        Quality.FAST: {"preset": "ultrafast", "crf": "23"},
        Quality.BALANCED: {"preset": "fast", "crf": "18"},
        Quality.QUALITY: {"preset": "slow", "crf": "15"},
    },
    common={
        "profile": "high",
        "x264-params": "cpu-independent=1:open-gop=0:stitchable=1:8x8dct=1",
    },
    pix_fmt="yuv420p",
)

_NVENC = Encoder(
    name="h264_nvenc",
    family=Family.NVENC,
    codec=Codec.H264,
    presets={
        Quality.FAST: {"preset": "p1", "cq": "23"},
        Quality.BALANCED: {"preset": "p4", "cq": "19"},
        Quality.QUALITY: {"preset": "p7", "cq": "15"},
    },
    common={"profile": "high", "rc": "vbr", "b": "0", "forced-idr": "1"},
    pix_fmt="yuv420p",
)

_QSV = Encoder(
    name="h264_qsv",
    family=Family.QSV,
    codec=Codec.H264,
    presets={
        Quality.FAST: {"preset": "veryfast", "global_quality": "23"},
        Quality.BALANCED: {"preset": "medium", "global_quality": "19"},
        Quality.QUALITY: {"preset": "veryslow", "global_quality": "15"},
    },
    common={"profile": "high", "forced_idr": "1"},
    pix_fmt="nv12",
)

_AMF = Encoder(
    name="h264_amf",
    family=Family.AMF,
    codec=Codec.H264,
    presets={
        Quality.FAST: {"quality": "speed", "qp_i": "23", "qp_p": "23", "qp_b": "25"},
        Quality.BALANCED: {"quality": "balanced", "qp_i": "19", "qp_p": "19", "qp_b": "21"},
        Quality.QUALITY: {"quality": "quality", "qp_i": "15", "qp_p": "15", "qp_b": "17"},
    },
    common={"profile": "high", "rc": "cqp", "forced_idr": "1"},
    pix_fmt="nv12",
)

_FFV1 = Encoder(
    name="ffv1",
    family=Family.SOFTWARE,
    codec=None,
    presets={Quality.LOSSLESS: {}},
    common={"level": "3", "coder": "1", "context": "1", "slices": "4", "slicecrc": "1"},
    pix_fmt=None,
    keyframe_seconds=None,
    thread_type="SLICE",
)

ENCODERS: dict[str, Encoder] = {entry.name: entry for entry in (_NVENC, _QSV, _AMF, _X264, _FFV1)}
"""By name; within a family the first that serves is taken."""


def encoder(name: str, *, field: str | None = "encoding.encoder") -> Encoder:
    """The table's row.

    Raises:
        EncoderUnavailable: the table has no such name.
    """
    try:
        return ENCODERS[name]
    except KeyError:
        raise EncoderUnavailable(
            f"There is no encoder named {name!r}.",
            f"Use auto, or one of {', '.join(ENCODERS)}.",
            field=field,
        ) from None


def options(name: str, quality: Quality) -> EncoderSettings:
    """The settings of the encoder `name` at `quality`.

    Raises:
        EncoderUnavailable: there is no such encoder, or it does not offer this quality.
    """
    entry = encoder(name)
    if quality not in entry.presets:
        raise EncoderUnavailable(
            f"{name} does not offer quality {quality.value}.",
            f"Use one of {', '.join(entry.presets)}, or encoder auto.",
            field="encoding.quality",
        )
    return EncoderSettings(
        name=name,
        options={**entry.common, **entry.presets[quality]},
        pix_fmt=entry.pix_fmt,
        hardware=entry.hardware,
        thread_count=None if entry.hardware else SOFTWARE_THREADS,
        thread_type=None if entry.hardware else entry.thread_type,
        keyframe_seconds=entry.keyframe_seconds,
    )
