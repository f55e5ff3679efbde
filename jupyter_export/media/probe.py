"""Read the facts about a source: tracks, exact time bases, orientation, colour, first frame."""

from __future__ import annotations

import hashlib
import struct
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..errors import SourceUnreadable
from .facts import AudioFacts, Colour, Fingerprint, SourceFacts, Turn, VideoFacts
from .open import limit_decoder, open_source

__all__ = ["fingerprint", "probe"]

_ENDS = 64 * 1024
#: Packets read to find the earliest time stamp; more than any codec reorders.
_HEAD_PACKETS = 48
#: Transfer functions of HDR video: PQ (SMPTE ST 2084) and HLG (ARIB STD-B67).
_HDR_TRANSFERS = {16, 18}


def probe(path: Path, *, field: str = "sources[0].path") -> SourceFacts:
    """The facts about a file.

    Raises:
        SourceMissing: there is no such file.
        SourceUnreadable: it is no video, or its first frame cannot be decoded.
    """
    mark = fingerprint(path)
    with open_source(path, field=field) as container:
        video = _video_stream(container, path, field)
        audio = container.streams.best("audio", related=video)
        limit_decoder(video, threads="SLICE")
        origin, frame = _first_frame(container, video, path, field)
        facts = _video_facts(video, frame)
        return SourceFacts(
            path=str(path),
            format=container.format.name,
            fingerprint=mark,
            origin=origin,
            duration=container.duration / av.time_base if container.duration else None,
            video=facts,
            audio=_audio_facts(audio) if isinstance(audio, AudioStream) else None,
            notes=_notes(facts),
        )


def fingerprint(path: Path) -> Fingerprint:
    """Size, modification time and a hash of both ends of the file."""
    info = path.stat()
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_ENDS))
        file.seek(max(0, info.st_size - _ENDS))
        digest.update(file.read(_ENDS))
    return Fingerprint(size=info.st_size, mtime_ns=info.st_mtime_ns, ends=digest.hexdigest())


def _video_stream(container: InputContainer, path: Path, field: str) -> VideoStream:
    real = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not real:
        raise SourceUnreadable(
            f"{path.name!r} has no video track.", "Use a file with video.", field=field
        )
    best = container.streams.best("video")
    chosen = best if best in real and isinstance(best, VideoStream) else real[0]
    if not chosen.codec_context or not chosen.width or not chosen.height:
        raise SourceUnreadable(
            f"The video of {path.name!r} is in a format that cannot be decoded.",
            "Convert it to H.264 first.",
            field=field,
        )
    return chosen


def _first_frame(
    container: InputContainer, video: VideoStream, path: Path, field: str
) -> tuple[int, VideoFrame]:
    """The earliest shown time stamp, and a decoded frame for what only decoding tells."""
    shown: list[int] = []
    frame: VideoFrame | None = None
    try:
        for count, packet in enumerate(container.demux(video)):
            if packet.pts is not None and not packet.is_discard and packet.size:
                shown.append(packet.pts)
            if frame is None:
                frame = next(iter(_decode(video, packet)), None)
            if count >= _HEAD_PACKETS and (frame is not None or count >= 40 * _HEAD_PACKETS):
                break
    except av.FFmpegError:
        pass  # what could be read before decides
    if frame is None:
        raise SourceUnreadable(
            f"No frame of {path.name!r} can be decoded: it is damaged or incomplete.",
            "Copy or download it again.",
            field=field,
        )
    if not shown:
        shown = [frame.pts or 0]
    return min(shown), frame


def _decode(video: VideoStream, packet: av.Packet[VideoStream]) -> list[VideoFrame]:
    try:
        return list(video.codec_context.decode(packet))
    except av.InvalidDataError:
        return []


def _video_facts(video: VideoStream, frame: VideoFrame) -> VideoFacts:
    turn, mirror = _orientation(frame)
    aspect = Fraction(video.sample_aspect_ratio or 1) or Fraction(1)
    width, height = frame.width, frame.height
    # The longer way: squaring the pixels never loses any.
    square = (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))
    if turn in ("clockwise", "counterclockwise"):
        square = square[1], square[0]
    assert video.time_base is not None
    return VideoFacts(
        index=video.index,
        codec=video.codec_context.name,
        width=width,
        height=height,
        pix_fmt=frame.format.name,
        bits=max(c.bits for c in frame.format.components),
        time_base=video.time_base,
        sample_aspect=aspect,
        turn=turn,
        mirror=mirror,
        interlaced=bool(frame.interlaced_frame),
        colour=Colour(
            range=int(frame.color_range),
            space=int(frame.colorspace),
            primaries=int(frame.color_primaries),
            transfer=int(frame.color_trc),
        ),
        upright_width=square[0] // 2 * 2,
        upright_height=square[1] // 2 * 2,
    )


def _orientation(frame: VideoFrame) -> tuple[Turn, bool]:
    """The display matrix (ISO/IEC 14496-12, 16.16 fixed point) as a mirror, then a turn.

    The matrix maps stored to shown coordinates: x' = a·x + c·y, y' = b·x + d·y.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return "none", False
    raw = bytes(cast("SideData", matrix))
    a, b, _, c, d, *_ = (v / 65536 for v in struct.unpack("=9i", raw[:36]))
    mirror = a * d - b * c < 0
    if mirror:
        a, b = -a, -b
    if abs(a) >= abs(b):
        return ("none" if a > 0 else "half"), mirror
    return ("clockwise" if b > 0 else "counterclockwise"), mirror


def _audio_facts(audio: AudioStream) -> AudioFacts | None:
    context = audio.codec_context
    if not context or not context.sample_rate or audio.time_base is None:
        return None
    return AudioFacts(
        index=audio.index,
        codec=context.name,
        profile=context.profile or "",
        sample_rate=context.sample_rate,
        channels=context.channels,
        layout=context.layout.name,
        time_base=audio.time_base,
        start=None if audio.start_time is None else audio.start_time * audio.time_base,
    )


def _notes(video: VideoFacts) -> tuple[str, ...]:
    notes = []
    if video.bits > 8:
        notes.append(f"The source has {video.bits} bits per component; the output has 8.")
    if video.colour.transfer in _HDR_TRANSFERS:
        notes.append("The source is HDR; its tags are kept and nothing is tone-mapped.")
    if video.interlaced:
        notes.append("The source is interlaced; its fields are kept as they are.")
    return tuple(notes)
