"""The README's first command: what comes out is what it promises."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from browser_support import play
from playwright.sync_api import Browser
from support import complaints, decode, samples

SAMPLE = Path(__file__).parents[2] / "jupyter_export" / "samples" / "sample.mp4"


def test_the_demo_is_exact_in_sync_and_plays_in_a_browser(
    browser: Browser, site: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_export.cli", "demo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.splitlines()[-1])
    assert path == tmp_path / "jupyter_export_demo.mp4"
    assert complaints(path) == ""

    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the index comes first"
    with av.open(str(path)) as container:
        video = container.streams.video[0].codec_context
        assert (video.name, video.profile, video.pix_fmt) == ("h264", "High", "yuv420p")
        assert (video.width, video.height) == (540, 960)
    out = decode(path)
    assert out.times == [Fraction(k, 25) for k in range(132)]
    assert out.duration == pytest.approx(132 / 25, abs=1e-6)

    # Sound against the source's, both on the clock of their first frame.
    ours, ours_start = samples(path)
    theirs, theirs_start = samples(SAMPLE)
    n = min(len(ours), len(theirs))
    spectrum = np.fft.rfft(ours[:n], 2 * n) * np.conj(np.fft.rfft(theirs[:n], 2 * n))
    lag = int(np.argmax(np.fft.irfft(spectrum)))
    lag = lag if lag < n else lag - 2 * n
    assert abs(lag / 48000 + ours_start - theirs_start) < 0.025

    told = play(browser, site, path.name)
    assert told["end"] == "ended", told
    assert told["duration"] == pytest.approx(132 / 25, abs=0.05)
    assert (told["width"], told["height"], told["corrupted"]) == (540, 960, 0)
