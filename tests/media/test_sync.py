"""Sound and picture together: a flash and a beep, measured at the start and at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import clip_spec, complaints, decode, export_here, ffmpeg, framing_spec, samples

LIMIT = 0.025
"""Seconds; ITU-R BT.1359 finds 45 ms of early sound just detectable."""


def flash_and_beep(folder: Path, name: str, *audio: str, shift: float = 0.0) -> None:
    """30 s at 25 fps: white and 1 kHz for 0.2 s at every whole second, else black and silent."""
    ffmpeg(
        *("-f", "lavfi", "-i", "color=black:s=320x180:r=25:d=30"),
        *("-itsoffset", shift),
        *("-f", "lavfi", "-i", "sine=1000:r=48000:d=30"),
        "-filter_complex",
        "[0:v]drawbox=c=white:t=fill:enable='lt(mod(t,1),0.2)'[v];"
        f"[1:a]volume=0:enable='gte(mod(t-{shift},1),0.2)'[a]",
        *("-map", "[v]", "-map", "[a]", "-c:v", "libx264", "-g", 50, *audio, folder / name),
    )


SOUND = {
    "aac in mp4, copied": ("s.mp4", ["-c:a", "aac"]),
    "opus in webm, encoded": ("s.mkv", ["-c:a", "libopus"]),
    "pcm in mov, encoded": ("s.mov", ["-c:a", "pcm_s16le"]),
    "mp3 in mkv, encoded": ("s.mkv", ["-c:a", "libmp3lame"]),
    "aac in ts, encoded": ("s.ts", ["-c:a", "aac"]),
}


@pytest.mark.parametrize("output", ["o.mp4", "o.mkv"])
@pytest.mark.parametrize("sound", SOUND)
def test_beeps_stay_on_flashes(sound: str, output: str, tmp_path: Path) -> None:
    name, arguments = SOUND[sound]
    flash_and_beep(tmp_path, name, *arguments)
    for start, end in ((0.0, None), (3.28, 26.6)):
        spec = clip_spec(name, output, start, end, quality="fast")
        path = export_here(spec, tmp_path, tmp_path / "o").path
        assert complaints(path) == ""
        offsets = _offsets(path)
        assert len(offsets) >= 22
        assert max(abs(offsets[0]), abs(offsets[-1])) < LIMIT, offsets
        assert np.abs(offsets).max() < LIMIT, offsets


def test_a_framed_clip_is_in_sync_too(tmp_path: Path) -> None:
    flash_and_beep(tmp_path, "s.mp4", "-c:a", "aac")
    spec = framing_spec(
        "s.mp4", "o.mp4", [(0, 0, 0, 160, 90), (30, 160, 90, 160, 90)], (160, 90), 1.5, 28.1
    )
    offsets = _offsets(export_here(spec, tmp_path, tmp_path / "o").path)
    assert np.abs(offsets).max() < LIMIT


def test_sound_that_begins_late_stays_late(tmp_path: Path) -> None:
    """The first 2.5 s of the source have no sound at all."""
    for name, sound in (("s.mp4", "aac"), ("s.mkv", "libopus")):
        flash_and_beep(tmp_path, name, "-c:a", sound, shift=2.5)
        for start in (0.0, 1.0):
            spec = clip_spec(name, "o.mp4", start, 20.0, quality="fast")
            path = export_here(spec, tmp_path, tmp_path / "o").path
            flashes, beeps = _onsets(path)
            # Beeps are at 2.5, 3.5, …: half a second after each flash.
            assert beeps[0] == pytest.approx(2.5 - start, abs=LIMIT)
            assert flashes[0] == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("name", ["s.mp4", "s.mkv"])
def test_a_range_without_sound_gets_no_empty_track(name: str, tmp_path: Path) -> None:
    codec = "aac" if name == "s.mp4" else "libopus"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=6", "-f", "lavfi", "-i", "sine=d=1"),
        *("-c:v", "libx264", "-g", 25, "-c:a", codec, tmp_path / name),
    )
    done = export_here(clip_spec(name, "o.mp4", 3, 5), tmp_path, tmp_path / "o")
    out = decode(done.path)
    assert len(out.times) == 50
    assert not out.has_audio


def _offsets(path: Path) -> np.ndarray:
    """Beep minus flash, in seconds, for each flash that has a beep near it."""
    flashes, beeps = _onsets(path)
    pairs = [(f, beeps[np.argmin(np.abs(beeps - f))]) for f in flashes]
    offsets = np.array([b - f for f, b in pairs])
    # What begins inside a beep has no onset of its own.
    return offsets[np.abs(offsets) < 0.4]


def _onsets(path: Path) -> tuple[np.ndarray, np.ndarray]:
    out = decode(path)
    bright = out.luma.mean(axis=(1, 2)) > 128
    flashes = [
        float(out.times[k]) for k in range(1, len(bright)) if bright[k] and not bright[k - 1]
    ]
    if bright[0]:
        flashes.insert(0, float(out.times[0]))
    sound, start = samples(path)
    window = 48
    usable = len(sound) // window * window
    loud = np.abs(sound[:usable]).reshape(-1, window).max(axis=1) > 0.05
    edges = [k for k in range(20, len(loud)) if loud[k] and not loud[k - 20 : k].any()]
    return np.array(flashes), np.array([start + k * window / 48000 for k in edges])
