"""A browser's own <video> plays what we export, from the first frame to the last."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_support import play
from playwright.sync_api import Browser
from support import clip_spec, export_here, framing_spec

SPECS = {
    "a clip in three segments, sound copied": clip_spec("timecode_720p30.mp4", "o.mp4", 3.1, 18.2),
    "a moving crop": framing_spec(
        "bunny_720p25.mp4", "o.mp4", [(0, 0, 0, 405, 720), (5, 800, 0, 405, 720)], (404, 720)
    ),
    "4:4:4 and MP3 in": clip_spec("cockatoo_yuv444p.mp4", "o.mp4", 2, 9),
    "VP8 and Vorbis in": clip_spec("bunny_vp8_vorbis.webm", "o.mp4", 20, 26, quality="fast"),
    "no sound": clip_spec("bikes_no_audio.mp4", "o.mp4"),
}


@pytest.mark.parametrize("name", SPECS)
def test_the_video_element_plays_and_seeks_an_export(
    name: str, browser: Browser, site: str, root: Path, tmp_path: Path
) -> None:
    done = export_here(SPECS[name], root, tmp_path)
    told = play(browser, site, "o.mp4")
    assert told["end"] == "ended", told
    assert told["duration"] == pytest.approx(done.result["duration"], abs=0.05)
    assert told["sought"] == pytest.approx(done.result["duration"] / 2, abs=0.05)
    assert told["corrupted"] == 0
    assert told["width"] and told["height"]


def test_the_video_element_plays_and_seeks_av1_from_several_segments(
    browser: Browser, site: str, root: Path, tmp_path: Path
) -> None:
    spec = clip_spec("timecode_720p30.mp4", "o.mp4", 3, 7, codec="av1", quality="fast")
    done = export_here(spec, root, tmp_path, encoder="libsvtav1", segment_seconds=1.0)
    assert len(done.rendered) > 1
    told = play(browser, site, "o.mp4")
    assert told["end"] == "ended", told
    assert told["sought"] == pytest.approx(done.result["duration"] / 2, abs=0.05)
    assert told["corrupted"] == 0
