"""Read the facts about a source: tracks, exact time bases, orientation, colour, first frame."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import TypeVar, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..errors import SourceUnreadable, SpecError
from .facts import AudioFacts, Colour, SourceFacts, Turn, VideoFacts
from .fingerprint import fingerprint
from .open import MAX_PIXELS, decoder_of, demux, open_source

__all__ = ["probe"]

_LEAST_SIDE = 2
#: Packets read to find the earliest time stamp; more than any codec reorders.
_HEAD_PACKETS = 48
#: Streams that are cut at any place, as broadcasts are.
_CUT_ANYWHERE = {"mpegts", "mpeg"}
#: FFmpeg's field orders from "top first" on; 1 is progressive.
_INTERLACED = {2, 3, 4, 5}
T = TypeVar("T")


def probe(
    path: Path,
    *,
    video_track: int | None = None,
    audio_track: int | None = None,
    field: str = "sources[0]",
) -> SourceFacts:
    """The facts about a file: of the tracks that players take, or of those chosen by number.

    Tracks are counted from 0 among those of their type; pictures of a cover do not count.
    `field` is the source's place in the spec; empty where there is none.

    Raises:
        SourceMissing: there is no such file.
        SourceUnreadable: it is no video, or its first frame cannot be decoded.
        SpecError: it has no track of that number.
    """
    mark = fingerprint(path)
    with open_source(path, field=_place(field, "path")) as container:
        video = _video_stream(container, path, video_track, field)
        audio = _audio_stream(container, video, path, audio_track, field)
        origin, frame = _first_frame(container, video, path, field)
        facts = _video_facts(video, frame)
        _check_size(facts, path, field)
        return SourceFacts(
            path=str(path),
            format=container.format.name,
            fingerprint=mark,
            origin=origin,
            duration=container.duration / av.time_base if container.duration else None,
            video=facts,
            audio=None if audio is None else _audio_facts(audio),
            audio_bits=audio.bit_rate or None if audio and audio.codec_context else None,
        )


def _place(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _video_stream(
    container: InputContainer, path: Path, track: int | None, field: str
) -> VideoStream:
    real = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not real:
        raise SourceUnreadable(
            f"{path.name!r} has no video track.",
            "Use a file with video.",
            field=_place(field, "path"),
        )
    if track is not None:
        chosen = _numbered(real, track, "video", path, _place(field, "video_track"))
    else:
        best = container.streams.best("video")
        chosen = best if best in real and isinstance(best, VideoStream) else real[0]
    if not chosen.codec_context or not chosen.width or not chosen.height:
        raise SourceUnreadable(
            f"The video of {path.name!r} is in a format that cannot be decoded.",
            "Convert it to H.264 first.",
            field=_place(field, "path"),
        )
    return chosen


def _audio_stream(
    container: InputContainer, video: VideoStream, path: Path, track: int | None, field: str
) -> AudioStream | None:
    if track is not None:
        tracks = list(container.streams.audio)
        return _numbered(tracks, track, "audio", path, _place(field, "audio_track"))
    best = container.streams.best("audio", related=video)
    return best if isinstance(best, AudioStream) else None


def _numbered(tracks: list[T], track: int, kind: str, path: Path, field: str) -> T:
    if track < len(tracks):
        return tracks[track]
    count = len(tracks)
    has = f"{count} {kind} tracks" if count != 1 else f"one {kind} track"
    raise SpecError(
        f"{path.name!r} has no {kind} track {track}: it has {has if count else f'no {kind}'}.",
        f"Use a number from 0 to {count - 1}, or leave it out for the track that players take."
        if count
        else "Leave it out.",
        field=field,
    )


def _first_frame(
    container: InputContainer, video: VideoStream, path: Path, field: str
) -> tuple[int, VideoFrame]:
    """The earliest shown time stamp, and a decoded frame for what only decoding tells."""
    decoder = decoder_of(video, threads="SLICE")
    shown: list[int] = []
    frame: VideoFrame | None = None
    try:
        for count, packet in enumerate(demux(container, video)):
            if packet.pts is not None and not packet.is_discard and packet.size:
                shown.append(packet.pts)
            if frame is None:
                frame = next(iter(_decode(decoder, packet)), None)
            if count >= _HEAD_PACKETS and (frame is not None or count >= 40 * _HEAD_PACKETS):
                break
    except av.FFmpegError:
        pass  # what could be read before decides
    if frame is None:
        raise SourceUnreadable(
            f"No frame of {path.name!r} can be decoded: it is damaged or incomplete.",
            "Copy or download it again.",
            field=_place(field, "path"),
        )
    first = min(shown, default=frame.pts or 0)
    if frame.pts is not None and container.format.name in _CUT_ANYWHERE:
        # A recording that begins between two keyframes: what comes before the first is lost.
        first = max(first, frame.pts)
    return first, frame


def _check_size(video: VideoFacts, path: Path, field: str) -> None:
    width, height = video.upright_width, video.upright_height
    if min(width, height) < _LEAST_SIDE or width * height > MAX_PIXELS:
        raise SourceUnreadable(
            f"The pictures of {path.name!r} would have {width}×{height} pixels "
            f"({video.width}×{video.height}, each {float(video.sample_aspect):g} times as wide as "
            "high).",
            "The file is probably damaged: get it again.",
            field=_place(field, "path"),
        )


def _decode(decoder: VideoCodecContext, packet: av.Packet[VideoStream]) -> list[VideoFrame]:
    try:
        return list(decoder.decode(packet))
    except av.FFmpegError:
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
        codec=video.codec_context.codec.canonical_name,
        width=width,
        height=height,
        pix_fmt=frame.format.name,
        bits=max(c.bits for c in frame.format.components),
        time_base=video.time_base,
        sample_aspect=aspect,
        turn=turn,
        mirror=mirror,
        interlaced=frame.interlaced_frame or video.codec_context.field_order in _INTERLACED,
        colour=Colour.of(frame),
        upright_width=square[0] // 2 * 2,
        upright_height=square[1] // 2 * 2,
        alpha=any(c.is_alpha for c in frame.format.components),
        peak=_peak(frame),
    )


def _peak(frame: VideoFrame) -> int:
    """The largest luminance of the mastering display (SMPTE ST 2086) in cd/m²; 0 if not said.

    The layout is that of FFmpeg's AVMasteringDisplayMetadata: ten fractions, of which the last is
    the maximum, then two flags, of which the second says whether luminance is given.
    """
    data = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    if data is None:
        return 0
    raw = bytes(cast("SideData", data))
    *_, number, divisor, _, given = struct.unpack("=22i", raw[:88])
    return round(number / divisor) if given and divisor > 0 and number > 0 else 0


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
        codec=context.codec.canonical_name,
        profile=context.profile or "",
        sample_rate=context.sample_rate,
        channels=context.channels,
        layout=context.layout.name,
        time_base=audio.time_base,
        start=None if audio.start_time is None else audio.start_time * audio.time_base,
    )
