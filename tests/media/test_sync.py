"""Sound and picture together: a flash and a beep, measured at the start and at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import clip_spec, complaints, decode, export_here, ffmpeg, framing_spec
from sync_support import LIMIT, flash_and_beep, offsets_of, onsets_of

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
        offsets = offsets_of(path)
        assert len(offsets) >= 22
        assert max(abs(offsets[0]), abs(offsets[-1])) < LIMIT, offsets
        assert np.abs(offsets).max() < LIMIT, offsets


def test_a_framed_clip_is_in_sync_too(tmp_path: Path) -> None:
    flash_and_beep(tmp_path, "s.mp4", "-c:a", "aac")
    spec = framing_spec(
        "s.mp4", "o.mp4", [(0, 0, 0, 160, 90), (30, 160, 90, 160, 90)], (160, 90), 1.5, 28.1
    )
    offsets = offsets_of(export_here(spec, tmp_path, tmp_path / "o").path)
    assert np.abs(offsets).max() < LIMIT


def test_sound_that_begins_late_stays_late(tmp_path: Path) -> None:
    """The first 2.5 s of the source have no sound at all."""
    for name, sound in (("s.mp4", "aac"), ("s.mkv", "libopus")):
        flash_and_beep(tmp_path, name, "-c:a", sound, shift=2.5)
        for start in (0.0, 1.0):
            spec = clip_spec(name, "o.mp4", start, 20.0, quality="fast")
            path = export_here(spec, tmp_path, tmp_path / "o").path
            flashes, beeps = onsets_of(path)
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
