"""Containers, codecs and timings that people really have, made by FFmpeg: whole and cut."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import clip_spec, complaints, decode, export_here, ffmpeg, ffmpeg_exe, psnr

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=4")
SOUND = ("-f", "lavfi", "-i", "sine=440:d=4")
BOTH = (*PICTURE, *SOUND)
X264 = ("-c:v", "libx264", "-preset", "veryfast")


def rate(fps: int, seconds: int) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"testsrc2=s=320x180:r={fps}:d={seconds}")


SHAPES: dict[str, tuple[str, ...]] = {
    "transport stream, B frames.ts": (*BOTH, *X264, "-bf", "3", "-g", "50", "-c:a", "aac"),
    "mpeg2.ts": (*BOTH, "-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2"),
    "mpeg2.mpg": (*BOTH, "-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2"),
    "xvid.avi": (*BOTH, "-c:v", "mpeg4", "-bf", "2", "-c:a", "libmp3lame"),
    "h264 without times.avi": (*BOTH, *X264, "-bf", "2", "-g", "30", "-c:a", "libmp3lame"),
    "mjpeg and pcm.avi": (*BOTH, "-c:v", "mjpeg", "-c:a", "pcm_s16le"),
    "hevc.mp4": (*BOTH, "-c:v", "libx265", "-preset", "ultrafast", "-c:a", "aac"),
    "vp9.webm": (*BOTH, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus"),
    "fragmented.mp4": (*BOTH, *X264, "-g", "25", "-movflags", "frag_keyframe+empty_moov"),
    "open groups.mp4": (*BOTH, *X264, "-x264-params", "open-gop=1:keyint=25:bframes=3"),
    "late start.mkv": ("-itsoffset", "5", *PICTURE, "-itsoffset", "5", *SOUND, *X264, "-copyts"),
    "sound that ends before the picture begins.mkv": ("-itsoffset", "5", *BOTH, *X264, "-copyts"),
    "120 fps.mp4": (*rate(120, 2), *X264),
    "1 fps.mp4": (*rate(1, 6), *X264),
    "one frame.mp4": ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=0.04", *X264),
    "short sound.mp4": (*PICTURE, "-f", "lavfi", "-i", "sine=d=1", *X264),
    "long sound.mp4": (*PICTURE, "-f", "lavfi", "-i", "sine=d=8", *X264),
    "cover picture.mp4": (
        *(*PICTURE, "-f", "lavfi", "-i", "color=red:s=1000x1000:d=0.04", "-map", "0", "-map", "1"),
        *("-c:v:0", "libx264", "-c:v:1", "mjpeg", "-disposition:v:1", "attached_pic"),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_any_container_codec_and_timing_comes_out_exact(name: str, tmp_path: Path) -> None:
    ffmpeg(*SHAPES[name], tmp_path / name)
    # FFmpeg's own decoding, through lossless video with true times.
    lossless = ("-c:v", "libx264", "-qp", 0, "-preset", "ultrafast")
    ffmpeg("-i", tmp_path / name, "-map", "0:v:0", *lossless, tmp_path / "reference.nut")
    source = decode(tmp_path / "reference.nut")
    begin = source.times[0]
    for start, end in ((0.0, None), (0.5, 1.7)):
        wanted = [
            n
            for n, time in enumerate(source.times)
            if time - begin >= start - 0.001 and (end is None or time - begin < end - 0.001)
        ]
        if not wanted:
            continue
        spec = clip_spec(name, "o.mp4", start, end, quality="fast")
        done = export_here(spec, tmp_path, tmp_path / "o", segment_seconds=1)
        out = decode(done.path)
        assert len(out.times) == len(wanted)
        first = source.times[wanted[0]]
        for k, n in enumerate(wanted):
            assert abs(float(out.times[k] - (source.times[n] - first))) < 0.002
            assert psnr(out.luma[k], source.luma[n]) > 38
        assert complaints(done.path) == ""


@pytest.mark.parametrize("writer", ["matroska", "webm"])
def test_a_recording_without_length_or_index_is_no_obstacle(writer: str, tmp_path: Path) -> None:
    """What a browser's recorder or a pipe leaves: no duration, no seek table."""
    codec = ("-c:v", "libvpx", "-deadline", "realtime") if writer == "webm" else X264
    pipe = subprocess.run(
        [ffmpeg_exe(), "-v", "error", *PICTURE, *codec, "-f", writer, "-"], capture_output=True
    )
    (tmp_path / "live.mkv").write_bytes(pipe.stdout)
    spec = clip_spec("live.mkv", "o.mp4", 2.0, 3.0, quality="fast")
    out = decode(export_here(spec, tmp_path, tmp_path / "o").path)
    source = decode(tmp_path / "live.mkv")
    assert len(out.times) == 25
    assert psnr(out.luma[3], source.luma[53]) > 38


@pytest.mark.parametrize(
    ("fmt", "codec", "reference"),
    [
        ("yuv420p10le", "libx264", "format=yuv420p"),
        ("yuv422p10le", "prores_ks", "format=yuv420p"),
        ("yuvj420p", "libx264", "format=yuvj420p"),
        ("yuv444p", "libx264", "format=yuv420p"),
        ("gbrp", "ffv1", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"),
    ],
)
def test_any_pixel_format_becomes_one_that_plays(
    fmt: str, codec: str, reference: str, tmp_path: Path
) -> None:
    ffmpeg(*PICTURE, "-t", 1, "-pix_fmt", fmt, "-c:v", codec, tmp_path / "s.mov"
           if codec == "prores_ks" else tmp_path / "s.mkv")  # fmt: skip
    name = "s.mov" if codec == "prores_ks" else "s.mkv"
    ffmpeg("-i", tmp_path / name, "-vf", reference, "-c:v", "libx264", "-qp", 0, tmp_path / "r.mkv")
    out = decode(
        export_here(clip_spec(name, "o.mp4", quality="quality"), tmp_path, tmp_path / "o").path
    )
    expected = decode(tmp_path / "r.mkv")
    assert out.pix_fmt in {"yuv420p", "yuvj420p"}
    for k in (0, 12, 24):
        assert psnr(out.luma[k], expected.luma[k]) > 42
