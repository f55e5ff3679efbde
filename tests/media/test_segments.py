"""Segments: pure, found again by their hash, and the same bytes whatever way they were made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from support import clip_spec, complaints, decode, export_here, ffmpeg, framing_spec

from jupyter_export.errors import DiskFull
from jupyter_export.media.cache import SegmentCache

CLIP = "timecode_720p30.mp4"


def framed(start: float = 1.0, end: float = 15.0, x: float = 300.0) -> dict:
    keys = [(0.0, 0, 0, 640, 360), (10.0, 200, 100, 640, 360), (14.0, x, 100, 640, 360)]
    return framing_spec(CLIP, "o.mp4", keys, (320, 180), start, end, quality="fast")


def test_a_finished_segment_is_not_rendered_again(root: Path, tmp_path: Path) -> None:
    first = export_here(framed(), root, tmp_path, segment_seconds=4)
    assert first.rendered == [True] * 4
    data = first.path.read_bytes()
    again = export_here(framed(), root, tmp_path, segment_seconds=4)
    assert again.rendered == [False] * 4
    assert again.path.read_bytes() == data


def test_moving_the_start_leaves_later_segments_as_they_were(root: Path, tmp_path: Path) -> None:
    export_here(framed(start=1.0), root, tmp_path, segment_seconds=4)
    moved = export_here(framed(start=2.3), root, tmp_path, segment_seconds=4)
    assert moved.rendered == [True, False, False, False]


def test_changing_the_last_keyframe_renders_only_what_it_moves(root: Path, tmp_path: Path) -> None:
    keys = [(float(t), 10.0 * (t % 3), 0, 640, 360) for t in range(0, 16)]
    spec = framing_spec(CLIP, "o.mp4", keys, (320, 180), 0, 16, quality="fast")
    export_here(spec, root, tmp_path, segment_seconds=2)
    spec["sources"][0]["effects"][0]["keyframes"][-1]["x"] += 5
    again = export_here(spec, root, tmp_path, segment_seconds=2)
    assert again.rendered == [False] * 6 + [True] * 2


def test_order_and_interruption_do_not_change_the_bytes(root: Path, tmp_path: Path) -> None:
    """Forwards the decoder goes on from segment to segment; backwards each one seeks."""
    forwards = export_here(framed(), root, tmp_path / "a", segment_seconds=4)
    backwards = export_here(framed(), root, tmp_path / "b", segment_seconds=4, order=reversed)
    assert forwards.path.read_bytes() == backwards.path.read_bytes()


def test_a_damaged_segment_is_rendered_again(root: Path, tmp_path: Path) -> None:
    first = export_here(framed(), root, tmp_path, segment_seconds=4)
    data = first.path.read_bytes()
    cache = SegmentCache(tmp_path / "segments")
    ids = [s["id"] for s in first.plan["segments"]]
    broken = bytearray(cache.path(ids[0]).read_bytes())
    broken[len(broken) // 2] ^= 1
    cache.path(ids[0]).write_bytes(broken)
    cache.path(ids[1]).write_bytes(cache.path(ids[1]).read_bytes()[:-1])
    cache.path(ids[2]).unlink()
    again = export_here(framed(), root, tmp_path, segment_seconds=4)
    assert again.rendered == [True, True, True, False]
    assert again.path.read_bytes() == data


def test_a_source_that_changed_gives_other_segments(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / CLIP).write_bytes((root / CLIP).read_bytes())
    a = export_here(framed(), folder, tmp_path, segment_seconds=4)
    data = bytearray((folder / CLIP).read_bytes())
    data[-1] ^= 1
    (folder / CLIP).write_bytes(data)
    b = export_here(framed(), folder, tmp_path, segment_seconds=4)
    assert not {s["id"] for s in a.plan["segments"]} & {s["id"] for s in b.plan["segments"]}


def test_one_endless_group_of_pictures_is_cut_inside_and_stays_exact(
    media: Path, tmp_path: Path
) -> None:
    """A screen recording may have one keyframe in all: work is still kept piece by piece."""
    ffmpeg(
        *("-i", media / CLIP, "-t", 20, "-vf", "scale=320:180", "-c:v", "libx264", "-g", 9999),
        *("-keyint_min", 9999, "-sc_threshold", 0, "-preset", "ultrafast", tmp_path / "long.mp4"),
    )
    spec = clip_spec("long.mp4", "o.mkv", quality="lossless")
    done = export_here(spec, tmp_path, tmp_path / "o", segment_seconds=2, order=reversed)
    assert len(done.plan["segments"]) >= 5
    out, source = decode(done.path), decode(tmp_path / "long.mp4")
    assert (out.luma == source.luma).all()


@pytest.mark.parametrize("rate", ["25", "30000/1001", "24000/1001", "60"])
def test_segments_meet_without_a_gap_at_any_rate(rate: str, tmp_path: Path) -> None:
    ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc2=s=192x108:r={rate}:d=10", "-c:v", "libx264"),
        *("-g", 30, "-bf", 3, "-preset", "veryfast", tmp_path / "s.mp4"),
    )
    done = export_here(
        clip_spec("s.mp4", "o.mp4", quality="balanced"),
        tmp_path,
        tmp_path / "o",
        segment_seconds=1,
    )
    assert len(done.plan["segments"]) >= 5
    out, source = decode(done.path), decode(tmp_path / "s.mp4")
    assert len(set(np.diff(np.array(out.times)))) == 1
    assert out.times == source.times
    assert complaints(done.path) == ""


def test_the_cache_is_swept_least_recently_used_first_and_spares_live_exports(
    tmp_path: Path,
) -> None:
    import os

    cache = SegmentCache(tmp_path / "c")
    for age, name in enumerate(["new", "middle", "old", "live"]):
        cache.put(name, lambda target: target.write_bytes(b"x" * 1000))
        os.utime(cache.path(name), (1e9 - age, 1e9 - age))
    cache.sweep(2000, keep={"live"})
    left = {p.stem for p in (tmp_path / "c").glob("*.seg")}
    assert left == {"new", "live"}
    assert {p.stem for p in (tmp_path / "c").glob("*.json")} == left
    plan = cache.put_plan("{}")
    os.utime(cache.plan_path(plan), (1e9, 1e9))
    cache.sweep(0, keep={"live", plan})
    assert cache.plan_path(plan).exists(), "an export may run for days"
    cache.sweep(0, keep=set())
    assert list((tmp_path / "c").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits")
def test_a_full_disk_keeps_nothing_that_is_half(tmp_path: Path) -> None:
    """The kernel lets no file grow beyond 50 bytes."""
    import resource

    cache = SegmentCache(tmp_path / "c")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))
    try:
        with pytest.raises(DiskFull):
            cache.put_plan("x" * 60)
        with pytest.raises(DiskFull):
            cache.put("a", lambda target: target.write_bytes(b"abc"))  # its proof is longer
        with pytest.raises(OSError, match="too large"):
            cache.put("b", lambda target: target.write_bytes(b"x" * 60))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["a.seg"]
    assert cache.find("a") is None, "without its proof it counts for nothing"


def test_a_proof_without_its_file_or_with_nonsense_counts_for_nothing(tmp_path: Path) -> None:
    cache = SegmentCache(tmp_path)
    cache.put("a", lambda target: target.write_bytes(b"abc"))
    assert cache.find("a") is not None
    (tmp_path / "a.json").write_text("{")
    assert cache.find("a") is None
    cache.put("b", lambda target: target.write_bytes(b"abc"))
    (tmp_path / "b.json").write_text(json.dumps({"frames": 1}))
    assert cache.find("b") is None
