"""What is written beside an export: enough to make it again, byte for byte."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server_support import REPOSITORY, RunningServer, clip

CLIP = "subtitles_mov_text.mp4"
Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Shell:
    """A shell of somebody else: no server, no finished segments."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY"))}
    own = {"HOME": str(tmp_path), "JUPYTER_DATA_DIR": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "jupyter_export.cli", *arguments],
            cwd=tmp_path,
            env=kept | own,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def exported(server: RunningServer, name: str, **changes: Any) -> tuple[Path, dict[str, Any]]:
    spec = clip(CLIP, name, **changes)
    job = server.until(server.submit(spec)["id"], "completed")
    path = server.root / name
    return path, job


def test_an_export_can_be_made_again_from_what_lies_beside_it(
    server: RunningServer, elsewhere: Shell
) -> None:
    (server.root / "again").mkdir()
    path, job = exported(server, "again/film.mp4")
    beside = path.with_name("film.mp4.export.json")
    told = json.loads(beside.read_text())
    assert told["spec"] == job["spec"]
    assert told["result"] == job["result"]
    assert told["encoder"]["name"] == "libx264" and told["encoder"]["reason"]
    assert told["encoder"]["settings"]["options"]["preset"] == "ultrafast"
    assert [s["path"] for s in told["sources"]] == [CLIP]
    assert told["sources"][0]["size"] == (server.root / CLIP).stat().st_size
    assert told["versions"]["av"] and told["started_at"] and told["finished_at"]
    path.unlink()
    made = elsewhere("run", str(beside))
    assert (made.returncode, made.stdout.strip()) == (0, str(path)), made.stderr
    assert hashlib.sha256(path.read_bytes()).hexdigest() == job["result"]["sha256"]
    assert "not" not in made.stderr.replace("100%", "")


def test_what_is_not_as_it_was_is_said(
    server: RunningServer, elsewhere: Shell, tmp_path: Path
) -> None:
    path, _ = exported(server, "changed.mp4")
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(f"{path}.export.json", copy)
    shutil.copy(server.root / "timecode_720p30.mp4", copy / CLIP)
    made = elsewhere("run", str(copy / "changed.mp4.export.json"))
    assert made.returncode == 0, made.stderr
    assert f"{CLIP} is not the file that it was." in made.stderr
    assert (copy / "changed.mp4").is_file()


def test_what_is_damaged_or_newer_is_refused_in_words(elsewhere: Shell, tmp_path: Path) -> None:
    for content, said in (
        ({"format": "jupyter-export-provenance/9", "spec": {}}, "Upgrade it"),
        ({"format": "jupyter-export-provenance/1", "spec": {}}, "damaged"),
    ):
        (tmp_path / "p.json").write_text(json.dumps(content))
        refused = elsewhere("run", "p.json")
        assert refused.returncode == 2
        assert said in refused.stderr and "Traceback" not in refused.stderr


def test_nothing_lies_beside_an_export_if_the_setting_says_so(
    own_server: Callable[..., RunningServer],
) -> None:
    server = own_server(**{"ExportApp.provenance": False})
    server.add(CLIP)
    exported(server, "alone.mp4")
    assert sorted(p.name for p in server.root.iterdir()) == sorted([CLIP, "alone.mp4"])


def test_a_shell_tells_what_an_export_would_take(server: RunningServer, elsewhere: Shell) -> None:
    (server.root / "spec.json").write_text(json.dumps(clip(CLIP, "told.mp4")))
    arguments = ("run", str(server.root / "spec.json"), "--root", str(server.root), "--estimate")
    told = elsewhere(*arguments)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("about 0:01") and "20 frames" in told.stdout
    assert json.loads(elsewhere(*arguments, "--json").stdout)["frames"] == 20
    assert not (server.root / "told.mp4").exists()
