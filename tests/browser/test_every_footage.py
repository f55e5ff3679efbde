"""A browser's own <video> plays and seeks what every kind of export makes of every footage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest
from browser_support import PLAY
from footage import CLASSES
from footage_kinds import KINDS, spec_of, write_other
from playwright.sync_api import Browser
from support import Exported, export_here

#: Videos that play at once.
TOGETHER = 8
PLAY_ALL = f"async (urls) => Promise.all(urls.map({PLAY}))"


def every_pair(long: bool) -> list[tuple[str, str]]:
    """Each class with each kind; else so that each class and each kind has its turn."""
    if long:
        return [(name, kind) for name in CLASSES for kind in KINDS]
    kinds = list(KINDS)
    return [(name, kinds[n % len(kinds)]) for n, name in enumerate(CLASSES)]


def test_the_video_element_plays_and_seeks_every_kind_of_every_footage(
    browser: Browser, site: str, tmp_path: Path, long: bool
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_other(root)
    written = set()
    page = browser.new_page()
    wrong = []
    pairs = every_pair(long)
    for first in range(0, len(pairs), TOGETHER):
        made = []
        for n, (name, kind) in enumerate(pairs[first : first + TOGETHER], first):
            if name not in written:
                CLASSES[name].write(root)
                written.add(name)
            spec = spec_of(kind, name, f"{n}.mp4", quality="fast", smart=False)
            made.append(((name, kind), export_here(spec, root, tmp_path, segment_seconds=0.3)))
        # A page of their own: what has been played holds on to its decoder.
        page.goto(site)
        said = page.evaluate(PLAY_ALL, [f"{site}{done.path.name}" for _, done in made])
        for (pair, done), told in zip(made, said, strict=True):
            if not plays(done, told):
                wrong.append((*pair, told))
    page.close()
    assert wrong == []


def plays(done: Exported, told: dict[str, Any]) -> bool:
    """Whether what the browser says of a file is right."""
    with av.open(str(done.path)) as container:
        stream = container.streams.video[0]
        size = stream.width, stream.height
    length = done.result["duration"]
    return (
        told["end"] == "ended"
        and not told["corrupted"]
        and told["duration"] == pytest.approx(length, abs=0.05)
        and told["sought"] == pytest.approx(length / 2, abs=0.05)
        and (told["width"], told["height"]) == size
    )


def test_each_class_and_each_kind_has_its_turn() -> None:
    pairs = every_pair(False)
    assert {name for name, _ in pairs} == set(CLASSES)
    assert {kind for _, kind in pairs} == set(KINDS)
    assert len(every_pair(True)) == len(CLASSES) * len(KINDS)
