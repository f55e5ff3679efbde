"""Small whole files of every container, and seeded ways to damage them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support import ffmpeg

_PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=12:d=1")
_SOUND = ("-f", "lavfi", "-i", "sine=d=1:r=16000")
_AAC = ("-c:a", "aac", "-b:a", "32k")
_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "6", "-pix_fmt", "yuv420p")

#: Name and how FFmpeg makes it.
_MADE: dict[str, tuple[str, ...]] = {
    "h264.mp4": (*_PICTURE, *_SOUND, *_X264, "-bf", "2", *_AAC),
    "fragmented.mp4": (*_PICTURE, *_SOUND, *_X264, *_AAC, "-movflags", "frag_keyframe+empty_moov"),
    "hevc.mp4": (*_PICTURE, "-c:v", "libx265", "-x265-params", "log-level=0", "-tag:v", "hvc1"),
    "h264.mkv": (*_PICTURE, *_SOUND, *_X264, *_AAC),
    "vp9.webm": (*_PICTURE, *_SOUND, "-c:v", "libvpx-vp9", "-cpu-used", "8", "-c:a", "libopus"),
    "h264.ts": (*_PICTURE, *_SOUND, *_X264, *_AAC),
    "fields.ts": (*_PICTURE, *_X264, "-flags", "+ildct+ilme", "-x264-params", "tff=1"),
    "mpeg2.mpg": (*_PICTURE, *_SOUND, "-r", "25", "-c:v", "mpeg2video", "-c:a", "mp2"),
    "mpeg4.avi": (*_PICTURE, *_SOUND, "-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "h264.flv": (*_PICTURE, *_SOUND, *_X264, *_AAC),
    "prores.mov": (*_PICTURE, "-c:v", "prores_ks", "-profile:v", "0"),
    "png.mov": (*_PICTURE, "-c:v", "png", "-frames:v", "4"),
    "mjpeg.avi": (*_PICTURE, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
    "wmv2.wmv": (*_PICTURE, *_SOUND, "-c:v", "wmv2", "-c:a", "wmav2"),
    "theora.ogg": (*_PICTURE, "-c:v", "libtheora"),
    "anim.gif": (*_PICTURE, "-frames:v", "6"),
    "ffv1.nut": (*_PICTURE, "-c:v", "ffv1", "-frames:v", "4"),
    "vp8.ivf": (*_PICTURE, "-c:v", "libvpx"),
    "mpeg2.mxf": (*_PICTURE, "-r", "25", "-c:v", "mpeg2video"),
    "raw.y4m": (*_PICTURE, "-frames:v", "2", "-pix_fmt", "yuv420p"),
}


def corpus(folder: Path) -> dict[str, bytes]:
    """The whole files, by name; those that this FFmpeg cannot make are left out."""
    found = {}
    for name, how in _MADE.items():
        path = folder / name
        try:
            ffmpeg(*how, path)
        except AssertionError:
            continue
        found[name] = path.read_bytes()
    assert len(found) >= 15, sorted(found)
    return found


@dataclass(frozen=True)
class Mutant:
    """A damaged file; the same seed gives the same one."""

    seed: int
    name: str
    how: str
    data: bytes


def mutant(files: dict[str, bytes], seed: int) -> Mutant:
    """The damaged file of this seed."""
    draw = random.Random(seed)
    name = draw.choice(sorted(files))
    data = bytearray(files[name])
    ways = [_flip, _flip, _noise, _truncate, _sizes, _sizes, _splice, _repeat, _values]
    done = []
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        way = draw.choice(ways)
        data = way(data, draw, files)
        done.append(way.__name__.strip("_"))
    return Mutant(seed, name, "+".join(done), bytes(data))


_Files = dict[str, bytes]
Way = Callable[[bytearray, random.Random, _Files], bytearray]

_EXTREMES = (0, 1, 7, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

_BOXES = (
    *(b"moov", b"trak", b"mdia", b"stbl", b"stsd", b"stts", b"stsz", b"stsc", b"stco", b"ctts"),
    *(b"elst", b"avcC", b"mdat", b"moof", b"trun", b"tkhd", b"mvhd"),
)


def _near_an_end(data: bytearray, draw: random.Random) -> int:
    """A place, more often in the head or the tail, where the structure is."""
    if not data:
        return 0
    reach = min(len(data), 2048)
    return draw.choice(
        (draw.randrange(reach), len(data) - 1 - draw.randrange(reach), draw.randrange(len(data)))
    )


def _flip(data: bytearray, draw: random.Random, files: _Files) -> bytearray:
    for _ in range(draw.choice((1, 2, 8, 64))):
        if data:
            data[_near_an_end(data, draw)] ^= 1 << draw.randrange(8)
    return data


def _noise(data: bytearray, draw: random.Random, files: _Files) -> bytearray:
    at = _near_an_end(data, draw)
    length = draw.choice((4, 32, 512))
    data[at : at + length] = draw.randbytes(length)
    return data


def _truncate(data: bytearray, draw: random.Random, files: _Files) -> bytearray:
    return data[: draw.randrange(len(data) + 1)]


def _sizes(data: bytearray, draw: random.Random, files: _Files) -> bytearray:
    """Change the size of a box of MP4, where there is one; else of whatever lies there."""
    boxes = []
    for kind in _BOXES:
        at = data.find(kind)
        if at >= 4:
            boxes.append(at)
    if not boxes:
        return _values(data, draw, files)
    at = draw.choice(boxes)
    # Its size, or one of the first numbers in it: counts, durations, widths.
    where = draw.choice((at - 4, at + 4, at + 8, at + 12, at + 16))
    data[where : where + 4] = struct.pack(">I", draw.choice(_EXTREMES))
    return data


def _values(data: bytearray, draw: random.Random, files: _Files) -> bytearray:
    at = _near_an_end(data, draw)
    form = draw.choice((">I", "<I", ">H", "<H", ">Q", "<Q"))
    value = draw.choice(_EXTREMES) & (1 << 8 * struct.calcsize(form)) - 1
    data[at : at + struct.calcsize(form)] = struct.pack(form, value)
    return data


def _splice(data: bytearray, draw: random.Random, files: _Files) -> bytearray:
    other = files[draw.choice(sorted(files))]
    cut = draw.randrange(len(data) + 1)
    return data[:cut] + other[draw.randrange(len(other)) :]


def _repeat(data: bytearray, draw: random.Random, files: _Files) -> bytearray:
    at = draw.randrange(len(data) + 1)
    length = draw.choice((16, 512, 8192))
    return data[: at + length] + data[at:]
