"""A browser's own <video> plays and seeks what becomes of every class of footage."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_support import PLAY
from footage import CLASSES
from playwright.sync_api import Browser
from support import clip_spec, export_here


def test_the_video_element_plays_and_seeks_every_class_of_footage(
    browser: Browser, site: str, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    page = browser.new_page()
    page.goto(site)
    wrong = []
    for i, (name, footage) in enumerate(CLASSES.items()):
        spec = clip_spec(footage.write(root).name, f"{i}.mp4", 0.21, 0.83, quality="fast")
        done = export_here(spec, root, tmp_path, segment_seconds=0.3)
        told = page.evaluate(PLAY, f"{site}{i}.mp4")
        length = done.result["duration"]
        if (
            told["end"] != "ended"
            or told["corrupted"]
            or told["duration"] != pytest.approx(length, abs=0.05)
            or told["sought"] != pytest.approx(length / 2, abs=0.05)
            or (told["width"], told["height"]) != (160, 120)
        ):
            wrong.append((name, told))
    page.close()
    assert wrong == []
