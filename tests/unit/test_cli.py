"""The commands that need no server: demo, run, doctor, and what all have in common."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import clip_spec, complaints, decode

Shell = Callable[..., "subprocess.CompletedProcess[str]"]
REPOSITORY = Path(__file__).parents[2]
CLIP = "subtitles_mov_text.mp4"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user who has never exported before."""
    home = tmp_path / "home"
    home.mkdir()
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY"))}
    return inherited | {
        "HOME": str(home),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "PYTHONPATH": str(REPOSITORY),
    }


@pytest.fixture
def shell(root: Path, environment: dict[str, str]) -> Shell:
    def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "jupyter_export.cli", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            **{"cwd": root, "env": environment, **more},
        )

    return run


def one_line(text: str) -> str:
    assert text.count("\n") == 1 and "Traceback" not in text, text
    return text.strip()


def part_files(folder: Path) -> list[str]:
    return [file.name for file in folder.rglob("*") if ".part" in file.name]


def test_demo_prints_the_finished_file_last(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    done = shell("demo", cwd=folder)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.splitlines()[-1])
    assert path == folder / "jupyter_export_demo.mp4"
    assert [file.name for file in folder.iterdir()] == [path.name], "something else was left"
    video = decode(path)
    assert (len(video.times), video.pix_fmt, video.has_audio) == (132, "yuv420p", True)
    assert complaints(path) == ""
    assert "100 %" in done.stderr, "the progress was not shown"


@pytest.mark.parametrize("columns", [120, 0])
def test_a_terminal_gets_a_bar_with_frames_speed_and_time_left(
    root: Path, environment: dict[str, str], columns: int
) -> None:
    """Some containers give a terminal that does not know its width."""
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    spec = clip_spec("timecode_720p30.mp4", "bar.mp4", 0, 15)
    (root / "spec.json").write_text(json.dumps(spec))
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyter_export.cli", "run", "spec.json"],
        stdout=subprocess.PIPE,
        stderr=terminal,
        cwd=root,
        env=environment,
    )
    os.close(terminal)
    shown = b""
    # The end of a terminal is an error on Linux.
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 4096):
            shown += chunk
    os.close(master)
    assert process.communicate()[0].decode() == f"{root / 'bar.mp4'}\n"
    text = shown.decode()
    assert "bar.mp4: 100%|" in text and "450/450 frames" in text
    assert re.search(r"\d+/450 frames, \d+ frames/s, \d+:\d\d left", text), text


def test_demo_writes_where_it_is_told(shell: Shell, root: Path) -> None:
    (root / "sub").mkdir()
    done = shell("demo", "--output", "sub/d.mp4")
    assert done.stdout.splitlines()[-1] == str(root / "sub" / "d.mp4")
    refused = shell("demo", "--output", "sub/d.exe")
    assert refused.returncode == 2 and ".mp4" in one_line(refused.stderr)
    refused = shell("demo", "--output", "none/d.mp4")
    assert refused.returncode == 2 and "folder" in one_line(refused.stderr)


def test_run_exports_a_spec_from_a_file(shell: Shell, root: Path) -> None:
    (root / "spec.json").write_text(json.dumps(clip_spec(CLIP, "ran.mp4", quality="fast")))
    done = shell("run", "spec.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{root / 'ran.mp4'}\n"
    assert len(decode(root / "ran.mp4").times) == 40


def test_run_takes_paths_relative_to_its_root(shell: Shell, root: Path, tmp_path: Path) -> None:
    spec = json.dumps(clip_spec(CLIP, "rooted.mp4", quality="fast"))
    done = shell("run", "-", "--root", str(root), input=spec, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (root / "rooted.mp4").is_file()
    refused = shell("run", "-", "--root", "nowhere", input=spec)
    assert refused.returncode == 2 and "'nowhere'" in one_line(refused.stderr)


def test_run_as_json_gives_progress_and_the_finished_job_last(shell: Shell, root: Path) -> None:
    spec = clip_spec("timecode_720p30.mp4", "lines.mp4", 0, 6, quality="fast")
    done = shell("run", "-", "--json", input=json.dumps(spec))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    *steps, job = lines
    assert job["state"] == "completed"
    assert job["result"]["frames"] == 180
    assert job["encoder"]["name"] and job["encoder"]["reason"]
    percent = [step["progress"]["percent"] for step in steps]
    assert len(percent) > 2 and percent == sorted(percent)
    assert all(step["state"] in {"running", "publishing"} for step in steps)


def test_a_second_run_reuses_the_segments_of_the_first(shell: Shell) -> None:
    spec = json.dumps(clip_spec("timecode_720p30.mp4", "again.mp4", 0, 20, quality="fast"))
    first = json.loads(shell("run", "-", "--json", input=spec).stdout.splitlines()[-1])
    second = json.loads(shell("run", "-", "--json", input=spec).stdout.splitlines()[-1])
    assert first["segments"]["reused"] == 0
    assert second["segments"]["reused"] == second["segments"]["total"] > 0
    assert second["result"]["sha256"] == first["result"]["sha256"]


@pytest.mark.parametrize(
    ("kind", "output", "encoder"),
    [("concat", "o.gif", "gif"), ("compare", "o.webp", "libwebp_anim"),
     ("concat", "o.webm", "libsvtav1")],
)  # fmt: skip
def test_run_makes_every_sort_of_file(
    kind: str, output: str, encoder: str, shell: Shell, root: Path
) -> None:
    clip = {"path": CLIP, "start": 0.2, "end": 0.6}
    spec: dict[str, Any] = {"kind": kind, "sources": [clip], "output": output}
    spec["encoding"] = {"quality": "fast", "size": [64, 64]}
    if output == "o.webm":
        spec["encoding"] |= {"codec": "av1", "encoder": encoder}
    if kind == "compare":
        spec["effects"] = [{"type": "compare", "with": clip}]
    else:
        spec["sources"] = [clip, clip]
    (root / "spec.json").write_text(json.dumps(spec))
    done = shell("run", "spec.json", "--json")
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout.splitlines()[-1])
    assert job["encoder"]["name"] == encoder
    assert (root / output).stat().st_size == job["result"]["bytes"] > 0


def test_a_gif_of_minutes_is_no_gif(shell: Shell, root: Path) -> None:
    (root / "spec.json").write_text(json.dumps(clip_spec("timecode_720p30.mp4", "o.gif")))
    done = shell("run", "spec.json")
    assert done.returncode == 2
    assert "may last 30 s" in done.stderr and "end the output's name in .mp4" in done.stderr
    assert not list(root.glob("*.gif*"))


def test_what_is_copied_is_counted_and_needs_no_time(shell: Shell, root: Path) -> None:
    spec = clip_spec("timecode_720p30.mp4", "smart.mp4", 1.3, 20, quality="fast", smart=True)
    *steps, job = map(
        json.loads, shell("run", "-", "--json", input=json.dumps(spec)).stdout.splitlines()
    )
    segments = job["segments"]
    assert segments["copied"] == segments["rendered"] == 1
    assert segments["total"] == 2
    # From the beginning of the work on, copied frames count as done.
    told = [s["progress"]["frames"] for s in steps if s["segments"]["total"]]
    assert told[0] > 400 and told == sorted(told)
    assert told[-1] == job["result"]["frames"] == 561
    assert job["encoder"]["name"] == "libx264"
    assert complaints(root / "smart.mp4") == ""
    spec["sources"][0]["start"] = 0
    spec["sources"][0]["end"] = None
    whole = json.loads(shell("run", "-", "--json", input=json.dumps(spec)).stdout.splitlines()[-1])
    assert whole["segments"] == {"copied": 1, "rendered": 0, "reused": 0, "total": 1}
    assert whole["encoder"]["reason"] == "not needed: all of the video is copied"


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_a_run_leaves_nothing_behind(
    root: Path, environment: dict[str, str], signal_number: int
) -> None:
    (root / "old.mp4").write_bytes(b"the old output")
    spec = clip_spec("timecode_720p30.mp4", "old.mp4", quality="quality")
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyter_export.cli", "run", "-", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
        env=environment,
        start_new_session=True,
    )
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps(spec))
    process.stdin.close()
    process.stdin = None
    for line in process.stdout:
        if json.loads(line)["progress"]["frames"] > 0:
            break
    # As a terminal does it: the signal goes to the workers, too.
    os.killpg(process.pid, signal_number)
    _, complaint = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "ancelled" in one_line(complaint)
    assert part_files(root) == []
    assert (root / "old.mp4").read_bytes() == b"the old output"
    deadline = time.monotonic() + 10
    while workers_of(process.pid):
        assert time.monotonic() < deadline, "a worker outlived the command"
        time.sleep(0.05)


def workers_of(group: int) -> list[int]:
    """Processes of the session that the command led."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == group and fields[0] != "Z":
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{", "not JSON"),
        ("[]", "no JSON object"),
        ("{}", "kind"),
        (json.dumps(clip_spec("none.mp4", "a.mp4")), "'none.mp4'"),
        (json.dumps(clip_spec(CLIP, "a.avi")), "'a.avi'"),
        (json.dumps(clip_spec(CLIP, "none/a.mp4")), "folder"),
        (json.dumps(clip_spec("../x.mp4", "a.mp4")), "'../x.mp4'"),
        (json.dumps(clip_spec(CLIP, "a.mp4", 500)), "sources[0]"),
        (json.dumps(clip_spec("text.mp4", "a.mp4")), "text.mp4"),
        (json.dumps(clip_spec("cut.mp4", "a.mp4")), "cut.mp4"),
        (json.dumps(clip_spec(CLIP, "a.mp4", encoder="h264_none")), "h264_none"),
    ],
)
def test_a_wrong_request_is_one_line_and_2(shell: Shell, root: Path, spec: str, said: str) -> None:
    (root / "text.mp4").write_text("not a video at all")
    whole = (root / "timecode_720p30.mp4").read_bytes()
    (root / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    refused = shell("run", "-", input=spec)
    assert refused.returncode == 2, refused.stderr
    assert said in one_line(refused.stderr)
    assert refused.stdout == ""
    assert not (root / "a.mp4").exists() and part_files(root) == []


def test_no_command_is_told_what_there_is(shell: Shell) -> None:
    refused = shell()
    assert refused.returncode == 2 and "usage: jupyter export" in refused.stderr
    assert shell("explode").returncode == 2


def test_version_is_that_of_the_package(shell: Shell) -> None:
    from jupyter_export import __version__

    assert shell("--version").stdout == f"jupyter_export {__version__}\n"


def test_doctor_tells_every_encoder_and_why(shell: Shell) -> None:
    text = shell("doctor")
    assert text.returncode == 0 and "libx264" in text.stdout
    report = json.loads(shell("doctor", "--json").stdout)
    assert {"h264_nvenc", "h264_qsv", "h264_amf", "libx264"} <= {
        encoder["name"] for encoder in report["encoders"]
    }
    assert all(encoder["usable"] or encoder["reason"] for encoder in report["encoders"])
    assert report["auto"]["name"]


def test_doctor_says_when_the_cpu_is_forced(shell: Shell, environment: dict[str, str]) -> None:
    forced = shell("doctor", "--json", env=environment | {"JUPYTER_EXPORT_FORCE_CPU": "1"})
    assert json.loads(forced.stdout)["auto"]["name"] == "libx264"
    assert "force_cpu" in json.loads(forced.stdout)["auto"]["reason"]


def test_a_wrong_setting_is_named(shell: Shell, environment: dict[str, str]) -> None:
    refused = shell("doctor", env=environment | {"JUPYTER_EXPORT_FORCE_CPU": "perhaps"})
    assert refused.returncode == 2
    assert "JUPYTER_EXPORT_FORCE_CPU" in one_line(refused.stderr)


def test_help_does_not_load_the_media_libraries(environment: dict[str, str]) -> None:
    code = (
        "import sys\n"
        "from jupyter_export import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('av', 'httpx', 'jupyter_server', 'numpy', 'tornado', 'tqdm')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_script_answers_as_a_subcommand_of_jupyter(environment: dict[str, str]) -> None:
    script = shutil.which("jupyter-export", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("the package is not installed here")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "jupyter"), "export", "--version"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.stdout.startswith("jupyter_export "), done.stderr
