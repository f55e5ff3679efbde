"""The extension inside its server: configuration, start, stop, and being told apart from idle."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from server_support import RunningServer, clip, eventually
from traitlets.config import Config

from jupyter_export.app import ExportApp

Start = Callable[..., RunningServer]
LONG = {
    "kind": "clip",
    "sources": [{"path": "timecode_720p30.mp4"}],
    "output": "long.mp4",
    "encoding": {"quality": "quality", "smart": False},
}


def limit(server: RunningServer) -> int:
    """How many exports the server runs at once."""
    value: int = server.http.get("queue").json()["limit"]
    return value


def jupyter(server: RunningServer, path: str, **query: Any) -> httpx.Response:
    """Ask Jupyter's own REST interface."""
    headers = {"Authorization": f"token {server.token}"}
    return httpx.get(server.url + path, params=query, headers=headers, trust_env=False)


def test_the_command_line_wins_over_the_file_and_the_file_over_the_environment(
    own_server: Start,
) -> None:
    server = own_server()
    assert limit(server) == 3
    server.stop()
    server.environment["JUPYTER_EXPORT_MAX_CONCURRENT_EXPORTS"] = "2"
    server.start()
    assert limit(server) == 2
    server.stop()
    config = Path(server.environment["JUPYTER_CONFIG_DIR"])
    config.mkdir(exist_ok=True)
    (config / "jupyter_server_config.py").write_text("c.ExportApp.max_concurrent_exports = 5\n")
    server.start()
    assert limit(server) == 5
    server.stop()
    server.settings["ExportApp.max_concurrent_exports"] = 7
    server.start()
    assert limit(server) == 7


def test_what_is_configured_wins_over_the_environment_in_any_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JUPYTER_EXPORT_MAX_CONCURRENT_EXPORTS", "2")
    monkeypatch.setenv("JUPYTER_EXPORT_FORCE_CPU", "1")
    app = ExportApp(config=Config(ExportApp={"max_concurrent_exports": 5}), max_attempts=9)
    assert (app.max_concurrent_exports, app.force_cpu, app.max_attempts) == (5, True, 9)
    assert app.data_dir == "", "Jupyter's own data folder is not where the jobs are kept"


def test_the_store_lies_below_jupyters_data_folder(own_server: Start) -> None:
    server = own_server()
    data = Path(server.environment["JUPYTER_DATA_DIR"]) / "jupyter_export"
    assert list(data.rglob("jobs.sqlite"))


def test_a_wrong_setting_is_named_and_leaves_jupyter_alone(own_server: Start) -> None:
    server = own_server()
    server.stop()
    server.environment["JUPYTER_EXPORT_WORKER_SCHEDULING"] = "soon"
    server.settings["ServerApp.reraise_server_extension_failures"] = False
    server.start()
    assert jupyter(server, "api/status").status_code == 200
    assert "JUPYTER_EXPORT_WORKER_SCHEDULING='soon' cannot be used" in server.log.read_text()


def test_contents_without_a_folder_are_refused_with_the_reason(own_server: Start) -> None:
    server = own_server()
    server.stop()
    (server.folder / "memory_contents.py").write_text(
        "from jupyter_server.services.contents.manager import ContentsManager\n"
        "class MemoryContents(ContentsManager):\n"
        "    pass\n"
    )
    server.environment["PYTHONPATH"] += os.pathsep + str(server.folder)
    server.settings["ServerApp.contents_manager_class"] = "memory_contents.MemoryContents"
    server.start()
    health = server.http.get("health").json()
    assert health["status"] == "refused" and "contents manager" in health["problem"]["detail"]
    refused = server.post("jobs", {"spec": clip("a.mp4", "b.mp4")})
    assert refused.status_code == 503
    assert "contents manager" in refused.json()["detail"]
    assert server.http.get("hardware").status_code == 200


def test_a_store_that_cannot_be_made_is_told_and_leaves_jupyter_alone(
    own_server: Start,
) -> None:
    server = own_server()
    server.stop()
    blocked = server.folder / "a file"
    blocked.touch()
    server.environment["JUPYTER_EXPORT_DATA_DIR"] = str(blocked / "data")
    server.start()
    health = server.http.get("health").json()
    assert health["status"] == "refused"
    assert "JUPYTER_EXPORT_DATA_DIR" in health["problem"]["advice"]
    assert jupyter(server, "api/status").status_code == 200


def workers(server: RunningServer) -> list[int]:
    """The process ids of the server's workers."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if f"--parent={server.process.pid}\0".encode() in line:
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopping_while_an_export_runs_leaves_no_process_and_no_part_file(
    own_server: Start, how: int
) -> None:
    """SIGINT is JupyterHub's way, where there is no terminal and Jupyter handles it not."""
    server = own_server()
    server.add("timecode_720p30.mp4")
    id = server.submit(LONG)["id"]
    eventually(lambda: server.job(id)["progress"]["frames"] > 0)
    running = workers(server)
    assert running
    server.stop(how)
    assert server.process.returncode == 0
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in running), seconds=10)
    assert [file.name for file in server.root.iterdir()] == ["timecode_720p30.mp4"]
    # Put back in order, and not left to the recovery of a crash.
    (store,) = Path(server.environment["JUPYTER_DATA_DIR"]).rglob("jobs.sqlite")
    with contextlib.closing(sqlite3.connect(store)) as database:
        assert database.execute("select id, state from job").fetchall() == [(id, "queued")]
    server.start()
    assert server.job(id)["state"] in {"queued", "running"}, "the export was forgotten"


def test_stopping_right_after_the_start(own_server: Start) -> None:
    server = own_server()
    server.stop()
    process = subprocess.Popen(
        server.process.args,
        env=server.environment,
        cwd=server.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    seen = ""
    for line in process.stdout:
        seen += line
        if "is running at" in line:
            break
    process.terminate()
    rest = process.communicate(timeout=30)[0]
    assert process.returncode == 0 and "Traceback" not in seen + rest, seen + rest


def test_a_server_that_exports_is_not_idle(own_server: Start) -> None:
    server = own_server()
    server.add("timecode_720p30.mp4")

    def active_at() -> datetime:
        status = jupyter(server, "api/status", no_track_activity=1).json()
        return datetime.fromisoformat(status["last_activity"])

    def frames() -> int:
        job = server.http.get(f"jobs/{id}", params={"no_track_activity": 1}).json()
        return int(job["progress"]["frames"])

    id = server.submit(LONG)["id"]
    submitted = active_at()
    eventually(lambda: frames() > 60)
    eventually(lambda: active_at() > submitted, seconds=10)
    server.post(f"jobs/{id}/cancel")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_jupyters_own_shutdown_of_idle_servers_waits_for_the_queue(own_server: Start) -> None:
    """Jupyter looks once a minute."""
    server = own_server(**{"ServerApp.shutdown_no_activity_timeout": 30})
    server.add("timecode_720p30.mp4")
    began = time.monotonic()
    jobs = [server.submit({**LONG, "output": f"{n}.mp4"}) for n in range(100)]
    while time.monotonic() - began < 70:
        assert server.process.poll() is None, "it was shut down while it exported"
        time.sleep(1)
    for job in jobs:
        server.post(f"jobs/{job['id']}/cancel")
    eventually(lambda: server.process.poll() is not None, seconds=150)
    assert "shutting down" in server.log.read_text()


def test_what_the_queue_does_is_in_the_servers_log(own_server: Start) -> None:
    server = own_server()
    server.add("subtitles_mov_text.mp4")
    id = server.submit(clip("subtitles_mov_text.mp4", "logged.mp4"))["id"]
    server.until(id, "completed")
    lines = [line for line in server.log.read_text().splitlines() if f"job={id}" in line]
    assert any("completed" in line and "attempt=1" in line for line in lines), lines


def test_the_shipped_configuration_enables_the_extension(own_server: Start) -> None:
    server = own_server(**{"ServerApp.jpserver_extensions": None})
    server.stop()
    folder = Path(server.environment["JUPYTER_CONFIG_DIR"], "jupyter_server_config.d")
    folder.mkdir(parents=True, exist_ok=True)
    shipped = Path(__file__).parents[2] / "jupyter-config/server-config/jupyter_export.json"
    shutil.copy(shipped, folder)
    server.start()
    assert server.http.get("health").json()["status"] == "ok"
