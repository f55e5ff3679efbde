"""Damaged and interlaced streams, and files with several tracks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from footage import CLASSES
from support import clip_spec, complaints, decode, export_here, ffmpeg, psnr, samples

from jupyter_export.errors import SpecError

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=3", "-pix_fmt", "yuv420p")
CODECS: dict[str, tuple[str, ...]] = {
    "h264.mp4": ("-c:v", "libx264", "-g", "25", "-bf", "2"),
    "h264.ts": ("-c:v", "libx264", "-g", "25", "-bf", "2"),
    "hevc.mkv": ("-c:v", "libx265", "-x265-params", "log-level=error:keyint=25:bframes=2"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-g", "25", "-deadline", "realtime", "-cpu-used", "5"),
    "mpeg2.mkv": ("-c:v", "mpeg2video", "-g", "25", "-bf", "2"),
    "mpeg4.avi": ("-c:v", "mpeg4", "-g", "25"),
    "mjpeg.mov": ("-c:v", "mjpeg"),
}

#: Their decoders make a picture of anything, and do not tell.
TELL_NOTHING = {"hevc.mkv", "vp9.webm"}


def damage(path: Path, first: int, last: int) -> None:
    """Overwrite the frames of these numbers, in the order of the file, but for their beginnings."""
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(1)
    for n in range(first, last + 1):
        pos, size = packets[n]
        begin, end = pos + min(60, size // 3), pos + size - 4
        data[begin:end] = noise.integers(0, 256, end - begin, dtype=np.uint8).tobytes()
    path.write_bytes(data)


@pytest.mark.parametrize("name", CODECS)
def test_damaged_frames_are_concealed_and_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    ffmpeg(*PICTURE, *CODECS[name], path)
    whole = decode(export_here(_lossless(name), tmp_path, tmp_path / "whole").path)
    damage(path, 33, 36)
    done = export_here(_lossless(name), tmp_path, tmp_path / "o", segment_seconds=1.0)
    notes = done.notes
    again = export_here(_lossless(name), tmp_path, tmp_path / "o", segment_seconds=1.0)
    assert again.notes == notes and not any(again.rendered), "what is reused tells nothing"
    out = decode(done.path)
    assert complaints(done.path) == ""
    assert len(out.times) == len(whole.times) == 75
    assert out.times == whole.times
    # Nothing is wrong before the damage, nor from the next keyframe on.
    for k in (*range(30), *range(52, 75)):
        assert psnr(out.luma[k], whole.luma[k]) > 60, k
    assert notes or name in TELL_NOTHING, "the job is not told"
    assert all("damaged frame" in note and name in note for note in notes)
    assert not notes or " 1." in notes[0]  # s


def test_what_is_made_of_damage_is_the_same_every_time(tmp_path: Path) -> None:
    """However the frames are cut, read in whichever order, by however many threads at once."""
    path = tmp_path / "h264.mp4"
    ffmpeg(*PICTURE, "-c:v", "libx264", "-g", 75, "-bf", 0, "-threads", 1, path)
    damage(path, 33, 36)
    spec = _lossless("h264.mp4")
    ffmpeg(
        "-threads", 1, "-i", path, "-c:v", "ffv1", "-fps_mode", "passthrough", tmp_path / "r.mkv"
    )
    expected = decode(tmp_path / "r.mkv").luma
    for seconds in (8.0, 0.5, 0.5):
        for order in (None, lambda indices: indices[::-1]):
            folder = tmp_path / f"{seconds} {order}"
            done = export_here(spec, tmp_path, folder, segment_seconds=seconds, order=order)
            # From the damage on, all that refers to it differs.
            assert (decode(done.path).luma == expected).all()


def _lossless(name: str) -> dict[str, Any]:
    return clip_spec(name, "o.mkv", quality="lossless")


@pytest.mark.parametrize(
    "name",
    [
        "interlaced mpeg2 ts",
        "interlaced mpeg2 ps, bottom first",
        "interlaced h264 ts (MBAFF)",
        "interlaced h264 ts (PAFF)",
        "interlaced h264 ts (PAFF, fields apart, bottom first)",
    ],
)
def test_deinterlaced_segments_are_parts_of_the_whole(name: str, tmp_path: Path) -> None:
    """The filter looks at the frames before and after: also across the ends of segments."""
    path = CLASSES[name].write(tmp_path)
    for start, end in ((0.0, None), (0.33, 0.97)):
        spec = clip_spec(path.name, "o.mkv", start, end, quality="lossless")
        one = decode(export_here(spec, tmp_path, tmp_path / "one").path)
        many = export_here(
            spec, tmp_path, tmp_path / "many", segment_seconds=0.2, order=lambda i: i[::-1]
        )
        assert len(many.rendered) > 2
        assert (decode(many.path).luma == one.luma).all()


def test_film_in_a_broadcast_rate_is_left_as_it_is(tmp_path: Path) -> None:
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=160x120:r=24000/1001:d=1", "-vf", "telecine"),
        *("-c:v", "mpeg2video", "-q:v", 2, "-pix_fmt", "yuv420p", tmp_path / "t.ts"),
    )
    done = export_here(_lossless("t.ts"), tmp_path, tmp_path / "o")
    source = decode(tmp_path / "t.ts")
    assert (decode(done.path).luma == source.luma).all()
    assert done.plan["notes"] == []


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two video and two audio tracks: black with 440 Hz, white with 880 Hz; and a cover."""
    folder = tmp_path_factory.mktemp("tracks")
    ffmpeg(
        *("-f", "lavfi", "-i", "color=black:s=160x120:r=25:d=1"),
        *("-f", "lavfi", "-i", "color=white:s=96x64:r=10:d=1"),
        *("-f", "lavfi", "-i", "sine=440:d=1", "-f", "lavfi", "-i", "sine=880:d=1"),
        *("-f", "lavfi", "-i", "color=red:s=500x500:d=0.04"),
        *("-map", 0, "-map", 4, "-map", 1, "-map", 2, "-map", 3, "-c:v", "libx264"),
        *("-c:v:1", "mjpeg", "-pix_fmt", "yuv420p", "-pix_fmt:v:1", "yuvj420p"),
        *("-disposition:v:1", "attached_pic", "-c:a", "aac", folder / "tracks.mp4"),
    )
    return folder


@pytest.mark.parametrize(
    ("video", "audio", "size", "tone"),
    [(None, None, 160, 440), (0, 0, 160, 440), (1, 1, 96, 880), (None, 1, 160, 880)],
)
def test_tracks_are_chosen_by_number(
    video: int | None, audio: int | None, size: int, tone: int, tracks: Path, tmp_path: Path
) -> None:
    spec = clip_spec("tracks.mp4", "o.mkv", quality="lossless")
    spec["sources"][0] |= {"video_track": video, "audio_track": audio}
    done = export_here(spec, tracks, tmp_path)
    assert decode(done.path).luma.shape[2] == size
    sound, _ = samples(done.path)
    spectrum = np.abs(np.fft.rfft(sound[4800:43200]))
    assert np.argmax(spectrum) * 48000 / 38400 == pytest.approx(tone, abs=3)


def test_two_tracks_of_one_file_can_be_compared(tracks: Path, tmp_path: Path) -> None:
    spec = clip_spec("tracks.mp4", "o.mkv", quality="lossless")
    other = {"path": "tracks.mp4", "video_track": 1}
    spec |= {
        "kind": "compare",
        "effects": [{"type": "compare", "layout": "side_by_side", "with": other}],
    }
    out = decode(export_here(spec, tracks, tmp_path).path)
    assert out.luma[3, 60, 80] > 200 and out.luma[3, 60, 240] < 30


@pytest.mark.parametrize(
    ("field", "track", "words"),
    [
        ("video_track", 2, "has no video track 2: it has 2 video tracks"),
        ("audio_track", 5, "has no audio track 5: it has 2 audio tracks"),
    ],
)
def test_a_track_that_is_not_there_is_refused(
    field: str, track: int, words: str, tracks: Path, tmp_path: Path
) -> None:
    spec = clip_spec("tracks.mp4", "o.mp4")
    spec["sources"][0][field] = track
    with pytest.raises(SpecError, match=words) as caught:
        export_here(spec, tracks, tmp_path)
    assert caught.value.field == f"sources[0].{field}"
    assert "from 0 to 1" in str(caught.value.advice)
