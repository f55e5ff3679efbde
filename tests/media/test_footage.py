"""Every real clip, exported whole and cut: frames, times, sound, and what other tools say."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support import (
    clip_spec,
    complaints,
    decode,
    export_here,
    ffmpeg,
    framing_spec,
    psnr,
    samples,
)

CLIPS = {
    # name: frames, rate, has audio
    "bikes_no_audio.mp4": (250, Fraction(25), False),
    "bunny_720p25.mp4": (132, Fraction(25), True),
    "bunny_vp8_vorbis.webm": (720, Fraction(24), True),
    "cockatoo_yuv444p.mp4": (280, Fraction(20), True),
    "nasa_13013.mp4": (390, Fraction(30000, 1001), True),
    "subtitles_mov_text.mp4": (40, Fraction(20), True),
    "timecode_720p30.mp4": (1272, Fraction(30), True),
}


@pytest.mark.parametrize("name", CLIPS)
def test_a_whole_clip_keeps_its_frames_times_and_sound(
    name: str, root: Path, tmp_path: Path
) -> None:
    frames, rate, has_audio = CLIPS[name]
    done = export_here(clip_spec(name, "out.mp4", quality="fast"), root, tmp_path)
    assert complaints(done.path) == ""
    out = decode(done.path)
    assert out.pix_fmt == "yuv420p"
    assert len(out.times) == frames == done.result["frames"]
    assert out.times == [k / rate for k in range(frames)]
    assert out.duration == pytest.approx(float(frames / rate), abs=1e-3)
    assert out.has_audio == has_audio
    source = decode(root / name)
    for k in range(0, frames, frames // 7):
        around = range(max(0, k - 1), min(frames, k + 2))
        scores = {n: psnr(source.luma[n], out.luma[k]) for n in around}
        # A still scene has equal neighbours; no other frame may fit better.
        assert scores[k] >= max(scores.values()) - 0.01
        assert scores[k] > 30
    if has_audio:
        assert abs(_shift(root / name, done.path, 0.0)) < 0.005


@pytest.mark.parametrize("name", CLIPS)
def test_a_cut_begins_and_ends_where_it_was_asked_to(name: str, root: Path, tmp_path: Path) -> None:
    frames, rate, has_audio = CLIPS[name]
    first, last = frames // 3 + 1, frames * 2 // 3 + 2
    start, end = float(first / rate), float(last / rate)
    spec = clip_spec(name, "cut.mkv", round(start, 4), round(end, 4), quality="lossless")
    done = export_here(spec, root, tmp_path)
    out, source = decode(done.path), decode(root / name)
    assert len(out.times) == last - first
    assert (out.luma == source.luma[first:last]).all(), "lossless frames differ from the source's"
    assert complaints(done.path) == ""
    if has_audio:
        assert abs(_shift(root / name, done.path, start)) < 0.005


@pytest.mark.parametrize(
    "name", ["nasa_13013.mp4", "cockatoo_yuv444p.mp4", "bunny_vp8_vorbis.webm"]
)
def test_framing_works_on_other_sizes_formats_and_codecs(
    name: str, root: Path, tmp_path: Path
) -> None:
    spec = framing_spec(
        name,
        "framed.mp4",
        [(0.5, 20, 30, 320, 180), (2.0, 100, 60, 200, 112.5)],
        (320, 180),
        0.5,
        2.5,
    )
    done = export_here(spec, root, tmp_path)
    assert complaints(done.path) == ""
    out = decode(done.path)
    assert len(out.times) == done.plan["total_frames"]
    assert out.luma.shape[1:] == (180, 320)


def test_the_colour_tags_of_the_source_are_kept(root: Path, tmp_path: Path) -> None:
    for suffix, quality in ((".mp4", "fast"), (".mkv", "lossless")):
        spec = clip_spec("nasa_13013.mp4", f"out{suffix}", 0, 1, quality=quality)
        with av.open(str(export_here(spec, root, tmp_path).path)) as container:
            frame = next(container.decode(video=0))
            tags = frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range
            assert [int(t) for t in tags] == [1, 1, 1, 1]


def test_the_index_comes_first_so_that_browsers_can_start_at_once(
    root: Path, tmp_path: Path
) -> None:
    path = export_here(clip_spec("subtitles_mov_text.mp4", "o.mp4"), root, tmp_path).path
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    "options",
    [
        ["-display_rotation", "90"],
        ["-display_rotation", "180"],
        ["-display_rotation", "270"],
        ["-display_hflip"],
        ["-display_rotation", "90", "-display_hflip"],
    ],
    ids=lambda o: " ".join(o),
)
def test_a_turned_picture_comes_out_upright(
    options: list[str], media: Path, tmp_path: Path
) -> None:
    ffmpeg(*options, "-i", media / "bikes_no_audio.mp4", "-t", 2, "-c", "copy", tmp_path / "t.mp4")
    # FFmpeg's own idea of the upright picture.
    ffmpeg("-i", tmp_path / "t.mp4", "-c:v", "ffv1", tmp_path / "expected.mkv")
    spec = clip_spec("t.mp4", "out.mkv", quality="lossless")
    out = decode(export_here(spec, tmp_path, tmp_path / "o").path)
    expected = decode(tmp_path / "expected.mkv")
    assert out.luma.shape == expected.luma.shape
    assert (out.luma == expected.luma).all()


def test_pixels_become_square_before_geometry(media: Path, tmp_path: Path) -> None:
    ffmpeg(
        *("-i", media / "bikes_no_audio.mp4", "-t", 1, "-vf", "scale=320:272,setsar=2/1"),
        *("-c:v", "libx264", "-qp", 0, tmp_path / "anamorphic.mp4"),
    )
    spec = framing_spec("anamorphic.mp4", "o.mp4", [(0, 320, 0, 320, 272)], (320, 272))
    out = decode(export_here(spec, tmp_path, tmp_path / "o").path)
    source = decode(media / "bikes_no_audio.mp4")
    assert out.luma.shape[1:] == (272, 320)
    # The right half of the wide picture, through a halving and a doubling of its width.
    assert psnr(out.luma[10], source.luma[10][:, 320:]) > 24


@pytest.mark.parametrize(("width", "height"), [(321, 181), (321, 180), (320, 181)])
def test_an_odd_picture_loses_one_row_or_column(width: int, height: int, tmp_path: Path) -> None:
    ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc2=s={width}x{height}:d=1:r=10", "-c:v", "ffv1"),
        *("-pix_fmt", "yuv444p", tmp_path / "odd.mkv"),
    )
    done = export_here(clip_spec("odd.mkv", "o.mp4"), tmp_path, tmp_path / "o")
    out = decode(done.path)
    assert out.luma.shape == (10, height // 2 * 2, width // 2 * 2)
    source = decode(tmp_path / "odd.mkv")
    assert psnr(out.luma[5], source.luma[5][: height // 2 * 2, : width // 2 * 2]) > 35


def test_uneven_frame_times_are_kept(media: Path, tmp_path: Path) -> None:
    """Variable frame rate: every frame is shown when it was, to the millisecond."""
    ffmpeg(
        *("-i", media / "bikes_no_audio.mp4", "-vf", "select='mod(n,5)'", "-fps_mode", "vfr"),
        *("-c:v", "libx264", "-preset", "ultrafast", tmp_path / "vfr.mp4"),
    )
    source = decode(tmp_path / "vfr.mp4")
    out = decode(
        export_here(clip_spec("vfr.mp4", "o.mp4"), tmp_path, tmp_path / "o", segment_seconds=2).path
    )
    assert len(set(np.diff(np.array(source.times)))) > 1
    assert [t - out.times[0] for t in out.times] == [t - source.times[0] for t in source.times]
    assert complaints(tmp_path / "o" / "o.mp4") == ""


def _shift(source: Path, out: Path, start: float) -> float:
    """Seconds by which `out`'s sound lags the range of `source`'s that begins at `start`.

    Both are placed on the clock of their first video frame.
    """
    a, a_start = samples(source)
    b, b_start = samples(out)
    a_start -= _first_frame(source) + start
    b_start -= _first_frame(out)
    rate = 48000
    begin = max(0, round((max(a_start, b_start, 0) - a_start) * rate))
    a = a[begin:][: rate * 4]
    b = b[max(0, round((a_start + begin / rate - b_start) * rate)) :][: rate * 4]
    n = min(len(a), len(b))
    spectrum = np.fft.rfft(b[:n], 2 * n) * np.conj(np.fft.rfft(a[:n], 2 * n))
    correlation = np.fft.irfft(spectrum)
    peak = int(np.argmax(correlation))
    return (peak if peak < n else peak - 2 * n) / rate


def _first_frame(path: Path) -> float:
    with av.open(str(path)) as container:
        frame = next(container.decode(container.streams.best("video")))
        return float(frame.pts * frame.time_base)
