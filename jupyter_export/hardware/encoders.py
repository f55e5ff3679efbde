"""The one table of encoders: what each is, and its settings for each quality.

Sources of the figures. The three qualities of H.264 set the scale; of the others each is the
nearest in PSNR over real footage, or what the makers give as the equal of it.

- x264: ``preset`` and ``crf``. ``cpu-independent`` gives the same bytes on every processor,
  ``stitchable`` keeps the headers free of what the content suggests, and ``open-gop=0`` makes
  every segment stand alone: that is what lets segments be joined without re-encoding. ``8x8dct``
  makes the fastest preset High profile too, at no measurable cost.
- x265: ``preset`` and ``crf``. The number of frames in work decides how far motion may reach,
  hence the bytes, and follows the machine unless ``frame-threads`` pins it; ``pools`` pins the
  rest. ``info=0`` leaves the library's version and settings out of the stream; ``log-level=none``
  since it writes past FFmpeg's log.
- SVT-AV1: ``preset`` and ``crf``; above preset 9 its makers promise no visual quality. ``lp`` pins
  its threads. It has no open groups of pictures but on request.
- NVENC: presets p1 (fastest) to p7 of NVIDIA's Video Codec SDK ≥ 10; ``rc=vbr`` with ``b=0``
  leaves ``cq`` alone in charge (0–51, for AV1 0–63). Without ``forced-idr`` a requested keyframe
  is an I frame that need not start a closed group.
- QSV: ``global_quality`` without a bit rate selects intelligent constant quality (ICQ), on a
  scale near x264's crf.
- AMF: ``rc=cqp``, since constant quality modes differ between generations of cards; of AV1 the
  scale is 0–255 (the q index of its specification).
- VA-API: ``rc_mode=CQP``, the one mode of every driver; the scale of AV1 is 0–255 as well.
- VideoToolbox: ``flags=+qscale`` with ``global_quality`` = 118 (FF_QP2LAMBDA) times a quality of
  1 to 100: constant quality, which Apple's own chips have. None of them encodes AV1.
- FFV1: version 3 with checksums; every frame a keyframe; the number of slices is pinned because
  it is part of the stream.

Byte identity is promised for software encoders only, hence their fixed number of threads. The
assembly of x265 and SVT-AV1 gives what their C code gives, which a test checks.
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
    VAAPI = "vaapi"
    """Linux's common interface to Intel's and AMD's devices."""
    VIDEOTOOLBOX = "videotoolbox"
    """Apple."""
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
    formats: tuple[str, ...]
    """The pixel formats that it is fed with, by rising depth; empty takes frames as they are."""
    keyframe_seconds: float | None = KEYFRAME_SECONDS
    """None: every frame is a keyframe."""
    thread_type: str = "FRAME"

    @property
    def hardware(self) -> bool:
        """Whether a device encodes, not the processor."""
        return self.family is not Family.SOFTWARE

    @property
    def bits(self) -> int:
        """The most bits per component that it keeps; 16 where frames are taken as they are."""
        return max(map(_depth, self.formats), default=16)

    def format_for(self, bits: int) -> str | None:
        """What to feed it for a source of `bits` per component, without loss if that can be.

        None: the frames as they are.
        """
        deep = (name for name in self.formats if _depth(name) >= bits)
        return next(deep, self.formats[-1] if self.formats else None)

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


_DEEP = {"p010le": 10, "yuv420p10le": 10}
_QUALITIES = (Quality.FAST, Quality.BALANCED, Quality.QUALITY)
_PLANAR = ("yuv420p",)
_PLANAR_10 = ("yuv420p", "yuv420p10le")
_NVENC_10 = ("yuv420p", "p010le")
_NV12 = ("nv12",)
_NV12_10 = ("nv12", "p010le")
_HIGH = {"profile": "high"}


def _depth(pix_fmt: str) -> int:
    return _DEEP.get(pix_fmt, 8)


def _each(**values: str) -> dict[Quality, dict[str, str]]:
    """``_each(preset="a b c")`` gives fast, balanced and quality their option in this order."""
    split = {name: text.split() for name, text in values.items()}
    return {q: {name: v[i] for name, v in split.items()} for i, q in enumerate(_QUALITIES)}


def _row(
    name: str,
    family: Family,
    codec: Codec,
    formats: tuple[str, ...],
    common: dict[str, str],
    presets: dict[Quality, dict[str, str]],
) -> Encoder:
    return Encoder(
        name=name, family=family, codec=codec, formats=formats, common=common, presets=presets
    )


_X264 = "cpu-independent=1:open-gop=0:stitchable=1:8x8dct=1"
_X265 = f"log-level=none:info=0:open-gop=0:pools={SOFTWARE_THREADS}:frame-threads=2"
_SVT = f"lp={SOFTWARE_THREADS}"
_NVENC = {"rc": "vbr", "b": "0", "forced-idr": "1"}
_QSV = {"forced_idr": "1"}
_AMF = {"rc": "cqp", "forced_idr": "1"}
_VAAPI = {"rc_mode": "CQP"}
_APPLE = {"flags": "+qscale", "allow_sw": "0", "realtime": "0"}
_APPLE_QUALITY = " ".join(str(118 * quality) for quality in (50, 65, 80))
_P = "p1 p4 p7"
_INTEL = "veryfast medium veryslow"
_AMD = "speed balanced quality"

_TABLE = (
    _row("h264_nvenc", Family.NVENC, Codec.H264, _PLANAR, _HIGH | _NVENC,
         _each(preset=_P, cq="23 19 15")),
    _row("hevc_nvenc", Family.NVENC, Codec.HEVC, _NVENC_10, _NVENC,
         _each(preset=_P, cq="25 21 17")),
    _row("av1_nvenc", Family.NVENC, Codec.AV1, _NVENC_10, _NVENC,
         _each(preset=_P, cq="30 25 20")),
    _row("h264_qsv", Family.QSV, Codec.H264, _NV12, _HIGH | _QSV,
         _each(preset=_INTEL, global_quality="23 19 15")),
    _row("hevc_qsv", Family.QSV, Codec.HEVC, _NV12_10, _QSV,
         _each(preset=_INTEL, global_quality="25 21 17")),
    _row("av1_qsv", Family.QSV, Codec.AV1, _NV12_10, _QSV,
         _each(preset=_INTEL, global_quality="27 23 19")),
    _row("h264_amf", Family.AMF, Codec.H264, _NV12, _HIGH | _AMF,
         _each(quality=_AMD, qp_i="23 19 15", qp_p="23 19 15", qp_b="25 21 17")),
    _row("hevc_amf", Family.AMF, Codec.HEVC, _NV12_10, _AMF,
         _each(quality=_AMD, qp_i="25 21 17", qp_p="25 21 17")),
    _row("av1_amf", Family.AMF, Codec.AV1, _NV12_10, _AMF,
         _each(quality=_AMD, qp_i="110 85 60", qp_p="110 85 60")),
    _row("h264_vaapi", Family.VAAPI, Codec.H264, _NV12, _HIGH | _VAAPI,
         _each(global_quality="23 19 15")),
    _row("hevc_vaapi", Family.VAAPI, Codec.HEVC, _NV12_10, _VAAPI,
         _each(global_quality="25 21 17")),
    _row("av1_vaapi", Family.VAAPI, Codec.AV1, _NV12_10, _VAAPI,
         _each(global_quality="110 85 60")),
    _row("h264_videotoolbox", Family.VIDEOTOOLBOX, Codec.H264, _NV12, _HIGH | _APPLE,
         _each(global_quality=_APPLE_QUALITY)),
    _row("hevc_videotoolbox", Family.VIDEOTOOLBOX, Codec.HEVC, _NV12_10, _APPLE,
         _each(global_quality=_APPLE_QUALITY)),
    _row("libx264", Family.SOFTWARE, Codec.H264, _PLANAR, _HIGH | {"x264-params": _X264},
         _each(preset="ultrafast fast slow", crf="23 18 15")),
    _row("libx265", Family.SOFTWARE, Codec.HEVC, _PLANAR_10, {"x265-params": _X265},
         _each(preset="ultrafast fast medium", crf="22 18 15")),
    _row("libsvtav1", Family.SOFTWARE, Codec.AV1, _PLANAR_10, {"svtav1-params": _SVT},
         _each(preset="9 7 5", crf="32 22 14")),
    Encoder(
        name="ffv1",
        family=Family.SOFTWARE,
        codec=None,
        presets={Quality.LOSSLESS: {}},
        common={"level": "3", "coder": "1", "context": "1", "slices": "4", "slicecrc": "1"},
        formats=(),
        keyframe_seconds=None,
        thread_type="SLICE",
    ),
)  # fmt: skip

ENCODERS: dict[str, Encoder] = {entry.name: entry for entry in _TABLE}
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


def options(name: str, quality: Quality, *, bits: int = 8) -> EncoderSettings:
    """The settings of the encoder `name` at `quality` for pictures of `bits` per component.

    An encoder that keeps fewer bits gets as many as it takes: see `Encoder.bits`.

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
        pix_fmt=entry.format_for(bits),
        hardware=entry.hardware,
        thread_count=None if entry.hardware else SOFTWARE_THREADS,
        thread_type=None if entry.hardware else entry.thread_type,
        keyframe_seconds=entry.keyframe_seconds,
    )
