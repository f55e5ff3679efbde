"""What damaged files have brought to light, each once more by itself."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from support import Context, clip_spec, decode, export_here, ffmpeg

from jupyter_export.errors import SourceUnreadable, SpecError
from jupyter_export.media.fields import FieldPairs
from jupyter_export.workers.tasks import TASKS

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=12:d=1")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "6")


def inspect(root: Path, name: str) -> dict[str, Any]:
    context: Any = Context()
    return TASKS["inspect"]({"root": str(root), "spec": clip_spec(name, "o.mp4")}, context)


@pytest.mark.parametrize("smart", [True, False])
def test_packets_that_came_twice_are_shown_once(smart: bool, tmp_path: Path) -> None:
    """A broadcast repeats what it sent: two frames of one time cannot both be in a file."""
    ffmpeg(*PICTURE, *X264, tmp_path / "whole.ts")
    whole = (tmp_path / "whole.ts").read_bytes()
    at = len(whole) // 188 // 2 * 188
    (tmp_path / "twice.ts").write_bytes(whole[: at + 80 * 188] + whole[at:])
    done = export_here(
        clip_spec("twice.ts", "o.mp4", smart=smart, quality="fast"), tmp_path, tmp_path / "out"
    )
    times = decode(done.path).times
    assert times == sorted(set(times))
    assert 10 <= len(times) <= 12


@pytest.mark.parametrize("size", ["W1 H120", "W0 H120", "W160 H1"])
def test_pictures_too_small_for_any_encoder_are_refused_when_asked_for(
    size: str, tmp_path: Path
) -> None:
    ffmpeg(*PICTURE, "-frames:v", 2, "-pix_fmt", "yuv420p", tmp_path / "raw.y4m")
    data = (tmp_path / "raw.y4m").read_bytes()
    (tmp_path / "small.y4m").write_bytes(data.replace(b"W160 H120", size.encode(), 1))
    with pytest.raises(SourceUnreadable):
        inspect(tmp_path, "small.y4m")


def test_pictures_of_pixels_that_are_far_wider_than_high_are_refused(tmp_path: Path) -> None:
    """Its 1280×720 pixels would be 92 million square ones, in each of several steps."""
    wide = ("-f", "lavfi", "-i", "testsrc2=s=1280x720:r=5:d=0.4,setsar=100/1")
    ffmpeg(*wide, *X264, tmp_path / "wide.mp4")
    with pytest.raises(SourceUnreadable, match="would have 128000×720 pixels"):
        inspect(tmp_path, "wide.mp4")


def test_a_packet_that_cannot_be_read_while_seeking_is_no_crash(tmp_path: Path) -> None:
    ffmpeg(*PICTURE, "-frames:v", 2, "-pix_fmt", "yuv420p", tmp_path / "raw.y4m")
    data = (tmp_path / "raw.y4m").read_bytes()
    at = data.index(b"FRAME", data.index(b"FRAME") + 1)
    (tmp_path / "bad.y4m").write_bytes(data[:at] + b"NOISE" + data[at + 5 :])
    context: Any = Context()
    spec = clip_spec("bad.y4m", "o.mp4", 0.05, 0.1)
    with pytest.raises((SourceUnreadable, SpecError)):
        TASKS["inspect"]({"root": str(tmp_path), "spec": spec}, context)


def test_a_parameter_set_that_counts_to_a_googol_ends_at_once() -> None:
    """Of an H.264 header with picture order count type 1: a cycle of 2^600 frames."""
    head = "0" * 16 + "1" + "1" + "010"  # constraints and level, ids, frame number; type 1
    cycle = "0" + "1" + "1" + "0" * 600 + "1" + "1" * 600
    bits = f"{66:08b}" + head + cycle
    data = int(bits.ljust(-(-len(bits) // 8) * 8, "1"), 2).to_bytes(-(-len(bits) // 8))
    packet = b"\0\0\1\x67" + data.replace(b"\0\0", b"\0\0\3")
    assert FieldPairs().is_second(packet) is False


def test_a_table_of_durations_that_overflows_is_told_as_what_it_is(tmp_path: Path) -> None:
    ffmpeg(*PICTURE, *X264, tmp_path / "film.mp4")
    data = bytearray((tmp_path / "film.mp4").read_bytes())
    at = data.index(b"stts")
    data[at + 12 : at + 20] = struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF)
    (tmp_path / "film.mp4").write_bytes(data)
    try:
        done = export_here(clip_spec("film.mp4", "o.mp4"), tmp_path, tmp_path / "out")
        assert done.result["frames"] > 0
    except (SourceUnreadable, SpecError) as error:
        assert error.advice
