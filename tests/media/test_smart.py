"""Packets that no edit touches are copied; what comes out is exact, and clean to every player."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from smart_support import LOOK, X264, assert_exact, copied_frames, made
from support import clip_spec, complaints, decode, export_here, ffmpeg, psnr


def remuxed(path: Path, *options: Any) -> Path:
    ffmpeg(*options, "-i", made(path.parent / "whole.mp4"), "-c", "copy", path)
    return path


def uneven(path: Path) -> Path:
    """Every fifth frame is missing: the rate varies."""
    look = LOOK.format(rate="25", format="yuv420p", seconds=6) + ",select='mod(n,5)'"
    ffmpeg("-f", "lavfi", "-i", look, *X264, "-fps_mode", "vfr", path)
    return path


def changing(path: Path) -> Path:
    """Two encodings in one transport stream: another one begins at 3 s."""
    for n, refs in enumerate((1, 5)):
        made(path.parent / f"{n}.ts", "-refs", refs, "-preset", "slow", "-t", 3)
    ffmpeg("-i", f"concat:{path.parent}/0.ts|{path.parent}/1.ts", "-c", "copy", path)
    return path


COPIED: dict[str, Callable[[Path], Path]] = {
    "three B-frames": lambda p: made(p / "s.mp4", "-bf", 3),
    "no B-frames": lambda p: made(p / "s.mp4", "-bf", 0),
    "one B-frame": lambda p: made(p / "s.mp4", "-bf", 1),
    "a pyramid of B-frames": lambda p: made(p / "s.mp4", "-bf", 7, "-b_strategy", 0),
    "baseline": lambda p: made(p / "s.mp4", "-profile:v", "baseline"),
    "main": lambda p: made(p / "s.mp4", "-profile:v", "main"),
    "29.97 fps": lambda p: made(p / "s.mp4", rate="30000/1001"),
    "a rate that varies": lambda p: uneven(p / "s.mp4"),
    "an edit list": lambda p: remuxed(p / "s.mp4", "-ss", "0.5"),
    "Matroska": lambda p: made(p / "s.mkv"),
    "Matroska at 29.97 fps": lambda p: made(p / "s.mkv", rate="30000/1001"),
    "a transport stream": lambda p: made(p / "s.ts"),
    "AVI without B-frames": lambda p: made(p / "s.avi", "-bf", 0),
    "slices and delimiters": lambda p: made(
        p / "s.mp4", "-x264-params", "slices=4:aud=1:repeat-headers=1"
    ),
    "full range": lambda p: made(p / "s.mp4", format="yuvj420p"),
    "High tags and hypothetical decoders": lambda p: made(
        p / "s.mp4",
        *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
        *("-x264-params", "nal-hrd=vbr:vbv-maxrate=900:vbv-bufsize=900"),
    ),
    "keyframes only": lambda p: made(p / "s.mp4", "-g", 1),
    "references to many frames": lambda p: made(p / "s.mp4", "-preset", "slower"),
}


@pytest.mark.parametrize("name", COPIED)
def test_a_clip_cut_inside_groups_of_pictures_is_exact(name: str, tmp_path: Path) -> None:
    source = COPIED[name](tmp_path)
    frames = decode(source)
    zero = frames.times[0]
    first, stop = 30, 110
    start, end = (float(frames.times[k] - zero) for k in (first, stop))
    for suffix in ("mp4", "mkv"):
        spec = clip_spec(source.name, f"o.{suffix}", start, end, smart=True)
        done = export_here(spec, tmp_path, tmp_path / suffix)
        assert_exact(done, frames.luma[first:stop])
        assert sum(copied_frames(done)) >= 48, done.plan["notes"]
        assert done.plan["notes"] == []
        times = decode(done.path).times
        tick = Fraction(1, 1000 if "mkv" in (suffix, source.suffix[1:]) else 10**6)
        for k, time in enumerate(times):
            assert abs((time - times[0]) - (frames.times[first + k] - frames.times[first])) <= tick


RENDERED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "open groups": (
        lambda p: made(p / "s.mp4", "-x264-params", "open-gop=1", "-bf", 3),
        "the source has open GOPs",
    ),
    "fields": (
        lambda p: made(p / "s.mp4", "-flags", "+ildct+ilme", "-x264-params", "tff=1"),
        "the source is interlaced",
    ),
    "frames that might be fields": (
        lambda p: made(p / "s.mp4", "-x264-params", "fake-interlaced=1"),
        "the source is coded for interlaced video",
    ),
    "other parameter sets in the middle": (
        lambda p: changing(p / "s.ts"),
        "the parameter sets of the source change",
    ),
    "ten bits": (
        lambda p: made(p / "s.mp4", format="yuv420p10le"),
        "the source has yuv420p10le pictures and the output yuv420p",
    ),
    "4:4:4": (
        lambda p: made(p / "s.mp4", format="yuv444p"),
        "the source has yuv444p pictures and the output yuv420p",
    ),
    "a lossless profile": (
        lambda p: made(p / "s.mp4", "-qp", 0),
        "only the H.264 profiles Baseline, Main, High play everywhere",
    ),
    "AVI with B-frames": (
        lambda p: made(p / "s.avi", "-bf", 2),
        "the source keeps no display times of its B-frames",
    ),
    "a turned picture": (
        lambda p: remuxed(p / "s.mp4", "-display_rotation", "180"),
        "the source is turned or mirrored and the output upright",
    ),
    "pixels that are not square": (
        lambda p: made(p / "s.mp4", "-vf", "setsar=4/3"),
        "the source has no square pixels",
    ),
    "a codec whose decoder has another name": (
        lambda p: made(p / "s.mp4", "-c:v", "libsvtav1", "-preset", 12),
        "the source is av1 and the output h264",
    ),
    "another codec": (
        lambda p: made(p / "s.mp4", "-c:v", "mpeg4"),
        "the source is mpeg4 and the output h264",
    ),
    "one endless group": (
        lambda p: made(p / "s.mp4", "-g", 999, "-sc_threshold", 0),
        "no group of pictures lies wholly in the range",
    ),
}


@pytest.mark.parametrize("name", RENDERED)
def test_what_cannot_be_copied_exactly_is_rendered_and_the_job_says_why(
    name: str, tmp_path: Path
) -> None:
    make, why = RENDERED[name]
    source = make(tmp_path)
    spec = clip_spec(source.name, "o.mp4", 1.2, 4.4, smart=True)
    done = export_here(spec, tmp_path, tmp_path / "o")
    assert f"Rendered: {why}." in done.plan["notes"]
    assert not any(copied_frames(done))
    assert done.result["frames"] == 80
    assert complaints(done.path) == ""
    if name not in ("a turned picture", "pixels that are not square", "fields"):
        expected = decode(source).luma[30:110]
        out = decode(done.path)
        if expected.dtype == out.luma.dtype and name != "ten bits":
            assert min(psnr(a, b) for a, b in zip(out.luma, expected, strict=True)) > 34


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_a_hole_in_a_file_is_not_copied_and_told(suffix: str, tmp_path: Path) -> None:
    """A copy or a download that was broken off and written on elsewhere leaves zeros."""
    source = made(tmp_path / f"s.{suffix}")
    expected = decode(source).luma
    with av.open(str(source)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(source.read_bytes())
    first, size = packets[62]
    middle = first + size // 2
    data[middle : middle + 64] = bytes(64)
    source.write_bytes(data)
    spec = clip_spec(source.name, "o.mp4", 0.4, 5.6, smart=True)
    done = export_here(spec, tmp_path, tmp_path / "o")
    copied = copied_frames(done)
    # Ten frames are cut off: the hole is in one of about number 52; the next group begins with 65.
    assert all(copied[15:45]) and not any(copied[52:65]) and all(copied[65:115])
    assert complaints(done.path) == ""
    assert f"Not all of {source.name} is copied: the source is damaged." in done.plan["notes"]
    out = decode(done.path).luma
    for k in (*range(48), *range(65, 130)):
        assert psnr(out[k], expected[k + 10]) > 34, k
