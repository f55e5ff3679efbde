"""What is published: sdist and wheel, built and installed where nothing else is, and used there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_support import REPOSITORY, RunningServer
from support import decode

pytestmark = pytest.mark.timeout(900)

#: What only a checkout has: builds, environments, caches.
LEFT_OUT = {
    ".git",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".schemathesis",
    ".venv",
    "__pycache__",
    "build",
    "dist",
    "node_modules",
}


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    kept = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both, made from a copy of the checkout, the wheel by way of the sdist."""
    place = tmp_path_factory.mktemp("packages")
    shutil.copytree(
        REPOSITORY,
        place / "source",
        ignore=lambda _, names: [n for n in names if n in LEFT_OUT or n.endswith((".so", ".pyc"))],
    )
    run(sys.executable, "-m", "build", "--outdir", place / "dist", cwd=place / "source")
    return place / "dist"


@pytest.fixture(scope="module")
def elsewhere(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with nothing but the wheel and what it asks for."""
    place = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(place, with_pip=True)
    (wheel,) = packages.glob("*.whl")
    programs = place / "bin"
    run(programs / "python", "-m", "pip", "install", "--quiet", wheel, cwd=place)
    return programs


def test_the_wheel_has_the_built_pages_and_the_sdist_all_that_the_tests_need(
    packages: Path,
) -> None:
    (wheel,), (sdist,) = packages.glob("*.whl"), packages.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    data = [re.sub(r"^[^/]*\.data/data/", "", name) for name in names if ".data/data/" in name]
    lab = "share/jupyter/labextensions/jupyter-export/"
    assert {f"{lab}package.json", f"{lab}install.json"} <= set(data)
    assert any(re.match(rf"{lab}static/remoteEntry\.\w+\.js$", name) for name in data)
    assert "etc/jupyter/jupyter_server_config.d/jupyter_export.json" in data
    for name in ("static/widget.js", "static/editor.js", "samples/sample.mp4", "py.typed"):
        assert f"jupyter_export/{name}" in names, name
    assert {f"jupyter_export/docs/{path.name}" for path in _tracked("jupyter_export/docs")} <= set(
        names
    )
    assert not [name for name in names if name.startswith(("tests/", "js/", "notebooks/"))]
    with tarfile.open(sdist) as archive:
        inside = {name.split("/", 1)[-1] for name in archive.getnames()}
    for folder in ("tests", "notebooks", "js/src", ".github", "jupyter_export"):
        missing = {p.relative_to(REPOSITORY).as_posix() for p in _tracked(folder)} - inside
        assert missing == set()


def _tracked(folder: str) -> Iterator[Path]:
    for path in (REPOSITORY / folder).rglob("*"):
        inside = path.relative_to(REPOSITORY).parts
        if path.is_file() and not LEFT_OUT & set(inside) and path.suffix not in {".so", ".pyc"}:
            yield path


def test_in_an_environment_of_its_own_the_wheel_exports_and_jupyter_finds_it(
    elsewhere: Path, tmp_path: Path
) -> None:
    run(elsewhere / "python", "-m", "pip", "check", cwd=tmp_path)
    said = run(elsewhere / "jupyter", "export", "demo", cwd=tmp_path)
    assert str(tmp_path / "jupyter_export_demo.mp4") in said.splitlines()
    assert len(decode(tmp_path / "jupyter_export_demo.mp4").times) == 132
    where = "import jupyter_export as jx; print(jx.__file__); jx.panel(); jx.SpecEditor"
    place = run(elsewhere / "python", "-c", where, cwd=tmp_path).splitlines()[0]
    assert Path(place).is_relative_to(elsewhere.parent)
    listed = run(elsewhere / "jupyter", "server", "extension", "list", cwd=tmp_path)
    plain = re.sub(r"\x1b\[\d+m", "", listed)
    assert re.search(r"jupyter_export enabled", plain), listed
    assert re.search(r"jupyter_export \S+ OK", plain), listed
    extension = elsewhere.parent / "share/jupyter/labextensions/jupyter-export/package.json"
    assert json.loads(extension.read_text())["name"] == "jupyter-export"


def test_the_server_of_that_environment_takes_exports_without_being_told_of_the_extension(
    elsewhere: Path, tmp_path: Path
) -> None:
    server = RunningServer(
        tmp_path / "server",
        python=elsewhere / "python",
        environment={"PYTHONPATH": ""},
        **{"ServerApp.jpserver_extensions": None},
    )
    try:
        source = server.add("subtitles_mov_text.mp4")
        spec = {"kind": "clip", "sources": [{"path": source, "end": 1}], "output": "made.mp4"}
        job = server.until(server.submit(spec)["id"], "completed", "failed")
        assert job["state"] == "completed", job["error"]
        assert len(decode(server.root / "made.mp4").times) == 20
        assert server.http.get("health").json()["status"] == "ok"
    finally:
        server.stop()
