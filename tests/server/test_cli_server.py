"""The commands that talk to a running server."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from server_support import MEDIA, RunningServer, clip, eventually

CLIP = "subtitles_mov_text.mp4"
Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(server: RunningServer) -> Shell:
    """Run `jupyter export …` in the server's root; the server is found as a user's would be."""

    def run(
        *arguments: str, input: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "jupyter_export.cli", *arguments],
            input=input,
            capture_output=True,
            text=True,
            cwd=server.root,
            env=server.environment | environment,
            timeout=120,
        )

    return run


def one_line(text: str) -> str:
    """The only line of an error message."""
    assert text.count("\n") == 1 and "Traceback" not in text, text
    return text.strip()


def test_submit_then_watch_gives_the_finished_path(server: RunningServer, shell: Shell) -> None:
    spec = json.dumps(clip(CLIP, "by shell.mp4"))
    submitted = shell("submit", "-", input=spec)
    assert submitted.returncode == 0, submitted.stderr
    id = submitted.stdout.strip()
    watched = shell("watch", id)
    assert watched.returncode == 0, watched.stderr
    assert Path(watched.stdout.splitlines()[-1]) == server.root / "by shell.mp4"
    assert Path(watched.stdout.splitlines()[-1]).is_file()
    again = shell("watch", id)
    assert (again.returncode, again.stdout) == (0, watched.stdout)


def test_list_shows_what_runs_and_what_ended_lately(paused: RunningServer, shell: Shell) -> None:
    id = paused.submit(clip(CLIP, "listed\x1b[31m.mp4".replace("\x1b", "%1b")))["id"]
    listed = shell("list")
    assert listed.returncode == 0
    header, *rows = listed.stdout.splitlines()
    assert header.split()[:2] == ["ID", "STATE"]
    (row,) = [row for row in rows if row.startswith(id)]
    assert "queued" in row and "paused" in row
    assert row.index("queued") == header.index("STATE"), "the columns are not aligned"
    jobs = json.loads(shell("list", "--json").stdout)
    assert id in [job["id"] for job in jobs]
    assert id in [job["id"] for job in json.loads(shell("list", "--all", "--json").stdout)]


def test_a_name_cannot_steer_the_terminal(paused: RunningServer, shell: Shell) -> None:
    paused.submit(clip(CLIP, "plain.mp4", project="red \x1b[31m\r\n\x07"))
    assert "\x1b" not in shell("list").stdout


def test_cancel_and_retry(paused: RunningServer, shell: Shell) -> None:
    id = paused.submit(clip(CLIP, "undone.mp4"))["id"]
    cancelled = shell("cancel", id)
    assert (cancelled.returncode, cancelled.stdout.split()) == (0, [id, "cancelled"])
    watched = shell("watch", id)
    assert watched.returncode == 130
    assert "cancelled" in one_line(watched.stderr.splitlines()[-1] + "\n")
    retried = shell("retry", id)
    assert (retried.returncode, retried.stdout.split()) == (0, [id, "queued"])
    twice = shell("retry", id)
    assert twice.returncode == 2 and id in one_line(twice.stderr)


def test_watch_without_an_id_follows_the_newest(paused: RunningServer, shell: Shell) -> None:
    paused.submit(clip(CLIP, "older.mp4"))
    newest = paused.submit(clip(CLIP, "newest.mp4"))["id"]
    following = subprocess.Popen(
        [sys.executable, "-m", "jupyter_export.cli", "watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=paused.root,
        env=paused.environment,
    )
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            following.wait(2)
        paused.post(f"jobs/{newest}/cancel")
        assert following.wait(20) == 130
        assert "newest.mp4" in following.communicate()[1]
    finally:
        following.kill()


def test_watching_an_export_that_fails_gives_1(server: RunningServer, shell: Shell) -> None:
    source = server.add(CLIP, to="failing.mp4")
    server.post("queue/pause")
    id = server.submit(clip(source, "fails.mp4"))["id"]
    (server.root / source).unlink()
    server.post("queue/resume")
    watched = shell("watch", id)
    assert watched.returncode == 1
    assert "failing.mp4" in watched.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "input", "said"),
    [
        (("submit", "-"), json.dumps(clip("none.mp4", "a.mp4")), "sources[0].path"),
        (("submit", "-"), json.dumps(clip(CLIP, "../a.mp4")), "output"),
        (("submit", "-"), "{", "is not JSON"),
        (("submit", "none.json"), None, "no file 'none.json'"),
        (("cancel", "none"), None, "none"),
        (("watch", "none"), None, "none"),
    ],
)
def test_a_wrong_request_is_one_line_and_2(
    shell: Shell, arguments: tuple[str, ...], input: str | None, said: str
) -> None:
    refused = shell(*arguments, input=input)
    assert refused.returncode == 2
    assert said in one_line(refused.stderr)
    assert refused.stdout == ""


def test_a_conflict_is_2_and_names_the_job(paused: RunningServer, shell: Shell) -> None:
    first = paused.submit(clip(CLIP, "taken.mp4"))["id"]
    refused = shell("submit", "-", input=json.dumps(clip(CLIP, "taken.mp4")))
    assert refused.returncode == 2 and first in one_line(refused.stderr)


def test_no_server_is_told_in_one_line(shell: Shell, tmp_path: Path) -> None:
    refused = shell("list", JUPYTER_RUNTIME_DIR=str(tmp_path))
    assert refused.returncode == 1
    assert "No running Jupyter server" in one_line(refused.stderr)


def test_submit_from_a_folder_below_the_root(paused: RunningServer) -> None:
    below = paused.root / "shell below"
    below.mkdir()
    shutil.copy(paused.root / CLIP, below / "near.mp4")
    (below / "spec.json").write_text(json.dumps(clip("near.mp4", "far.mp4")))
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_export.cli", "submit", "spec.json", "--json"],
        capture_output=True,
        text=True,
        cwd=below,
        env=paused.environment,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"] == "shell below/far.mp4"


def test_the_reader_of_a_pipe_may_leave_early(paused: RunningServer) -> None:
    for n in range(3):
        paused.submit(clip(CLIP, f"pipe{n}.mp4"))
    done = subprocess.run(
        f"{sys.executable} -m jupyter_export.cli list --json | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        cwd=paused.root,
        env=paused.environment,
    )
    assert done.stdout == "[" and done.stderr == ""


def test_serve_is_a_server_of_exports_and_of_nothing_else(tmp_path: Path) -> None:
    shutil.copy(MEDIA / CLIP, tmp_path / CLIP)
    home = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("DATA", "RUNTIME", "CONFIG")}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER")} | home
    command = [sys.executable, "-m", "jupyter_export.cli"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    more = ["--", "--allow-root", "--ServerApp.port_retries=0"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, "serve", "--root", str(tmp_path), "--port", port, *more],
            env=environment,
            stderr=log,
        )

    def submitted() -> str:
        return subprocess.run(
            [*command, "submit", "-"],
            input=json.dumps(clip(CLIP, "served.mp4")),
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        ).stdout.strip()

    try:
        eventually(submitted, seconds=60, why=(tmp_path / "log").read_text)
        eventually((tmp_path / "served.mp4").exists, seconds=60, why=(tmp_path / "log").read_text)
    finally:
        server.terminate()
        server.wait(30)
    assert "without loading other extensions" in (tmp_path / "log").read_text()


def test_serve_refuses_a_folder_that_is_not_there(shell: Shell) -> None:
    refused = shell("serve", "--root", "nowhere")
    assert refused.returncode == 2
    assert "There is no folder nowhere" in one_line(refused.stderr)
