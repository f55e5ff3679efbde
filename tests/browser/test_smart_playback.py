"""Copied and encoded packets in one track: a browser plays them as one, and seeks anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_support import play
from playwright.sync_api import Browser
from smart_support import copied_frames, made
from support import decode, export_here

WIDTH, HEIGHT = 96, 54

LOOK_AT = """async ([url, times, width, height]) => {
  const video = document.createElement('video');
  video.muted = true;
  video.src = url;
  await new Promise((resolve) => { video.onloadeddata = resolve; });
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const seen = [];
  for (const time of times) {
    const there = new Promise((resolve) => { video.onseeked = resolve; });
    // A busy machine shows the frame a little after it says that it is there.
    const shown = new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    video.currentTime = time;
    await there;
    await Promise.race([shown, new Promise((resolve) => setTimeout(resolve, 500))]);
    context.drawImage(video, 0, 0, width, height);
    const data = context.getImageData(0, 0, width, height).data;
    const green = [];
    for (let i = 1; i < data.length; i += 4) green.push(data[i]);
    seen.push(green);
  }
  return seen;
}"""

CUT = [{"path": "a.mp4", "start": 0.4, "end": 5.8}]
SPECS: dict[str, tuple[tuple[Any, ...], list[dict[str, Any]]]] = {
    "three B-frames": (("-bf", 3), CUT),
    "baseline": (("-profile:v", "baseline"), CUT),
    "a deep pyramid": (("-bf", 7, "-b_strategy", 0, "-preset", "slower"), CUT),
    "several ranges": (
        (),
        [{"path": "a.mp4", "start": s, "end": s + 1.5} for s in (3.6, 0.4, 2)],
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_the_video_element_plays_and_seeks_across_joins(
    name: str, browser: Browser, site: str, tmp_path: Path
) -> None:
    options, sources = SPECS[name]
    made(tmp_path / "a.mp4", *options)
    spec = {"kind": "concat", "sources": sources, "output": "o.mp4"}
    done = export_here(spec, tmp_path, tmp_path)
    told = play(browser, site, "o.mp4")
    assert told["end"] == "ended", told
    assert told["corrupted"] == 0
    assert told["duration"] == pytest.approx(done.result["duration"], abs=0.05)
    copied = copied_frames(done)
    edges = [k for k in range(1, len(copied)) if copied[k] != copied[k - 1]]
    assert edges
    # Backwards as well: each seek starts decoding at a keyframe of one kind or the other.
    last = len(copied) - 1
    asked = [min(k + d, last) for k in edges for d in (-1, 0, 1, 5)] + [0, last, edges[0] // 2]
    page = browser.new_page()
    page.goto(site)
    times = [(k + 0.5) / 25 for k in asked]
    seen = page.evaluate(LOOK_AT, [f"{site}o.mp4", times, WIDTH, HEIGHT])
    page.close()
    every = small(decode(done.path).luma)
    for k, green in zip(asked, seen, strict=True):
        picture = np.array(green, float).reshape(HEIGHT, WIDTH)
        alike = [np.corrcoef(picture.ravel(), one.ravel())[0, 1] for one in every]
        assert int(np.argmax(alike)) == k


def small(luma: np.ndarray) -> np.ndarray:
    """At half the size, as the canvas has it."""
    return luma.reshape(len(luma), HEIGHT, 2, WIDTH, 2).mean(axis=(2, 4))
