"""HEVC is copied where nothing between copies has to be encoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from smart_support import LOOK, assert_exact, copied_frames
from support import Exported, clip_spec, decode, export_here, ffmpeg

JOINED = "HEVC is only copied where nothing of the output is rendered"


def hevc(path: Path, parameters: str = "open-gop=0", format: str = "yuv420p") -> Path:
    look = LOOK.format(rate="25", format=format, seconds=4)
    ffmpeg(
        *("-f", "lavfi", "-i", look, "-c:v", "libx265", "-preset", "veryfast", "-g", 25),
        *("-x265-params", f"log-level=error:{parameters}", path),
    )
    return path


def cut(source: Path, start: float, end: float, output: str, to: Path) -> Exported:
    how: dict[str, Any] = {"smart": True, "codec": "hevc", "quality": "fast"}
    spec = clip_spec(source.name, output, start, end, **how)
    return export_here(spec, source.parent, to, encoder="libx265")


@pytest.mark.parametrize("suffix", ["mp4", "ts", "mkv"])
def test_whole_groups_of_pictures_are_copied(suffix: str, tmp_path: Path) -> None:
    source = hevc(tmp_path / f"s.{suffix}", "open-gop=0:repeat-headers=1:aud=1")
    frames = decode(source).luma
    for output in ("o.mp4", "o.mkv"):
        done = cut(source, 1, 3, output, tmp_path / "o")
        assert copied_frames(done) == [True] * 50
        assert done.plan["notes"] == []
        assert_exact(done, frames[25:75])


def test_ten_bits_and_hdr_are_copied_too(tmp_path: Path) -> None:
    """As phones record it."""
    colours = "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"
    for name, more, notes in (
        ("plain.mp4", "", []),
        ("hdr.mp4", f":{colours}", ["The source is HDR (HLG), and so is the output."]),
    ):
        source = hevc(tmp_path / name, f"open-gop=0{more}", "yuv420p10le")
        done = cut(source, 1, 3, "o.mp4", tmp_path / "o")
        assert copied_frames(done) == [True] * 50
        assert done.plan["notes"] == notes
        assert_exact(done, decode(source).luma[25:75])


def test_a_cut_inside_is_rendered_and_the_job_says_why(tmp_path: Path) -> None:
    done = cut(hevc(tmp_path / "s.mp4"), 1.2, 3, "o.mp4", tmp_path / "o")
    assert done.plan["notes"] == [f"Rendered: {JOINED}."]
    assert_exact(done, decode(tmp_path / "s.mp4").luma[30:75])


def test_open_groups_are_rendered_and_the_job_says_why(tmp_path: Path) -> None:
    source = hevc(tmp_path / "s.mp4", "open-gop=1:bframes=4")
    done = cut(source, 0, 4, "o.mp4", tmp_path / "o")
    assert done.plan["notes"] == ["Rendered: the source has open GOPs."]
    assert_exact(done, decode(source).luma)
