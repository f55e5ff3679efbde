"""An upscale that is killed at any moment goes on, and ends in the same bytes."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import export_here, ffmpeg
from upscale_support import ONE_THREAD, SMALL, save

SEGMENTS, KILLS = 6, 20
SHORT = {"segment_seconds": 0.2}


def test_an_upscale_killed_twenty_times_renders_no_finished_segment_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    save(tmp_path / "models" / "own.pth", SMALL["rrdb x4"])
    for name, value in {
        **ONE_THREAD,
        "JUPYTER_EXPORT_MODELS_DIR": str(tmp_path / "models"),
        "JUPYTER_EXPORT_FORCE_CPU": "1",
    }.items():
        monkeypatch.setenv(name, value)
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=12", "-t", SEGMENTS / 3, "-pix_fmt", "yuv420p"),
        *("-c:v", "libx264", "-g", 4, "-bf", 0, tmp_path / "clip.mp4"),
    )
    effect = {"type": "upscale", "model": "own", "scale": 4}
    spec = tmp_path / "spec.json"
    spec.write_text(
        json.dumps(
            {
                "kind": "framing",
                "sources": [{"path": "clip.mp4", "effects": [effect]}],
                "output": "out.mp4",
            }
        )
    )

    begun = time.monotonic()
    calm = export_here(json.loads(spec.read_text()), tmp_path, tmp_path / "calm", **SHORT)
    took = time.monotonic() - begun
    assert calm.rendered == [True] * SEGMENTS

    folder = tmp_path / "killed"
    segments = folder / "segments"
    chance = random.Random(KILLS)
    finished: dict[str, int] = {}
    codes = []
    with exports(spec, tmp_path) as order:
        for kill in range(KILLS):
            order(f"start {folder}")
            # Some kills come after something was finished, most at any time.
            while kill % 4 == 0 and len(_finished(segments)) == len(finished) < SEGMENTS:
                time.sleep(0.01)
            time.sleep(chance.uniform(0.0, took / SEGMENTS))
            codes.append(order("kill")["code"])
            now = _finished(segments)
            assert finished.items() <= now.items()
            finished = now
        order(f"start {folder}")
        last = order("wait")
    assert codes[0] == -signal.SIGKILL
    assert set(codes) <= {-signal.SIGKILL, 0}
    assert last["rendered"].count(False) == len(finished) > 0
    assert finished.items() <= _finished(segments).items()
    assert (folder / "out.mp4").read_bytes() == calm.path.read_bytes()


@contextlib.contextmanager
def exports(spec: Path, root: Path) -> Iterator[Callable[[str], Any]]:
    """Takes the orders of ``upscale_export.py``, and gives its answers."""
    command = [sys.executable, str(Path(__file__).with_name("upscale_export.py"))]
    with subprocess.Popen(
        [*command, str(spec), str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def order(line: str) -> Any:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            return None if line.startswith("start") else json.loads(process.stdout.readline())

        yield order
        process.stdin.close()


def _finished(folder: Path) -> dict[str, int]:
    """The files of finished segments, which have their checksums beside them."""
    return {p.stem: p.with_suffix(".seg").stat().st_ino for p in folder.glob("*.json")}
