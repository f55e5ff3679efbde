"""Clips joined, mixed and at other speeds, against the same operation done by FFmpeg alone."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support import complaints, decode, export_here, ffmpeg, psnr, samples

RATE = 48000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of 320×180: a and b at 25 fps, c at 30 fps and of another shape."""
    folder = tmp_path_factory.mktemp("clips")
    for name, rate, size, tone, look in (
        ("a", 25, "320x180", 440, "testsrc2"),
        ("b", 25, "320x180", 880, "mandelbrot"),
        ("c", 30, "240x240", 660, "testsrc"),
    ):
        ffmpeg(
            *("-f", "lavfi", "-i", f"{look}=s={size}:r={rate}"),
            *("-f", "lavfi", "-i", f"sine={tone}:sample_rate={RATE}"),
            *("-t", "4", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast"),
            *("-crf", "10", "-g", "25", "-c:a", "aac", "-b:a", "192k", folder / f"{name}.mp4"),
        )
    return folder


def spec(kind: str, *sources: dict[str, Any], **more: Any) -> dict[str, Any]:
    encoding = {"quality": "lossless", **more.pop("encoding", {})}
    return {
        "kind": kind,
        "sources": list(sources),
        "output": "out.mkv",
        "encoding": encoding,
        **more,
    }


def reference(folder: Path, *arguments: str | Path) -> Any:
    path = folder / "reference.mkv"
    ffmpeg(*arguments, "-c:v", "ffv1", "-pix_fmt", "yuv420p", "-c:a", "flac", path)
    return decode(path)


A = {"path": "a.mp4", "start": 0.52, "end": 3}
B = {"path": "b.mp4", "start": 1, "end": 3.6}
TRIM_A, TRIM_B = "trim=start_frame=13:end_frame=75", "trim=start_frame=25:end_frame=90"


def joined(root: Path, tmp_path: Path, graph: str) -> Any:
    inputs = ("-i", root / "a.mp4", "-i", root / "b.mp4")
    first = f"[0:v]{TRIM_A},setpts=PTS-STARTPTS,settb=1/25[a];"
    second = f"[1:v]{TRIM_B},setpts=PTS-STARTPTS,settb=1/25[b];"
    return reference(tmp_path, *inputs, "-filter_complex", first + second + graph)


def assert_same(ours: Any, theirs: Any, least: float = 40) -> None:
    assert len(ours.times) == len(theirs.times)
    worst = min(psnr(a, b) for a, b in zip(ours.luma, theirs.luma, strict=True))
    assert worst >= least


def test_a_cut_joins_frame_to_frame(root: Path, tmp_path: Path) -> None:
    done = export_here(spec("concat", A, B), root, tmp_path)
    ours = decode(done.path)
    assert_same(ours, joined(root, tmp_path, "[a][b]concat=n=2:v=1"), least=99)
    assert ours.times == [Fraction(k, 25) for k in range(62 + 65)]
    assert complaints(done.path) == ""


def test_a_dissolve_is_that_of_xfade(root: Path, tmp_path: Path) -> None:
    what = spec("concat", A, B, transition={"type": "dissolve", "seconds": 0.8})
    done = export_here(what, root, tmp_path)
    offset = 62 / 25 - 0.8
    theirs = joined(root, tmp_path, f"[a][b]xfade=fade:duration=0.8:offset={offset}")
    assert_same(decode(done.path), theirs)


def test_a_fade_goes_through_black(root: Path, tmp_path: Path) -> None:
    what = spec("concat", A, B, transition={"type": "fade", "seconds": 0.8})
    done = export_here(what, root, tmp_path)
    graph = (
        "[a]fade=out:st=2.08:d=0.4[x];[b]fade=in:st=0:d=0.4[y];"  # 10 frames each
        "[x][y]concat=n=2:v=1"
    )
    ours = decode(done.path)
    assert_same(ours, joined(root, tmp_path, graph))
    assert ours.luma[62].max() == 16


def test_a_fade_is_two_xfades_with_black_between(root: Path, tmp_path: Path) -> None:
    """Nothing overlaps: the first clip is mixed into black, and black into the second."""
    what = spec("concat", A, B, transition={"type": "fade", "seconds": 0.8})
    done = export_here(what, root, tmp_path)
    black = "color=black:s=320x180:r=25:d=0.4,format=yuv420p,settb=1/25"
    graph = (
        f"{black}[k];{black}[l];[a][k]xfade=fade:duration=0.4:offset=2.08[x];"
        "[l][b]xfade=fade:duration=0.4:offset=0[y];[x][y]concat=n=2:v=1"
    )
    assert_same(decode(done.path), joined(root, tmp_path, graph))


def test_the_sound_of_a_fade_is_two_acrossfades_with_silence_between(
    root: Path, tmp_path: Path
) -> None:
    what = spec("concat", A, B, transition={"type": "fade", "seconds": 0.8})
    done = export_here(what, root, tmp_path)
    path = tmp_path / "reference.wav"
    silence = f"aevalsrc=0:s={RATE}:d=0.4"
    graph = (
        "[0:a]atrim=0.52:3,asetpts=PTS-STARTPTS[a];[1:a]atrim=1:3.6,asetpts=PTS-STARTPTS[b];"
        f"{silence}[k];{silence}[l];[a][k]acrossfade=d=0.4:c1=tri:c2=tri[x];"
        "[l][b]acrossfade=d=0.4:c1=tri:c2=tri[y];[x][y]concat=n=2:v=0:a=1"
    )
    ffmpeg("-i", root / "a.mp4", "-i", root / "b.mp4", "-filter_complex", graph, path)
    ours, theirs = samples(done.path, RATE)[0], samples(path, RATE)[0]
    assert abs(len(ours) - len(theirs)) <= 2
    n = min(len(ours), len(theirs))
    error = np.abs(ours[:n] - theirs[:n])[RATE // 10 : -RATE // 10]
    assert 20 * np.log10(error.max()) < -40


def test_a_dissolve_mixes_the_sound_as_acrossfade_does(root: Path, tmp_path: Path) -> None:
    what = spec("concat", A, B, transition={"type": "dissolve", "seconds": 0.8})
    done = export_here(what, root, tmp_path)
    path = tmp_path / "reference.wav"
    graph = (
        "[0:a]atrim=0.52:3,asetpts=PTS-STARTPTS[a];[1:a]atrim=1:3.6,asetpts=PTS-STARTPTS[b];"
        "[a][b]acrossfade=d=0.8:c1=tri:c2=tri"
    )
    ffmpeg("-i", root / "a.mp4", "-i", root / "b.mp4", "-filter_complex", graph, path)
    ours, theirs = samples(done.path, RATE)[0], samples(path, RATE)[0]
    assert abs(len(ours) - len(theirs)) <= 2
    n = min(len(ours), len(theirs))
    error = np.abs(ours[:n] - theirs[:n])[RATE // 10 : -RATE // 10]
    assert 20 * np.log10(error.max()) < -40


def test_clips_of_another_shape_and_rate_are_conformed_to_the_first(
    root: Path, tmp_path: Path
) -> None:
    c = {"path": "c.mp4", "start": 1, "end": 3}
    done = export_here(spec("concat", A, c), root, tmp_path)
    ours = decode(done.path)
    graph = (
        f"[0:v]{TRIM_A},setpts=PTS-STARTPTS[a];"
        "[1:v]trim=start_frame=30:end_frame=90,setpts=PTS-STARTPTS,fps=25,"
        "scale=180:180:flags=bicubic+accurate_rnd+full_chroma_int,pad=320:180:70:0[b];"
        "[a][b]concat=n=2:v=1"
    )
    inputs = ("-i", root / "a.mp4", "-i", root / "c.mp4")
    assert_same(ours, reference(tmp_path, *inputs, "-filter_complex", graph))
    assert len(ours.times) == 62 + 50


def test_a_clip_without_sound_is_silent_between_others(root: Path, tmp_path: Path) -> None:
    ffmpeg("-i", root / "b.mp4", "-an", "-c", "copy", tmp_path / "mute.mp4")
    for name in ("a", "c"):
        shutil.copy(root / f"{name}.mp4", tmp_path)
    mute = {"path": "mute.mp4", "start": 0, "end": 1}
    one = {"path": "a.mp4", "start": 0, "end": 1}
    done = export_here(spec("concat", one, mute, one), tmp_path, tmp_path)
    sound, _ = samples(done.path, RATE)
    assert len(sound) == 3 * RATE
    loud = [np.abs(sound[i * RATE + 4800 : (i + 1) * RATE - 4800]).max() for i in range(3)]
    assert loud[0] > 0.05 and loud[1] == 0 and loud[2] > 0.05


@pytest.mark.parametrize("rate", [0.1, 0.5, 2.5, 16])
def test_speed_takes_the_frames_that_fps_takes_and_keeps_the_pitch(
    root: Path, tmp_path: Path, rate: float
) -> None:
    source = {"path": "a.mp4", "speed": [{"start": 0, "end": 4, "rate": rate}]}
    done = export_here(spec("framing", source), root, tmp_path)
    ours = decode(done.path)
    theirs = reference(tmp_path, "-i", root / "a.mp4", "-an", "-vf", f"setpts=PTS/{rate},fps=25")
    assert len(ours.times) == round(100 / rate)
    n = min(len(ours.times), len(theirs.times))
    assert abs(len(ours.times) - len(theirs.times)) <= 1
    assert min(psnr(a, b) for a, b in zip(ours.luma[:n], theirs.luma[:n], strict=True)) >= 99
    sound, _ = samples(done.path, RATE)
    assert abs(len(sound) / RATE - len(ours.times) / 25) < 0.001
    middle = sound[len(sound) // 4 : -len(sound) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert abs(np.argmax(spectrum) * RATE / len(middle) - 440) < 12


def test_one_range_of_a_source_can_be_slow(root: Path, tmp_path: Path) -> None:
    source = {"path": "a.mp4", "end": 2, "speed": [{"start": 1, "end": 1.4, "rate": 0.5}]}
    ours = decode(export_here(spec("framing", source), root, tmp_path).path)
    every = decode(root / "a.mp4").luma
    assert len(ours.times) == 60
    shown = [int(np.argmin([np.abs(f.astype(int) - e).mean() for e in every])) for f in ours.luma]
    assert shown[:25] == list(range(25))
    assert shown[45:] == list(range(35, 50))
    assert {a - b for a, b in zip(shown[26:45], shown[25:44], strict=True)} == {0, 1}


def test_fps_changes_the_rate(root: Path, tmp_path: Path) -> None:
    done = export_here(spec("concat", {"path": "a.mp4"}, encoding={"fps": 29.97}), root, tmp_path)
    ours = decode(done.path)
    theirs = reference(tmp_path, "-i", root / "a.mp4", "-an", "-vf", "fps=30000/1001")
    assert_same(ours, theirs, least=99)
    with av.open(str(done.path)) as container:
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)


def test_several_ranges_of_one_file(root: Path, tmp_path: Path) -> None:
    ranges = [{"path": "a.mp4", "start": s, "end": s + 0.4} for s in (3, 0.2, 1.6)]
    ours = decode(export_here(spec("concat", *ranges), root, tmp_path).path)
    every = decode(root / "a.mp4").luma
    frames = [*range(75, 85), *range(5, 15), *range(40, 50)]
    assert (ours.luma == every[frames]).all()


@pytest.mark.parametrize("layout", ["side_by_side", "wipe", "before_then_after"])
def test_compare_shows_both(root: Path, tmp_path: Path, layout: str) -> None:
    crop = {
        "type": "crop",
        "size": [320, 180],
        "keyframes": [{"time": 0, "x": 40, "y": 20, "width": 160, "height": 90}],
    }
    what = spec(
        "compare",
        {"path": "a.mp4", "start": 1, "end": 2, "effects": [crop]},
        effects=[
            {"type": "compare", "layout": layout, "with": {"path": "b.mp4", "start": 1, "end": 2}}
        ],
    )
    done = export_here(what, root, tmp_path)
    ours = decode(done.path)
    before = decode(root / "b.mp4").luma[25:50]
    if layout == "side_by_side":
        assert ours.luma.shape == (25, 180, 640)
        assert (ours.luma[:, :, :320] == before).all()
        after = ours.luma[:, :, 320:]
    elif layout == "wipe":
        assert ours.luma.shape == (25, 180, 320)
        for i in (0, 7, 24):
            edge = round(i / 25 * 160) * 2
            assert (ours.luma[i, :, edge:] == before[i, :, edge:]).all()
        after = None
    else:
        assert ours.luma.shape == (50, 180, 320)
        assert (ours.luma[:25] == before).all()
        after = ours.luma[25:]
    if after is not None:
        theirs = reference(
            tmp_path,
            *("-i", root / "a.mp4", "-an", "-vf"),
            "trim=start_frame=25:end_frame=50,crop=160:90:40:20,scale=320:180:flags=bicubic",
        )
        assert min(psnr(a, b) for a, b in zip(after, theirs.luma, strict=True)) > 32
    assert complaints(done.path) == ""
