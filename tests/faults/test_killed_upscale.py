"""An upscale that is killed at any moment goes on, and ends in the same bytes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import export_here, ffmpeg
from upscale_support import ONE_THREAD, SMALL, save

SEGMENTS = 6
SHORT = {"segment_seconds": 0.2}


@pytest.mark.parametrize(
    "kills", [2, pytest.param(20, marks=[pytest.mark.benchmark, pytest.mark.timeout(900)])]
)
def test_killed_upscale_renders_no_finished_segment_again(
    kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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

    def start(folder: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                *(sys.executable, str(Path(__file__).with_name("upscale_export.py"))),
                *(str(spec), str(tmp_path), str(tmp_path / folder)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def finish(process: subprocess.Popen[str]) -> list[bool]:
        out, _ = process.communicate()
        assert process.returncode == 0
        rendered: list[bool] = json.loads(out)
        return rendered

    begun = time.monotonic()
    calm = export_here(json.loads(spec.read_text()), tmp_path, tmp_path / "calm", **SHORT)
    took = time.monotonic() - begun
    assert calm.rendered == [True] * SEGMENTS

    chance = random.Random(kills)
    segments = tmp_path / "killed" / "segments"
    finished: dict[str, int] = {}
    for kill in range(kills):
        process = start("killed")
        while kill % 4 == 0 and len(_finished(segments)) == len(finished):
            time.sleep(0.01)  # some kills come after something was finished, most at any time
        time.sleep(chance.uniform(0.0, took / SEGMENTS))
        process.kill()
        process.communicate()
        now = _finished(segments)
        assert finished.items() <= now.items()
        finished = now
    assert finish(start("killed")).count(False) == len(finished) > 0
    assert finished.items() <= _finished(segments).items()
    assert (tmp_path / "killed" / "out.mp4").read_bytes() == calm.path.read_bytes()


def _finished(folder: Path) -> dict[str, int]:
    """The files of finished segments, which have their checksums beside them."""
    return {p.stem: p.with_suffix(".seg").stat().st_ino for p in folder.glob("*.json")}
