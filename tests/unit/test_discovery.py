"""The client finds the server that the user means."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyter_export.notebook.discovery import Server, candidates
from jupyter_export.notebook.paths import project_name, translate


def write_server(folder: Path, number: int, *, age: float = 0.0, **changes: Any) -> None:
    """A runtime file as jupyter_server writes it, `age` seconds old; `number` names the file."""
    info = {
        "base_url": "/",
        "hostname": "localhost",
        "password": False,
        "pid": os.getpid(),
        "port": 8888,
        "root_dir": "/home/me",
        "secure": False,
        "sock": "",
        "token": f"token-{number}",
        "url": f"http://localhost:{number}/",
        "version": "2.21.1",
    } | changes
    file = folder / f"jpserver-{number}.json"
    file.write_text(json.dumps(info))
    modified = file.stat().st_mtime - age
    os.utime(file, (modified, modified))


def find(folder: Path, url: str | None = None, token: str | None = None, **env: str) -> list[str]:
    """The URLs in the order in which they are tried."""
    found = candidates(url, token, environment=env, runtime_dir=folder)
    return [f"{server.url} {server.token}" for server in found]


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_kernels_own_server_comes_before_a_newer_one(tmp_path: Path) -> None:
    write_server(tmp_path, 1001, age=500)
    write_server(tmp_path, 1002, age=10)
    write_server(tmp_path, 1003, age=100)
    assert find(tmp_path, JPY_PARENT_PID="1001") == [
        "http://localhost:1001/ token-1001",
        "http://localhost:1002/ token-1002",
        "http://localhost:1003/ token-1003",
    ]


def test_without_a_kernel_the_newest_server_comes_first(tmp_path: Path) -> None:
    write_server(tmp_path, 1001, age=500)
    write_server(tmp_path, 1002)
    assert find(tmp_path)[0] == "http://localhost:1002/ token-1002"


def test_the_file_of_a_crashed_server_is_passed_over(tmp_path: Path, dead_pid: int) -> None:
    write_server(tmp_path, 1001, pid=dead_pid)
    write_server(tmp_path, 1002, age=100)
    assert find(tmp_path, JPY_PARENT_PID="1001") == ["http://localhost:1002/ token-1002"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "url": ""}'])
def test_a_broken_runtime_file_is_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "jpserver-1.json").write_text(content)
    write_server(tmp_path, 1002)
    assert find(tmp_path) == ["http://localhost:1002/ token-1002"]


def test_jupyterhub_comes_before_runtime_files(tmp_path: Path) -> None:
    write_server(tmp_path, 1001)
    found = find(
        tmp_path,
        JPY_PARENT_PID="1001",
        JUPYTERHUB_SERVICE_URL="http://0.0.0.0:8888/user/ada/",
        JUPYTERHUB_SERVICE_PREFIX="/user/ada/",
        JUPYTERHUB_API_TOKEN="hub-token",
    )
    assert found == ["http://127.0.0.1:8888/user/ada/ hub-token"]


def test_the_environment_comes_before_jupyterhub(tmp_path: Path) -> None:
    found = find(
        tmp_path,
        JUPYTERHUB_SERVICE_URL="http://127.0.0.1:8888/user/ada/",
        JUPYTERHUB_API_TOKEN="hub-token",
        JUPYTER_EXPORT_URL="https://video.example/base",
        JUPYTER_EXPORT_TOKEN="mine",
    )
    assert found == ["https://video.example/base/ mine"]


def test_arguments_come_before_the_environment(tmp_path: Path) -> None:
    found = find(
        tmp_path,
        "http://other:1/",
        "theirs",
        JUPYTER_EXPORT_URL="http://x",
        JUPYTER_EXPORT_TOKEN="",
    )
    assert found == ["http://other:1/ theirs"]


def test_a_link_copied_from_the_log_is_understood(tmp_path: Path) -> None:
    assert find(tmp_path, "http://localhost:8888/base/lab?token=abc") == [
        "http://localhost:8888/base/ abc"
    ]


def test_a_server_on_a_unix_socket_is_found(tmp_path: Path) -> None:
    socket = "/run/me/jupyter.sock"
    write_server(
        tmp_path, 1001, sock="/run/me/jupyter.sock", url="http+unix://%2Frun", base_url="/b/"
    )
    (server,) = candidates(environment={}, runtime_dir=tmp_path)
    assert server == Server("http://localhost/b/", "token-1001", socket, "other")


def test_discovery_does_not_import_the_server() -> None:
    code = (
        "import sys, jupyter_export.notebook.client\n"
        "print([m for m in ('jupyter_server', 'tornado', 'av', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub" / "out").mkdir(parents=True)
    (root / "sub" / "here.mp4").touch()
    (root / "there.mp4").touch()
    (tmp_path / "outside.mp4").touch()
    return root


def move(root: Path, folder: Path, source: str, output: str = "out.mp4") -> tuple[str, str]:
    spec = {"sources": [{"path": source}], "output": output}
    moved = translate(spec, str(root), str(folder))
    assert spec["sources"][0] == {"path": source}, "the spec of the caller was changed"
    return moved["sources"][0]["path"], moved["output"]


def test_a_path_is_meant_relative_to_the_notebooks_folder(root: Path) -> None:
    assert move(root, root / "sub", "here.mp4") == ("sub/here.mp4", "sub/out.mp4")


def test_a_path_that_is_there_only_from_the_root_is_kept(root: Path) -> None:
    assert move(root, root / "sub", "there.mp4")[0] == "there.mp4"
    assert move(root, root / "sub", "sub/here.mp4", "sub/out/a.mp4") == (
        "sub/here.mp4",
        "sub/out/a.mp4",
    )


def test_a_missing_path_is_reported_where_the_notebook_would_look(root: Path) -> None:
    assert move(root, root / "sub", "none.mp4", "nowhere/a.mp4") == (
        "sub/none.mp4",
        "sub/nowhere/a.mp4",
    )


def test_a_path_upwards_is_resolved_inside_the_root_only(root: Path) -> None:
    assert move(root, root / "sub", "../there.mp4")[0] == "there.mp4"
    assert move(root, root / "sub", "../../outside.mp4")[0] == "../../outside.mp4"


def test_an_absolute_path_inside_the_root_becomes_relative(root: Path) -> None:
    assert move(root, root / "sub", str(root / "there.mp4"))[0] == "there.mp4"
    outside = str(root.parent / "outside.mp4")
    assert move(root, root / "sub", outside)[0] == outside


def test_from_outside_the_root_paths_are_relative_to_the_root(root: Path, tmp_path: Path) -> None:
    assert move(root, tmp_path, "sub/here.mp4") == ("sub/here.mp4", "out.mp4")
    # A file of that name beside the caller is not meant: the server could not read it.
    (tmp_path / "there.mp4").touch()
    assert move(root, tmp_path, "there.mp4")[0] == "there.mp4"


def test_a_root_behind_a_link_is_the_same_root(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    assert move(link, root / "sub", "here.mp4")[0] == "sub/here.mp4"
    assert move(root, link / "sub", "here.mp4")[0] == "sub/here.mp4"


@pytest.mark.parametrize(
    "spec", [{}, {"sources": 3}, {"sources": [1, {"path": 2}]}, {"output": []}]
)
def test_a_malformed_spec_is_left_for_the_server_to_refuse(
    root: Path, spec: dict[str, Any]
) -> None:
    assert translate(spec, str(root), str(root / "sub")) == spec


def test_the_project_of_a_notebook_is_its_path_in_the_root(root: Path) -> None:
    assert project_name(str(root / "sub" / "a.ipynb"), str(root)) == "sub/a.ipynb"
    assert project_name("/elsewhere/b.ipynb", str(root)) == "b.ipynb"
    assert project_name("", str(root)) is None
