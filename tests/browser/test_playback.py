"""A browser's own <video> plays what we export, from the first frame to the last."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_support import play, show
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


def test_the_video_element_plays_webm_with_chapters(
    browser: Browser, site: str, root: Path, tmp_path: Path
) -> None:
    """AV1 with Opus, from clips of different shape, rate and sound."""
    clips = [
        {"path": "bikes_no_audio.mp4", "end": 1.5},
        {"path": "bunny_vp8_vorbis.webm", "start": 3, "end": 4.5},
    ]
    spec = {
        "kind": "concat",
        "sources": clips,
        "transition": {"type": "dissolve", "seconds": 0.4},
        "output": "o.webm",
        "encoding": {"codec": "av1", "quality": "fast", "size": [320, 180]},
    }
    done = export_here(spec, root, tmp_path, encoder="libsvtav1")
    told = play(browser, site, "o.webm")
    assert told["end"] == "ended", told
    assert told["duration"] == pytest.approx(done.result["duration"], abs=0.05)
    assert told["corrupted"] == 0
    assert (told["width"], told["height"]) == (320, 180)


@pytest.mark.parametrize("name", ["o.gif", "o.webp"])
def test_an_image_element_shows_an_animation_and_goes_on_showing_it(
    name: str, browser: Browser, site: str, root: Path, tmp_path: Path
) -> None:
    spec = clip_spec("bunny_720p25.mp4", name, 1, 2.2, quality="fast", size=[320, 180])
    done = export_here(spec, root, tmp_path)
    told = show(browser, site, name)
    assert (told["width"], told["height"]) == (320, 180)
    assert told["frames"] == done.result["frames"] == 15
    assert told["seconds"] == pytest.approx(1.2, abs=0.01)
    assert told["loops"]
