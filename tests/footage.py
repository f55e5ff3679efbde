"""Short clips of every class of footage, each with what FFmpeg itself makes of it.

All show a moving test picture of 160×120 at 25 frames per second for 1.2 s; a field in its corner
turns white, and a tone is heard, from 0.48 to 0.72 s.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from hdr_support import write_cube
from paff import write_paff
from support import ffmpeg, ffmpeg_exe

ON, OFF = 0.48, 0.72
_LENGTH = 1.2


def picture(size: str = "160x120", rate: int = 25, more: str = "null") -> tuple[str, ...]:
    """Arguments for an input; the marked field is the first 48×36 pixels of 160×120."""
    width, height = map(int, size.split("x"))
    field = f"drawbox=0:0:{width * 3 // 10}:{height * 3 // 10}"
    return (
        *("-f", "lavfi", "-i"),
        f"testsrc2=s={size}:r={rate}:d={_LENGTH},{field}:black:fill,"
        f"{field}:white:fill:enable='between(t,{ON - 0.001},{OFF - 0.001})',{more}",
    )


def sound(start: float = 0.0, end: float = _LENGTH) -> tuple[str, ...]:
    """Arguments for an input that is heard as of `start`."""
    return (
        *("-itsoffset", str(start), "-f", "lavfi", "-i"),
        f"sine=1000:r=48000:d={end - start},"
        f"volume=0:enable='not(between(t,{ON - start},{OFF - start}))'",
    )


BOTH = (*picture(), *sound())
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-g", "10")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "12", "-x265-params", "log-level=error")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "2", "-bf", "2", "-g", "12", "-c:a", "mp2")
AAC = ("-c:a", "aac")
_INTERLACED = (*picture(rate=50, more="interlace=lowpass=off"), *sound())
_BOTTOM_FIRST = (*picture(rate=50, more="interlace=scan=bff:lowpass=off"), *sound())
_TO_SQUARE = "scale=160:120:flags=bicubic+accurate_rnd+full_chroma_int,setsar=1"
_FULL = "scale=in_range={0}:out_range=pc:flags=accurate_rnd,format=yuv420p"


@dataclass(frozen=True)
class Footage:
    """A class of footage."""

    file: str
    make: tuple[str, ...] | Callable[[Path], None]
    """FFmpeg's arguments, or what writes the file."""
    decoder: tuple[str, ...] = ()
    """FFmpeg's options for reading it."""
    seen: str = "null"
    """The filters that give what people should see."""
    kept: str = "yuv420p"
    """The format of a lossless clip."""
    changed: str = "yuv420p"
    """The format where pictures are changed."""
    toned: str = "null"
    """The filters that give the colours of changed pictures; ``{folder}`` is the file's."""
    other: str = "null"
    """The filters that give another, plain clip the colours of this one."""
    range: str = "tv"
    frames: int = 15
    """Between 0.21 and 0.83 s."""
    sound: bool = True
    heard: float = _LENGTH
    """Until when there is sound."""
    chroma: float = 40
    """The least PSNR in dB of chroma."""
    note: str = ""
    """What the job must say."""
    display: tuple[str, ...] = ()
    """Options of FFmpeg for a copy that only gets other metadata."""

    def write(self, folder: Path) -> Path:
        """Make the file."""
        path = folder / self.file
        if callable(self.make):
            self.make(path)
        elif self.display:
            plain = folder / f"plain {self.file}"
            ffmpeg(*self.make, plain)
            ffmpeg(*self.display, "-i", plain, "-c", "copy", path)
        else:
            ffmpeg(*self.make, path)
        return path


def _live(path: Path) -> None:
    """What a browser's recorder leaves: no duration, no index."""
    codecs = (
        "-c:v",
        "libvpx",
        "-deadline",
        "realtime",
        "-b:v",
        "2M",
        "-g",
        "10",
        "-c:a",
        "libopus",
    )
    pipe = subprocess.run(
        [ffmpeg_exe(), "-v", "error", *BOTH, *codecs, "-f", "webm", "-"], capture_output=True
    )
    path.write_bytes(pipe.stdout)


def _fields(apart: bool, top_first: bool) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        source = _INTERLACED if top_first else _BOTTOM_FIRST
        raw = subprocess.run(
            [ffmpeg_exe(), "-v", "error", *source, "-map", "0:v", "-pix_fmt", "yuv420p",
             "-f", "rawvideo", "-"],
            capture_output=True,
        ).stdout  # fmt: skip
        frames = list(np.frombuffer(raw, np.uint8).reshape(-1, 180, 160))
        write_paff(path, frames, apart=apart, top_first=top_first)

    return write


def _cut_by_edit_list(path: Path) -> None:
    """0.36 s before the first shown frame are in the file, but an edit list hides them."""
    whole = path.with_name("whole.mp4")
    before = (*picture(more="tpad=start=9:start_mode=clone"), *sound())
    delayed = ("-af", "adelay=360:all=1")
    ffmpeg(*before, *X264, "-g", 250, "-bf", 2, *AAC, *delayed, "-shortest", whole)
    ffmpeg("-ss", 0.36, "-i", whole, "-c", "copy", path)


def _cover(path: Path) -> None:
    ffmpeg(
        *(*BOTH, "-f", "lavfi", "-i", "color=red:s=500x500:d=0.04", "-map", "0", "-map", "1"),
        *("-map", "2", *X264, *AAC, "-pix_fmt", "yuv420p", "-c:v:1", "mjpeg"),
        *("-pix_fmt:v:1", "yuvj420p", "-disposition:v:1", "attached_pic", path),
    )


def _damaged(path: Path) -> None:
    """Three frames in the middle are noise, but for their beginnings."""
    ffmpeg(*BOTH, "-pix_fmt", "yuv420p", *X264, "-g", 250, "-bf", 0, *AAC, path)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(1)
    for pos, size in packets[14:17]:
        begin, end = pos + min(60, size // 3), pos + size - 4
        data[begin:end] = noise.integers(0, 256, end - begin, dtype=np.uint8).tobytes()
    path.write_bytes(data)


def _hdr(path: Path) -> None:
    """PQ in BT.2020, and the table that makes it what people see on a usual display."""
    write_cube(path.with_name("pq.cube"), "smpte2084", 1000)
    named = "setparams=range=tv:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc"
    ffmpeg(*picture(more=f"format=yuv420p10le,{named}"), *sound(), *X265, *AAC, path)


def _turned(name: str, *display: str, size: str = "160x120") -> Footage:
    return Footage(
        f"{name}.mp4",
        (*picture(size), *sound(), *X264, *AAC, "-pix_fmt", "yuv420p"),
        display=display,
    )


def _plain(file: str, *make: str, **more: str) -> Footage:
    return Footage(file, (*BOTH, "-pix_fmt", "yuv420p", *make), **more)  # type: ignore[arg-type]


_INTERLACED_NOTE = "deinterlaced"
_ON_709 = "scale=in_color_matrix=bt601:out_color_matrix=bt709:flags=accurate_rnd,format=yuv420p"
_BETTER = "flags=bicubic+accurate_rnd+full_chroma_int"
_TONED = (
    f"scale=in_color_matrix=bt2020:{_BETTER},format=gbrp16le,lut3d={{folder}}/pq.cube,"
    f"scale=out_color_matrix=bt709:out_range=tv:{_BETTER},format=yuv420p"
)
#: Alpha falls from left to right, in pictures and over the colours that are under it.
_FADING = "format=yuva420p,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='255-X*255/W'"
_OVER_BLACK = (
    "split[c][d];[d]drawbox=c=black:t=fill:replace=1,format=yuv420p[b];[b][c]overlay=format=yuv420"
)

CLASSES: dict[str, Footage] = {
    "h264 mp4": _plain("a.mp4", *X264, "-bf", "2", *AAC),
    "turned by 90": _turned("r90", "-display_rotation", "90", size="120x160"),
    "turned by 180": _turned("r180", "-display_rotation", "180"),
    "turned by 270": _turned("r270", "-display_rotation", "270", size="120x160"),
    "mirrored": _turned("m", "-display_hflip"),
    "mirrored and turned": _turned(
        "mr", "-display_rotation", "90", "-display_hflip", size="120x160"
    ),
    "wide pixels": Footage(
        "sar.mp4",
        (*picture("80x120", more="setsar=2/1"), *sound(), *X264, *AAC, "-pix_fmt", "yuv420p"),
        seen=_TO_SQUARE,
    ),
    "odd size": Footage(
        "odd.mkv",
        (*picture("161x121"), *sound(), *X264, "-pix_fmt", "yuv444p"),
        seen="crop=160:120:0:0:exact=1", kept="yuv444p", changed="yuv444p",
    ),
    "varying rate": Footage(
        "vfr.mp4",
        (*BOTH, "-vf", "select='not(eq(mod(n,4),2))'", "-fps_mode", "vfr", *X264, *AAC,
         "-pix_fmt", "yuv420p"),
        frames=11,
    ),
    "full range": Footage(
        "full.mp4",
        (*BOTH, "-vf", "scale=out_range=pc", "-pix_fmt", "yuvj420p", *X264, *AAC),
        seen=_FULL.format("pc"), other=_FULL.format("tv"), range="pc",
    ),
    "rgb": Footage(
        "rgb.mkv", (*BOTH, "-c:v", "ffv1", "-pix_fmt", "gbrp"),
        seen="scale=out_color_matrix=bt709:out_range=tv:"
        "flags=bicubic+accurate_rnd+full_chroma_int,format=yuv420p",
        other=_ON_709,
    ),
    "4:2:2": Footage(
        "422.mp4", (*BOTH, *X264, *AAC, "-pix_fmt", "yuv422p"), kept="yuv422p", changed="yuv422p"
    ),
    "4:4:4": Footage(
        "444.mp4", (*BOTH, *X264, *AAC, "-pix_fmt", "yuv444p"), kept="yuv444p", changed="yuv444p"
    ),
    "10 bit h264": Footage(
        "ten.mp4", (*BOTH, *X264, *AAC, "-pix_fmt", "yuv420p10le"), kept="yuv420p10le",
    ),
    "10 bit hevc": Footage(
        "ten.mkv", (*BOTH, *X265, *AAC, "-pix_fmt", "yuv420p10le"), kept="yuv420p10le",
    ),
    "prores": Footage(
        "p.mov", (*BOTH, "-c:v", "prores_ks", "-c:a", "pcm_s16le", "-pix_fmt", "yuv422p10le"),
        kept="yuv422p10le",
    ),
    "hevc mp4": _plain("h.mp4", *X265, *AAC, "-tag:v", "hvc1"),
    "hevc ts": _plain("h.ts", *X265, "-c:a", "mp2"),
    "h264 ts": _plain("a.ts", *X264, "-bf", "3", *AAC),
    "h264 mkv": _plain("a.mkv", *X264, "-bf", "3", "-c:a", "libopus"),
    "h264 avi": _plain(
        "a.avi", *X264, "-bf", "2", "-c:a", "libmp3lame",
        seen="setpts=N/25/TB",  # the times that FFmpeg makes up are those of decoding
    ),
    "vp9 webm": _plain(
        "v.webm", "-c:v", "libvpx-vp9", "-deadline", "good", "-cpu-used", "5", "-b:v", "2M",
        "-auto-alt-ref", "1", "-lag-in-frames", "10", "-c:a", "libopus",
    ),
    "av1 mp4": _plain("v1.mp4", "-c:v", "libsvtav1", "-preset", "10", "-crf", "20", *AAC),
    "av1 webm": _plain(
        "v1.webm", "-c:v", "libsvtav1", "-preset", "10", "-crf", "20", "-c:a", "libopus"
    ),
    "mpeg2 ts": _plain("m2.ts", *MPEG2),
    "mpeg2 ps": _plain("m2.mpg", *MPEG2),
    "mjpeg avi": Footage(
        "j.avi",
        (*BOTH, "-vf", "scale=out_range=pc", "-pix_fmt", "yuvj420p", "-c:v", "mjpeg", "-q:v", "2",
         "-c:a", "pcm_s16le"),
        seen=_FULL.format("pc"), other=_FULL.format("tv"), range="pc",
    ),
    "mjpeg mov": Footage(
        "j.mov",
        (*BOTH, "-vf", "scale=out_range=pc", "-pix_fmt", "yuvj420p", "-c:v", "mjpeg", "-q:v", "2",
         "-c:a", "pcm_s16le"),
        seen=_FULL.format("pc"), other=_FULL.format("tv"), range="pc",
    ),
    "interlaced mpeg2 ts": Footage(
        "i.ts", (*_INTERLACED, *MPEG2, "-flags", "+ilme+ildct", "-pix_fmt", "yuv420p"),
        seen="bwdif=send_frame", note=_INTERLACED_NOTE,
    ),
    "interlaced mpeg2 ps, bottom first": Footage(
        "i.mpg", (*_BOTTOM_FIRST, *MPEG2, "-flags", "+ilme+ildct", "-pix_fmt", "yuv420p"),
        seen="bwdif=send_frame", note=_INTERLACED_NOTE,
    ),
    "interlaced h264 ts (MBAFF)": Footage(
        "mbaff.ts", (*_INTERLACED, *X264, "-x264-params", "tff=1", *AAC, "-pix_fmt", "yuv420p"),
        seen="bwdif=send_frame", note=_INTERLACED_NOTE,
    ),
    "interlaced h264 ts (PAFF)": Footage(
        "paff.ts", _fields(False, True), seen="bwdif=send_frame", note=_INTERLACED_NOTE,
        sound=False,
    ),
    "interlaced h264 ts (PAFF, fields apart, bottom first)": Footage(
        "apart.ts", _fields(True, False), seen="bwdif=send_frame", note=_INTERLACED_NOTE,
        sound=False,
    ),
    "edit list": Footage("edited.mp4", _cut_by_edit_list),
    "negative start": _plain(
        "n.mp4", *X264, "-bf", "3", *AAC, "-movflags", "negative_cts_offsets"
    ),
    "late start": _plain("late.ts", *X264, *AAC, "-output_ts_offset", "100"),
    "late start mkv": _plain("late.mkv", *X264, *AAC, "-output_ts_offset", "7.3"),
    "no duration": Footage("live.webm", _live),
    "several tracks": Footage(
        "tracks.mp4",
        (*BOTH, *picture("96x64", more="negate"), *sound(0.7, 1.2), "-map", "0", "-map", "1",
         "-map", "2", "-map", "3", *X264, *AAC, "-pix_fmt", "yuv420p"),
    ),
    "damaged frames": Footage(
        "damaged.mp4", _damaged, note="damaged frame",
        decoder=("-threads", "1"),  # with several, repairs are others every time
    ),
    "hdr": Footage(
        "pq.mkv", _hdr, kept="yuv420p10le", toned=_TONED, other=_ON_709, note="HDR (PQ)",
        chroma=35,
    ),
    "cover picture": Footage("cover.mp4", _cover),
    "no sound": Footage(
        "silent.mp4", (*picture(), *X264, "-pix_fmt", "yuv420p"), sound=False
    ),
    "sound ends early": Footage(
        "early.mp4", (*picture(), *sound(0, 0.6), *X264, *AAC, "-pix_fmt", "yuv420p"), heard=0.6
    ),
    "sound goes on": Footage(
        "on.mp4", (*picture(), *sound(0, 3), *X264, *AAC, "-pix_fmt", "yuv420p")
    ),
    "sound begins late": Footage(
        "later.mkv", (*picture(), *sound(0.4, 1.2), *X264, *AAC, "-pix_fmt", "yuv420p")
    ),
    "sound begins before the picture": Footage(
        "before.mkv",
        ("-itsoffset", "0.5", *picture(), "-f", "lavfi", "-i",
         f"sine=1000:r=48000:d=1.7,volume=0:enable='not(between(t,{ON + 0.5},{OFF + 0.5}))'",
         *X264, *AAC, "-pix_fmt", "yuv420p"),
    ),
    "transparent vp9": Footage(
        "alpha.webm",
        (*picture(more=_FADING), *sound(), "-c:v", "libvpx-vp9", "-deadline", "realtime",
         "-cpu-used", "5", "-b:v", "3M", "-auto-alt-ref", "0", "-c:a", "libopus",
         "-pix_fmt", "yuva420p"),
        decoder=("-c:v", "libvpx-vp9"),  # the native one drops transparency
        seen=_OVER_BLACK, note="flattened over black", chroma=35,
    ),
}  # fmt: skip
