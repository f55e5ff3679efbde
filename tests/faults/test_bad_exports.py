"""What cannot be exported, from a shell: one line, the right exit code, nothing touched."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import clip_spec

REPOSITORY = Path(__file__).parents[2]
OLD = b"the old output"


def run(spec: dict[str, Any], root: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY"))}
    environment |= {"JUPYTER_DATA_DIR": str(root.parent / "data"), "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-m", "jupyter_export.cli", "run", "-", "--root", str(root)],
        input=json.dumps(spec),
        capture_output=True,
        text=True,
        env=environment,
        **more,
    )


@pytest.fixture
def folder(root: Path, tmp_path: Path) -> Path:
    whole = (root / "timecode_720p30.mp4").read_bytes()
    (root / "text.mp4").write_text("no video")
    (root / "empty.mp4").touch()
    (root / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (root / "away.mp4").symlink_to(REPOSITORY / "tests" / "media_files" / "bikes_no_audio.mp4")
    (root / "o.mp4").write_bytes(OLD)
    return root


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.mp4", "There is no file 'missing.mp4'. Check the name"),
        ("text.mp4", "'text.mp4' is not a video file that can be read. Use a video"),
        ("empty.mp4", "'empty.mp4' is empty. Copy or record it again."),
        ("cut.mp4", "'cut.mp4' is incomplete: it ends before its frames do. The recording"),
        ("../out.mp4", "must be relative to the root folder and stay in it. Leave out"),
        ("away.mp4", "leads out of the root folder. Use a file inside"),
    ],
)
def test_a_bad_source_is_one_line_and_2_and_the_old_output_stays(
    name: str, words: str, folder: Path
) -> None:
    done = run(clip_spec(name, "o.mp4"), folder)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert words in lines[-1]
    assert not [line for line in lines[:-1] if "%" not in line], done.stderr
    assert (folder / "o.mp4").read_bytes() == OLD
    assert list(folder.rglob("*.part")) == []


def test_a_full_disk_is_one_line_and_1_and_the_old_output_stays(folder: Path) -> None:
    """The kernel lets no file grow beyond 300 kB."""
    done = run(
        clip_spec("bunny_720p25.mp4", "o.mp4"),
        folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "No space is left" in last and "Free some space" in last
    assert (folder / "o.mp4").read_bytes() == OLD
    assert list(folder.rglob("*.part")) == []
