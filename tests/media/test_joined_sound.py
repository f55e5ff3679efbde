"""Sound and picture of clips that were joined, resampled, sped up: a flash and a beep, measured."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support import complaints, export_here, ffmpeg, samples
from sync_support import LIMIT, flash_and_beep, offsets_of, onsets_of

SECOND = Fraction(1)
NTSC = Fraction(30000, 1001)
#: name: (frames per second, seconds from flash to flash, codecs, filter of the sound)
CLIPS: dict[str, tuple[Fraction, Fraction, tuple[str, ...], str]] = {
    "fast.mp4": (Fraction(50), SECOND, ("-c:a", "aac"), "aformat=channel_layouts=stereo"),
    "ntsc.mkv": (NTSC, Fraction(1001, 1000), ("-c:a", "libopus"), "anull"),
    "film.ts": (
        Fraction(24),
        SECOND,
        ("-c:v", "mpeg2video", "-q:v", "2", "-c:a", "aac"),
        "aresample=44100,aformat=channel_layouts=5.1",
    ),
    "slow.avi": (Fraction(20), SECOND, ("-c:a", "libmp3lame"), "aresample=22050"),
    "short sound.mp4": (Fraction(25), SECOND, ("-c:a", "aac"), "atrim=0:2.9"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, (rate, period, codecs, sound) in CLIPS.items():
        flash_and_beep(
            folder, name, *codecs, rate=rate, period=period, seconds=5, size="64x64", sound=sound
        )
    ffmpeg("-i", folder / "fast.mp4", "-c", "copy", "-an", folder / "mute.mp4")
    late = {"shift": 1.0, "rate": Fraction(25), "seconds": 5, "size": "64x64"}
    flash_and_beep(folder, "late.mkv", "-c:a", "aac", **late)
    return folder


def concat(names: list[str], output: str, type: str = "cut", **encoding: Any) -> dict[str, Any]:
    return {
        "kind": "concat",
        "sources": [{"path": name, "start": 0.5, "end": 4.5} for name in names],
        # Short enough to be over before the flashes.
        "transition": {"type": type, "seconds": 0.4 if type == "fade" else 0.2},
        "output": output,
        "encoding": {"quality": "fast", **encoding},
    }


@pytest.mark.parametrize(
    ("type", "output", "audio"),
    [("cut", "o.mp4", "aac"), ("fade", "o.mkv", "opus"), ("dissolve", "o.mp4", "opus")],
)
def test_clips_of_any_rate_and_sound_stay_in_sync_when_joined(
    folder: Path, tmp_path: Path, type: str, output: str, audio: str
) -> None:
    names = ["fast.mp4", "ntsc.mkv", "film.ts", "mute.mp4", "slow.avi", "fast.mp4"]
    done = export_here(concat(names, output, type, audio=audio), folder, tmp_path)
    offsets = offsets_of(done.path)
    assert complaints(done.path) == ""
    assert len(offsets) == 5 * 4  # all but those of the clip without sound
    # The rates differ, so a flash may show half a frame (10 ms) before or after its time.
    assert np.abs(offsets).max() < LIMIT, offsets
    assert abs(offsets.mean()) < 0.01


def test_sound_that_ends_early_or_begins_late_moves_nothing(folder: Path, tmp_path: Path) -> None:
    names = ["short sound.mp4", "late.mkv", "fast.mp4"]
    done = export_here(concat(names, "o.mp4", fps=50), folder, tmp_path)
    offsets = offsets_of(done.path)
    assert len(offsets) == 2 + 4 + 4
    assert np.abs(offsets).max() < LIMIT, offsets


def test_a_minute_at_29_97_does_not_drift(tmp_path: Path) -> None:
    period = Fraction(1001, 1000)
    minute = {"rate": NTSC, "period": period, "seconds": 62, "size": "64x64"}
    flash_and_beep(tmp_path, "s.mkv", "-c:a", "aac", "-ar", "44100", **minute)
    clips = [{"path": "s.mkv", "end": 40.04}, {"path": "s.mkv", "start": 40.04, "end": 60.06}]
    spec = concat([], "o.mp4") | {"sources": clips}
    offsets = offsets_of(export_here(spec, tmp_path, tmp_path / "o").path)
    assert len(offsets) == 59  # the one at 0 begins before it can be heard to begin
    assert np.abs(offsets).max() < 0.005, offsets


def test_a_change_of_fps_keeps_the_sync(folder: Path, tmp_path: Path) -> None:
    for fps in (12.5, 29.97, 60):
        spec = concat(["fast.mp4"], "o.mp4", fps=fps) | {"kind": "clip"}
        offsets = offsets_of(export_here(spec, folder, tmp_path / str(fps)).path)
        assert len(offsets) == 4
        assert np.abs(offsets).max() < 0.5 / fps + 0.003


def test_joined_mono_and_surround_lose_no_channel(folder: Path, tmp_path: Path) -> None:
    """The first clip is mono, the second has 5.1 channels."""
    done = export_here(concat(["ntsc.mkv", "film.ts"], "o.mp4"), folder, tmp_path)
    with av.open(str(done.path)) as container:
        assert container.streams.audio[0].codec_context.layout.name == "5.1"


def test_a_broadcast_that_changes_to_surround_is_heard_to_its_end(
    folder: Path, tmp_path: Path
) -> None:
    for name, layout in (("1.ts", "stereo"), ("2.ts", "5.1")):
        flash_and_beep(
            tmp_path, name, "-c:a", "aac", seconds=4, size="64x64",
            sound=f"aformat=channel_layouts={layout}",
        )  # fmt: skip
    ffmpeg("-i", f"concat:{tmp_path}/1.ts|{tmp_path}/2.ts", "-c", "copy", tmp_path / "s.ts")
    spec = concat([], "o.mp4") | {"sources": [{"path": "s.ts"}], "kind": "clip"}
    offsets = offsets_of(export_here(spec, tmp_path, tmp_path / "o").path)
    assert len(offsets) == 7
    # Where the parts meet, the file itself has sound that is longer than the picture.
    assert np.abs(np.delete(offsets, 3)).max() < LIMIT, offsets


def test_sound_begins_with_the_picture_to_the_sample_in_every_container(tmp_path: Path) -> None:
    """Noise, found again in the output by correlation; both tracks begin at 0."""
    ffmpeg(
        *("-f", "lavfi", "-i", "color=gray:s=64x64:r=25:d=4"),
        *("-f", "lavfi", "-i", "anoisesrc=d=4:r=48000:a=0.5:seed=3"),
        *("-af", "lowpass=6000", "-c:v", "libx264", "-g", "25", "-c:a", "flac"),
        tmp_path / "s.mkv",
    )
    ffmpeg("-i", tmp_path / "s.mkv", "-c:v", "copy", "-c:a", "libopus", tmp_path / "opus.mkv")
    ffmpeg("-i", tmp_path / "s.mkv", "-c:v", "copy", "-c:a", "aac", tmp_path / "aac.mp4")
    for source, output, audio, copied in (
        ("aac.mp4", "o.mp4", "auto", True),
        ("aac.mp4", "o.mkv", "auto", False),
        ("aac.mp4", "o.mp4", "opus", False),
        ("aac.mp4", "o.mkv", "flac", False),
        ("opus.mkv", "o.mkv", "auto", True),
        ("opus.mkv", "o.mp4", "auto", False),
    ):
        what = {"path": source}
        spec = concat([], output, audio=audio) | {"sources": [what], "kind": "clip"}
        done = export_here(spec, tmp_path, tmp_path / "o")
        assert (done.plan["audio"] is None) == copied
        with av.open(str(done.path)) as container:
            # A Matroska file counts in milliseconds.
            assert all(abs(s.start_time * s.time_base) <= 0.001 for s in container.streams)
        ours, at = samples(done.path)
        theirs, origin = samples(tmp_path / source)
        late = _lag(ours, theirs) + (at - origin) * 48000
        assert abs(late) <= 48, (source, output, audio)


def _lag(ours: np.ndarray, theirs: np.ndarray) -> int:
    """How many samples `ours` comes after `theirs`."""
    n, size = 48000, 1 << 18
    product = np.fft.rfft(ours[: 3 * n], size) * np.conj(np.fft.rfft(theirs[: 3 * n], size))
    best = int(np.argmax(np.fft.irfft(product)))
    return best if best < size // 2 else best - size


def test_what_plays_it_back_hears_every_clip_of_a_joined_file(folder: Path, tmp_path: Path) -> None:
    """The silent one is silent, those beside it are as loud as they were."""
    shutil.copy(folder / "mute.mp4", tmp_path)
    done = export_here(concat(["fast.mp4", "mute.mp4", "fast.mp4"], "o.mp4"), folder, tmp_path)
    _, beeps = onsets_of(done.path)
    assert [int(b // 4) for b in beeps] == [0] * 4 + [2] * 4


@pytest.mark.parametrize("rate", [0.1, 0.5, 3, 16])
def test_sound_at_another_speed_stays_where_its_picture_is(rate: float, tmp_path: Path) -> None:
    """In stereo, to the end: the middle of each beep against the time of its flash.

    (Slowed ten times, the edges of a beep are as soft as its echoes are long.)
    """
    seconds = 10 if rate < 1 else 40
    flash_and_beep(
        tmp_path, "s.mkv", "-c:a", "flac", seconds=seconds, size="64x64",
        sound="aformat=channel_layouts=stereo",
    )  # fmt: skip
    speed = [{"start": 0, "end": seconds, "rate": rate}]
    spec = concat([], "o.mkv", audio="flac") | {
        "kind": "framing",
        "sources": [{"path": "s.mkv", "speed": speed}],
    }
    done = export_here(spec, tmp_path, tmp_path / "o")
    sound, _ = samples(done.path)
    assert len(sound) == pytest.approx(seconds / rate * 48000, abs=0.04 * 48000)
    power = (sound[: len(sound) // 48 * 48].reshape(-1, 48) ** 2).sum(axis=1)
    times = (np.arange(len(power)) + 0.5) / 1000
    errors = []
    for k in range(1, seconds - 1):
        middle = (k + 0.1) / rate
        near = np.abs(times - middle) < 0.4 / rate
        errors.append((times[near] * power[near]).sum() / power[near].sum() - middle)
    assert np.abs(errors).max() < LIMIT, errors
