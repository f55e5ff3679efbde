"""Words of users that become commands for FFmpeg, or names that mislead people and programs."""

from __future__ import annotations

import json
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from attack_support import GOOD
from server_support import MEDIA, RunningServer, clip
from support import decode, ffmpeg_exe


@pytest.fixture
def root(target: RunningServer) -> Iterator[Path]:
    """A folder in the root for outputs; whatever appears beside is somebody's crime."""
    target.add(GOOD)
    folder = target.root / "out"
    folder.mkdir()
    before = set(target.root.rglob("*"))
    yield folder
    shutil.rmtree(folder)
    left = set(target.root.rglob("*")) - before
    assert left == set(), left


def annotated(output: str, **fields: Any) -> dict[str, Any]:
    effect = {"type": "annotation", "kind": "text", "text": "x", "x": 20, "y": 20, **fields}
    return {
        "kind": "annotate",
        "sources": [{"path": GOOD, "end": 0.3}],
        "effects": [effect],
        "output": output,
        "encoding": {"quality": "fast"},
    }


def test_a_label_is_letters_and_nothing_else(
    target: RunningServer, root: Path, shell: Any, tmp_path: Path
) -> None:
    stolen = tmp_path / "stolen.txt"
    label = f"x',metadata=mode=add:key=a:value=b,metadata=mode=print:file={stolen},drawgrid='"
    naive_graph(f"drawtext=text='{label}'", f"drawbox=color='{label}'")
    assert stolen.exists(), "the naive way is not hit any more"
    stolen.unlink()
    texts = [label, "%{pts}", "%{eif:1+1:d}", "a:b=c;[in]d", "\\", "'", "${HOME}", "{0}", "%n%s"]
    for text in texts:
        preview = target.post("preview", {"spec": annotated("o.mp4", text=text), "time": 0})
        assert preview.status_code == 200, (text, preview.text)
    job = target.submit(annotated("out/label.mp4", text="\n".join(texts)))
    assert target.until(job["id"], "completed", "failed")["error"] is None
    assert shell.run(annotated("out/shell.mp4", text=label), target.root).returncode == 0
    assert len(decode(root / "shell.mp4").times) > 0
    assert not stolen.exists()


def naive_graph(*graphs: str) -> None:
    """What somebody writes who puts words into a filter's text; not every FFmpeg has them all."""
    for graph in graphs:
        subprocess.run(
            [
                ffmpeg_exe(),
                "-v",
                "error",
                "-y",
                "-i",
                str(MEDIA / GOOD),
                "-frames:v",
                "1",
                "-vf",
                graph,
                "-f",
                "null",
                "-",
            ],
            capture_output=True,
        )


@pytest.mark.parametrize("field", ["color", "outline_color", "background", "font", "anchor"])
def test_what_is_no_colour_or_font_is_refused_by_its_field(
    field: str, target: RunningServer, shell: Any, tmp_path: Path
) -> None:
    stolen = tmp_path / "stolen.txt"
    value = f"red,metadata=mode=add:key=a:value=b,metadata=mode=print:file={stolen}"
    naive_graph(f"drawbox=color={value}")
    assert stolen.exists(), "the naive way is not hit any more"
    stolen.unlink()
    for bad in (value, "#ff0000\n", "#ff0000;", "/etc/passwd:x=1", "\u202e#ff0000"):
        spec = annotated("o.mp4", **{field: bad})
        for path in ("jobs", "preview"):
            body = {"spec": spec, "time": 0} if path == "preview" else {"spec": spec}
            answer = target.post(path, body)
            assert answer.status_code == 422, answer.text
            assert answer.json()["field"] == f"effects[0].{field}"
    assert shell.run(annotated("o.mp4", **{field: value}), target.root).returncode == 2
    assert not stolen.exists()


def test_an_encoders_name_is_no_way_to_its_options(target: RunningServer, shell: Any) -> None:
    for name in ("libx264:stats=x", "libx264 -f tee", "rawvideo", "libx264\n", "../libx264"):
        spec = clip(target.add(GOOD), "o.mp4", encoding={"encoder": name})
        answer = target.post("jobs", {"spec": spec})
        assert answer.status_code == 422, (name, answer.text)
    assert shell.run(spec, target.root).returncode == 2


def test_options_that_nobody_has_foreseen_are_refused(target: RunningServer) -> None:
    for where in ("encoding", "sources", None):
        spec = clip(target.add(GOOD), "o.mp4")
        extra = {"options": {"x264-params": "dump-yuv=/tmp/x"}}
        if where == "sources":
            spec["sources"][0] |= extra
        elif where:
            spec[where] |= extra
        else:
            spec |= extra
        answer = target.post("jobs", {"spec": spec})
        assert answer.status_code == 422
        assert "no such field" in answer.json()["detail"]


def test_addresses_that_ffmpeg_writes_to_are_no_names_of_outputs(
    target: RunningServer, root: Path, shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for address in ("tee:a.mp4|b.mp4", "md5:c.mp4", "file:d.mp4"):
        with av.open(address, "w", format="nut") as container:
            container.add_stream("mpeg4", rate=10).width = 64
            container.streams[0].height = 64
            container.start_encoding()
    made = {p.name for p in tmp_path.iterdir()}
    assert {"a.mp4", "b.mp4", "c.mp4", "d.mp4"} <= made, "the naive way is not hit any more"
    for name in (
        "tee:a.mp4|b.mp4",
        "md5:c.mp4",
        "file:d.mp4",
        "out/tee:a.mp4",
        "concat:a.mp4",
        "HTTP://127.0.0.1/x.mp4",
        "pipe:1.mp4",
        "subfile,,start,0,end,0,,:x.mp4",
        "data:,x.mp4",
        "unix:x.mp4",
    ):
        assert_refused(target, shell, name)
    # A title may have a colon.
    job = target.submit(clip(GOOD, "out/12:30 a talk: part 1.mp4"))
    assert target.until(job["id"], "completed", "failed")["error"] is None
    assert (root / "12:30 a talk: part 1.mp4").is_file()


NAMES = {
    "leading dash": "-y.mp4",
    "newline": "a\nb.mp4",
    "carriage return": "a\rb.mp4",
    "escape": "a\x1b[2Jb.mp4",
    "NUL": "a\0.mp4",
    "C1 control": "a\x9bb.mp4",
    "right-to-left override": "invoice\u202e4pm.exe.mp4",
    "isolate": "a\u2066b.mp4",
    "zero width": "a\u200bb.mp4",
    "line separator": "a\u2028b.mp4",
    "lone surrogate": "a\ud800b.mp4",
    "undecodable byte": "a\udc80b.mp4",
    "255 bytes": "x" * 251 + ".mp4",
    "256 bytes": "x" * 252 + ".mp4",
    "a long folder": "y" * 300 + "/o.mp4",
    "a long path": "/".join(["z" * 200] * 18) + "/o.mp4",
    "Cyrillic suffix": "o.m\u04404",
    "full-width dot": "o\uff0emp4",
    "suffix that ends": "o.mp4 ",
    "two suffixes": "o.mp4.exe",
    "hidden": ".o.mp4",
    "hidden folder": ".git/o.mp4",
    "only a suffix": ".mp4",
    "above": "../o.mp4",
    "absolute": "/tmp/o.mp4",
    "a folder": "out/",
    "empty": "",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_a_name_that_misleads_is_refused(
    name: str, target: RunningServer, root: Path, shell: Any
) -> None:
    assert_refused(target, shell, name)


def assert_refused(target: RunningServer, shell: Any, name: str) -> None:
    body = json.dumps({"spec": clip(GOOD, name)})
    headers = {"Content-Type": "application/json"}
    answer = target.http.post("jobs", content=body, headers=headers)
    problem = answer.json()
    if any("\ud800" <= c <= "\udfff" for c in name):
        assert answer.status_code == 400, "what is no text is not even JSON here"
    else:
        assert answer.status_code == 422, (name, answer.text)
        assert problem["field"] == "output", problem
    assert problem["detail"].endswith("."), problem
    # What is told of it must not do on a terminal what it was meant to do.
    assert all(c.isprintable() for c in problem["detail"]), problem
    done = shell.run(clip(GOOD, name), target.root)
    assert done.returncode == 2, (name, done.stderr)
    assert "output" in done.stderr.splitlines()[-1]


def test_the_same_name_in_two_normal_forms_is_two_files(target: RunningServer, root: Path) -> None:
    """Here they are two names: neither may overwrite the other, nor a source."""
    one, two = (unicodedata.normalize(form, "é.mp4") for form in ("NFC", "NFD"))
    shutil.copy(MEDIA / GOOD, root / one)
    whole = (root / one).read_bytes()
    job = target.submit(clip(f"out/{one}", f"out/{two}"))
    assert target.until(job["id"], "completed", "failed")["error"] is None
    assert (root / one).read_bytes() == whole
    assert len(decode(root / two).times) > 0
