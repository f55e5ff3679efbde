"""The support bundle helps, and gives nothing away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from server_support import REPOSITORY, RunningServer, clip

from jupyter_export.scrub import Scrubber, secrets_of

CLIP = "subtitles_mov_text.mp4"

PLANTED = {
    "environment": "EnvTok-7f3a9c",
    "hub": "hubtok0123456789abcdef",
    "url": "mirrorpass42",
    "config": "ConfigSecret-99x",
    "root": "rootfolder-tok-5512",
    "data": "datafolder-tok-7731",
    "source": "client-Meyer-2024-key",
    "output": "Report-Q3 for Meyer-key",
    "project": "Project Zeppelin-77",
    "text": "my password is Rosebud-1941",
    "folder": "Patients-Ward-9",
    "damaged": "broken-Meyer-file",
}


def bundle(server: RunningServer, path: Path, **environment: str) -> dict[str, str]:
    """The files of a bundle made beside `server`, by name."""
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_export.cli", "doctor", "--bundle", str(path)],
        env={**server.environment, "PYTHONPATH": str(REPOSITORY), **environment},
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(path)
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name).decode() for name in opened.namelist()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A bundle made where secrets lie everywhere."""
    folder = tmp_path_factory.mktemp("bundle") / PLANTED["root"]
    folder.mkdir()
    config = folder / "config.py"
    config.write_text(
        f"c = get_config()  # {PLANTED['config']}\n"
        f"c.ExportApp.models_url = 'https://user:{PLANTED['url']}@mirror.example/models'\n"
    )
    data = folder / PLANTED["data"]
    server = RunningServer(folder / "server", **{"config": config, "ExportApp.data_dir": data})
    try:
        source = f"{PLANTED['folder']}/{PLANTED['source']}.mp4"
        server.add(CLIP, to=source)
        spec = clip(source, f"{PLANTED['output']}.mp4", project=PLANTED["project"])
        spec |= {"kind": "annotate"}
        spec["effects"] = [
            {"type": "annotation", "kind": "text", "text": PLANTED["text"], "x": 9, "y": 9}
        ]
        server.until(server.submit(spec)["id"], "completed")

        doomed = server.add(CLIP, to=f"{PLANTED['damaged']}.mp4")
        server.post("queue/pause").raise_for_status()
        id = server.submit(clip(doomed, "doomed.mp4"))["id"]
        (server.root / doomed).unlink()
        server.post("queue/resume").raise_for_status()
        server.until(id, "failed")
        # What a library might print: with the paths and words of this export.
        (log,) = data.rglob(f"{id}.log")
        with log.open("a") as end:
            end.write(
                f"[mov @ 0x55] {server.root}/{doomed}: moov atom not found\n"
                f"GET https://cdn.example/x?token={PLANTED['environment']} 403\n"
                f"Authorization: Bearer {PLANTED['hub']}\n"
                f"title: {PLANTED['damaged']}\n"
                "a line that helps: Invalid NAL unit size (0 > 42)\n"
            )
        return bundle(
            server,
            folder / "bundle.zip",
            JUPYTER_EXPORT_URL=server.url,
            JUPYTER_EXPORT_TOKEN=server.token,
            JUPYTER_EXPORT_DATA_DIR=str(data),
            JUPYTER_EXPORT_MODELS_URL=f"https://user:{PLANTED['url']}@mirror.example/models",
            MY_SERVICE_TOKEN=PLANTED["environment"],
            JUPYTERHUB_API_TOKEN=PLANTED["hub"],
        )
    finally:
        server.stop()


@pytest.mark.parametrize("where", PLANTED)
def test_no_planted_secret_is_in_the_bundle(files: dict[str, str], where: str) -> None:
    words = [PLANTED[where], *PLANTED[where].split()]
    for name, text in files.items():
        for word in words:
            if len(word) > 6:
                assert word not in text and word not in name, (name, word)


def test_no_token_user_host_or_folder_of_the_server_is_in_the_bundle(
    files: dict[str, str],
) -> None:
    for name, text in files.items():
        for word in ("a-token-for-tests", "/tmp/", "pytest-of", str(Path.home()) + "/", "doomed"):
            assert word not in text, (name, word, text[max(0, text.find(word) - 200) :][:400])


def test_the_bundle_tells_what_helps(files: dict[str, str]) -> None:
    server = json.loads(files["server.json"])
    assert server["health"]["status"] == "ok" and "checks" in server["health"]
    assert server["limits"]["max_concurrent_exports"] == 3
    assert json.loads(files["versions.json"])["packages"]["av"]
    assert json.loads(files["settings.json"])["segment_seconds"] == 8.0
    assert json.loads(files["settings.json"])["models_url"] == "set"
    assert json.loads(files["machine.json"])["cores"] == os.cpu_count()
    encoders = {e["name"]: e for e in json.loads(files["doctor.json"])["encoders"]}
    assert encoders["libx264"]["usable"] is True
    (store,) = json.loads(files["stores.json"])
    assert store["check"] == "ok" and store["jobs"] == {"completed": 1, "failed": 1}
    jobs: list[dict[str, Any]] = json.loads(files["jobs.json"])
    assert {job["state"] for job in jobs} == {"completed", "failed"}
    annotated = next(job for job in jobs if job["state"] == "completed")
    assert annotated["spec"]["effects"] == {"annotation": 1}
    assert annotated["spec"]["encoding"]["codec"] == "h264"
    broken = next(job for job in jobs if job["state"] == "failed")
    assert broken["error"]["type"] == "source-missing"
    log = files[f"logs/{broken['id']}.log"]
    assert "moov atom not found" in log and "Invalid NAL unit size (0 > 42)" in log
    assert "attempt=1 failed state=failed" in log
    assert (
        'jupyter_export_jobs_total{event="completed",kind="annotate"} 1.0' in files["metrics.txt"]
    )
    assert "README.txt" in files


def test_without_a_server_the_bundle_has_what_there_is(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)}
    environment |= {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("DATA", "RUNTIME")}
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_export.cli", "doctor", "--bundle", "b.zip"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "tells nothing of a running server" in done.stderr
    with zipfile.ZipFile(tmp_path / "b.zip") as opened:
        names = set(opened.namelist())
        assert "none was found" in opened.read("README.txt").decode()
    assert {"doctor.json", "versions.json", "stores.json", "README.txt"} <= names
    assert "server.json" not in names
    assert (tmp_path / "b.zip").stat().st_mode & 0o077 == 0, "others can read it"


def test_a_bundle_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_export.cli", "doctor", "--bundle", "nowhere/b.zip"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "JUPYTER_EXPORT_FORCE_CPU": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert "cannot be written" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "gone", "kept"),
    [
        ("opened /home/ada/film.mp4 at 3", "ada", "opened <path> at 3"),
        ("file:/home/ada/film.mp4: bad", "ada", "<path>: bad"),
        ("open file:///home/ada/film.mp4", "ada", "open <path>"),
        ("error:/home/ada/film.mp4", "ada", "error:<path>"),
        ("https://u:pw12@host/x", "pw12", "https://<secret>@host/x"),
        ("https://host/x?a=b&token=zz", "zz", "https://host/x?<secret>"),
        ("Authorization: token abc", "abc", "Authorization: token <secret>"),
        ("password=hunter2; next", "hunter2", "; next"),
        ('{"api_key": "k-1"}', "k-1", "api_key"),
        ("ghp_0123456789abcdefABCDEF0123456789abcd!", "ghp_", "!"),
        ('File "/opt/x/lib/python3.11/site-packages/av/a.py", line 3', "opt", "site-packages/av/a"),
        ("fps=29.97 frames=120 2026-05-04T09:00:01.120Z", "@", "fps=29.97 frames=120 2026-05-04T"),
        ("job=5f0c2a9be1d34870 attempt=1", "@", "job=5f0c2a9be1d34870 attempt=1"),
    ],
)
def test_what_looks_private_is_replaced_and_the_rest_stays(text: str, gone: str, kept: str) -> None:
    scrubbed = Scrubber().text(text)
    assert gone not in scrubbed, scrubbed
    assert kept in scrubbed, scrubbed


def test_known_texts_are_found_however_they_are_written() -> None:
    scrubber = Scrubber()
    scrubber.hide(["Größe & Co/über uns.mp4"], "<text>")
    for text in ("Größe & Co", "Gr%C3%B6%C3%9Fe", r"Gr\u00f6\u00dfe", "Größe"):
        assert "Größe" not in scrubber.text(text) and "Gr" not in scrubber.text(text), text
    assert scrubber.value({"a": ["Größe", 1, None]}) == {"a": ["<text>", 1, None]}


def test_secret_variables_are_known_by_their_names() -> None:
    values = secrets_of({"API_TOKEN": "a", "db_password": "b", "HOME": "c", "DATABASE_URL": "d"})
    assert sorted(values) == ["a", "b", "d"]
