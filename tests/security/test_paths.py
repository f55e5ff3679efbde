"""Links, hidden files and swaps: what was checked is opened, and no source is overwritten."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from attack_support import GOOD, knock, knock_later, refused
from server_support import MEDIA, RunningServer, clip
from support import Context, clip_spec, decode

from jupyter_export.errors import ExportError, PathError, SourceMissing, SourceUnreadable
from jupyter_export.media.open import open_source
from jupyter_export.media.probe import probe
from jupyter_export.media.still import still
from jupyter_export.paths import plain_file, resolve_output, resolve_source
from jupyter_export.workers.tasks import TASKS


@pytest.fixture
def laid(target: RunningServer) -> Iterator[Path]:
    """A folder in the root, for the attacker's files."""
    folder = target.root / "laid"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def is_red(path: Path) -> bool:
    """Whether it is the secret film, which is red all over: dark, that is, and without detail."""
    luma = decode(path).luma.astype(float)
    return bool(luma.std() < 2)


def test_a_link_does_not_lead_out_by_any_door(
    laid: Path, secret: Path, target: RunningServer, shell: Any
) -> None:
    (laid / "link.mp4").symlink_to(secret / "secret.mp4")
    (laid / "folder").symlink_to(secret)
    (laid / "chain.mp4").symlink_to("folder/secret.mp4")
    with av.open(str(laid / "chain.mp4")) as container:
        assert container.streams.video, "the naive way is not hit any more"
    for name in ("link.mp4", "folder/secret.mp4", "chain.mp4"):
        assert refused(knock(target, f"laid/{name}"), "path-error")
        assert shell.run(clip(f"laid/{name}", "o.mp4"), target.root).returncode == 2
    assert refused(knock_later(target, laid / "link.mp4"), "path-error")
    for name in ("link.mp4", "folder/new.mp4"):
        answer = target.post("jobs", {"spec": clip(target.add(GOOD), f"laid/{name}")})
        assert (answer.status_code, answer.json()["type"]) == (422, "path-error")
        assert shell.run(clip(GOOD, f"laid/{name}"), target.root).returncode == 2
    assert sorted(p.name for p in secret.iterdir()) == ["secret.mp4", "secret.ts"]


@pytest.mark.parametrize(
    "name", [".hidden.mp4", ".git/film.mp4", "laid/.film.mp4", "laid/seen.mp4"]
)
def test_hidden_files_stay_hidden(
    name: str, laid: Path, secret: Path, target: RunningServer, shell: Any
) -> None:
    """Also behind a link that shows, which the contents manager does not follow either."""
    path = target.root / name
    if name == "laid/seen.mp4":
        (target.root / ".vault").mkdir()
        shutil.copy(secret / "secret.mp4", target.root / ".vault/film.mp4")
        path.symlink_to(target.root / ".vault/film.mp4")
    else:
        path.parent.mkdir(exist_ok=True)
        shutil.copy(secret / "secret.mp4", path)
    try:
        with av.open(str(path)) as container:
            assert container.streams.video, "the naive way is not hit any more"
        assert refused(knock(target, name), "path-error")
        assert shell.run(clip(name, "o.mp4"), target.root).returncode == 2
        answer = target.post("jobs", {"spec": clip(target.add(GOOD), name)})
        assert (answer.status_code, answer.json()["field"]) == (422, "output")
    finally:
        for left in (target.root / ".vault", target.root / ".git"):
            shutil.rmtree(left, ignore_errors=True)
        path.unlink(missing_ok=True)


class Swapped:
    """A film in a folder, and, after `swap`, a link to a secret in the place of one of them."""

    def __init__(self, root: Path, secret: Path) -> None:
        self.root, self.secret = root, secret
        (root / "a" / "b").mkdir(parents=True)
        shutil.copy(MEDIA / GOOD, root / "a" / "b" / "secret.mp4")

    def swap(self, what: str) -> None:
        place = {"file": "a/b/secret.mp4", "folder": "a/b", "folder above": "a"}[what]
        lure = {"file": "secret.mp4", "folder": ".", "folder above": "above"}[what]
        if what == "folder above":
            (self.root / "above").mkdir()
            (self.root / "above" / "b").symlink_to(self.secret)
            lure_path = self.root / "above"
        else:
            lure_path = self.secret / lure
        (self.root / place).rename(self.root / "gone")
        (self.root / place).symlink_to(lure_path)


@pytest.mark.parametrize("what", ["file", "folder", "folder above"])
def test_a_link_that_comes_after_the_check_is_not_followed(
    what: str, tmp_path: Path, secret: Path
) -> None:
    scene = Swapped(tmp_path, secret)
    path = resolve_source(tmp_path, "a/b/secret.mp4")
    facts = probe(path)
    scene.swap(what)
    with av.open(f"file:{path}") as naive:
        assert naive.streams.video[0].width == 160, "the naive way is not hit any more"
    for look in (probe, lambda p: still(p, 0, 64), lambda p: open_source(p).__enter__()):
        with pytest.raises(PathError, match="A link has taken the place"):
            look(path)
    with pytest.raises(OSError, match=r"directory|symbolic links"):
        plain_file(path)
    assert facts.video.width != 160


@pytest.mark.parametrize("what", ["file", "folder", "folder above"])
def test_a_plan_does_not_lead_to_what_a_link_shows_later(
    what: str, tmp_path: Path, secret: Path
) -> None:
    """Between two segments, and with the size and the time of the film that was planned."""
    scene = Swapped(tmp_path / "root", secret)
    context: Any = Context()
    params = {
        "root": str(tmp_path / "root"),
        "spec": clip_spec("a/b/secret.mp4", "o.mp4", 0, 0.5),
        "encoder": "libx264",
        "cache": str(tmp_path / "cache"),
    }
    plan = TASKS["plan"](params, context)["plan"]
    info = (tmp_path / "root/a/b/secret.mp4").stat()
    double = tmp_path / "double"
    double.mkdir()
    with (double / "secret.mp4").open("wb") as file:
        file.write((secret / "secret.mp4").read_bytes())
        file.truncate(info.st_size)
    os.utime(double / "secret.mp4", ns=(info.st_atime_ns, info.st_mtime_ns))
    scene.secret = double
    scene.swap(what)
    with pytest.raises((PathError, SourceUnreadable)):
        TASKS["render"]({"plan": plan, "index": 0, "cache": str(tmp_path / "cache")}, context)
    assert not list((tmp_path / "cache").glob("*.seg"))


def test_a_part_file_does_not_go_through_a_link_that_waits_for_it(
    target: RunningServer, laid: Path, tmp_path: Path
) -> None:
    """Its name can be known: the job's id is. Who shares the folder could lay a link there."""
    victim = tmp_path / "notebook.ipynb"
    victim.write_text("{}")
    naive = laid / "naive.part"
    naive.symlink_to(victim)
    with av.open(f"file:{naive}", "w", format="mp4") as container:
        container.add_stream("mpeg4", rate=10).width = 64
        container.streams[0].height = 64
        container.start_encoding()
    assert victim.read_bytes() != b"{}", "the naive way is not hit any more"
    victim.write_text("{}")
    target.post("queue/pause").raise_for_status()
    job = target.submit(clip(target.add(GOOD), "laid/o.mp4"))
    for attempt in (1, 2, 3):
        (laid / f".o.mp4.{job['id']}.{attempt}.part").symlink_to(victim)
    target.post("queue/resume").raise_for_status()
    assert target.until(job["id"], "completed", "failed")["error"] is None
    assert victim.read_text() == "{}"
    assert (laid / "o.mp4").is_file()
    assert not (laid / "o.mp4").is_symlink()
    assert len(decode(laid / "o.mp4").times) > 0


def test_a_folder_that_becomes_a_link_gets_no_output(
    target: RunningServer, laid: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "o.mp4").write_bytes(b"precious")
    (laid / "sub").mkdir()
    target.post("queue/pause").raise_for_status()
    job = target.submit(clip(target.add(GOOD), "laid/sub/o.mp4"))
    (laid / "sub").rmdir()
    (laid / "sub").symlink_to(outside)
    target.post("queue/resume").raise_for_status()
    error = target.until(job["id"], "completed", "failed")["error"]
    assert error["type"] == "path-error"
    assert "leads out of the root" in error["detail"]
    assert [p.name for p in outside.iterdir()] == ["o.mp4"]
    assert (outside / "o.mp4").read_bytes() == b"precious"


def exchange(one: Path, other: Path) -> None:
    """Let two names change places, in one step of the kernel."""
    libc, here, swap = ctypes.CDLL(None, use_errno=True), -100, 2
    if libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), swap):
        pytest.skip("this file system cannot exchange two names")


@contextlib.contextmanager
def exchanging(one: Path, other: Path) -> Iterator[list[int]]:
    """Exchange two names again and again, from a thread, until the end."""
    count = [0]
    exchange(one, other)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            exchange(one, other)
            count[0] += 1
            stop.wait(0.0002)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield count
    finally:
        stop.set()
        thread.join()


def test_a_race_between_check_and_open_is_never_won(tmp_path: Path, secret: Path) -> None:
    """One name is now a film and now a link to a secret; whatever opens, opens the film."""
    film, lure = tmp_path / "film.mp4", tmp_path / "lure.mp4"
    shutil.copy(MEDIA / GOOD, film)
    lure.symlink_to(secret / "secret.mp4")
    path = resolve_source(tmp_path, "film.mp4")
    exchange(film, lure)
    with av.open(f"file:{path}") as naive:
        assert naive.streams.video[0].width == 160, "a name is no safe handle any more"
    opened = refusals = 0
    with exchanging(film, lure) as count:
        for tried in range(20_000):
            if tried >= 400 and opened > 10 and refusals > 10:
                break
            try:
                with open_source(resolve_source(tmp_path, "film.mp4")) as container:
                    opened += 1
                    assert container.streams.video[0].width != 160
            except (PathError, SourceMissing):
                refusals += 1
    assert count[0] > 100
    assert opened > 10 and refusals > 10


def test_a_race_is_not_won_by_a_whole_export(
    target: RunningServer, laid: Path, secret: Path
) -> None:
    film, lure = laid / "film.mp4", laid / "lure.mp4"
    shutil.copy(MEDIA / GOOD, film)
    lure.symlink_to(secret / "secret.mp4")
    states = []
    with exchanging(film, lure):
        for number in range(12):
            name = f"laid/{number}.mp4"
            answer = target.post("jobs", {"spec": clip("laid/film.mp4", name)})
            if answer.status_code != 201:
                assert answer.json()["type"] in {"path-error", "source-missing"}, answer.text
                states.append("refused")
                continue
            job = target.until(answer.json()["id"], "completed", "failed")
            states.append(job["state"])
            if job["error"]:
                assert job["error"]["type"] in {
                    *("path-error", "source-missing", "source-unreadable"),
                }, job["error"]
            else:
                assert not is_red(target.root / name)
    assert len(states) == 12


@pytest.mark.parametrize("how", ["itself", "hard link", "link", "link to its folder"])
def test_no_export_overwrites_its_own_source(
    how: str, laid: Path, target: RunningServer, shell: Any
) -> None:
    shutil.copy(MEDIA / GOOD, laid / "film.mp4")
    whole = (laid / "film.mp4").read_bytes()
    output = "laid/film.mp4"
    if how == "hard link":
        (laid / "same.mp4").hardlink_to(laid / "film.mp4")
        output = "laid/same.mp4"
    elif how == "link":
        (laid / "same.mp4").symlink_to("film.mp4")
        output = "laid/same.mp4"
    elif how == "link to its folder":
        (target.root / "again").symlink_to(laid)
        output = "again/film.mp4"
    try:
        # The naive way: FFmpeg itself notices no more than the same name.
        copy = laid / "copy.mp4"
        shutil.copy(laid / "film.mp4", copy)
        second = laid / "second.mp4"
        second.hardlink_to(copy)
        with av.open(str(second), "w") as container:
            container.add_stream("mpeg4", rate=10).width = 64
            container.streams[0].height = 64
            container.start_encoding()
        assert copy.read_bytes() != whole, "the naive way is not hit any more"

        for spec in (
            clip("laid/film.mp4", output),
            {
                "kind": "compare",
                "sources": [{"path": target.add(GOOD)}],
                "effects": [{"type": "compare", "with": {"path": "laid/film.mp4"}}],
                "output": output,
            },
        ):
            answer = target.post("jobs", {"spec": spec})
            assert answer.status_code == 422
            assert "is a source of this export" in answer.json()["detail"]
            assert answer.json()["field"] == "output"
            done = shell.run(spec, target.root)
            assert done.returncode == 2, done.stderr
            assert "is a source of this export" in done.stderr
        assert (laid / "film.mp4").read_bytes() == whole
    finally:
        (target.root / "again").unlink(missing_ok=True)


def test_an_output_that_becomes_its_own_source_while_it_waits_is_refused(
    laid: Path, target: RunningServer
) -> None:
    shutil.copy(MEDIA / GOOD, laid / "film.mp4")
    target.post("queue/pause").raise_for_status()
    job = target.submit(clip("laid/film.mp4", "laid/new.mp4"))
    (laid / "new.mp4").hardlink_to(laid / "film.mp4")
    target.post("queue/resume").raise_for_status()
    job = target.until(job["id"], "failed", "completed")
    assert "is a source of this export" in job["error"]["detail"]


def test_a_link_that_takes_the_place_of_a_finished_file_is_not_sent(
    target: RunningServer, laid: Path, secret: Path
) -> None:
    job = target.submit(clip(target.add(GOOD), "laid/made.mp4"))
    target.until(job["id"], "completed")
    (laid / "lure.mp4").symlink_to(secret / "secret.mp4")
    stolen = (secret / "secret.mp4").read_bytes()
    given = 0
    with exchanging(laid / "made.mp4", laid / "lure.mp4"):
        for _ in range(60):
            answer = target.http.get(f"jobs/{job['id']}/file")
            given += answer.status_code == 200
            assert answer.content != stolen
            assert answer.status_code in (200, 422)
    assert given


def test_an_output_folder_that_may_not_be_looked_into_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0)
    if os.geteuid() == 0:
        pytest.skip("root may look everywhere")
    with pytest.raises(ExportError):
        resolve_output(tmp_path, "shut/o.mp4")


def test_the_films_differ(secret: Path) -> None:
    """What the tests above tell apart."""
    assert is_red(secret / "secret.mp4")
    assert not is_red(MEDIA / GOOD)
    assert isinstance(decode(MEDIA / GOOD).luma, np.ndarray)
