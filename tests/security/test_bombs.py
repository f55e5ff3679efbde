"""Files that are small and become huge, or that never end."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attack_support import GOOD, knock, knock_later, refused
from PIL import Image
from server_support import MEDIA, RunningServer, clip
from support import ffmpeg

from jupyter_export.errors import SourceUnreadable
from jupyter_export.media.effects import fonts
from jupyter_export.media.open import open_source

UNREADABLE = ("source-unreadable",)


@pytest.fixture
def laid(target: RunningServer) -> Iterator[Path]:
    """A folder in the root, for the attacker's files."""
    folder = target.root / "laid"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def naive(code: str, *arguments: str | Path, seconds: float = 3.0) -> tuple[float, bool]:
    """Run `code` in a process of its own: its peak memory in MiB, and whether it ended."""
    script = f"""
import resource, sys, av
try:
{chr(10).join("    " + line for line in code.strip().splitlines())}
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return 0.0, False
    return float(done.stdout.split()[-1]), True


def peak(server: RunningServer) -> float:
    """The most that any worker of the server has held at once, in MiB."""
    found = 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if f"\nPPid:\t{server.process.pid}\n" in text:
            line = next(line for line in text.splitlines() if line.startswith("VmHWM"))
            found = max(found, int(line.split()[1]) / 1024)
    return found


def png(side: int) -> bytes:
    """A black picture of `side`² pixels, a thousandth of that in bytes."""
    packer = zlib.compressobj(9)
    row = b"\0" + bytes(side)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film whose one picture has 256 million pixels, and a small film with such a cover."""
    folder = tmp_path_factory.mktemp("bombs")
    (folder / "bomb.png").write_bytes(png(16_000))
    ffmpeg("-f", "png_pipe", "-i", folder / "bomb.png", "-c", "copy", folder / "huge.mov")
    small = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=10:d=1")
    ffmpeg(
        *small, "-f", "png_pipe", "-i", folder / "bomb.png",
        *("-map", "0:v", "-map", "1:v", "-c:v:0", "libx264", "-c:v:1", "copy"),
        *("-disposition:v:1", "attached_pic", folder / "cover.mp4"),
    )  # fmt: skip
    assert (folder / "huge.mov").stat().st_size < 500_000
    return folder


def test_a_picture_of_absurd_size_is_refused_before_it_is_unpacked(
    bombs: Path, laid: Path, target: RunningServer, shell: Any
) -> None:
    shutil.copy(bombs / "huge.mov", laid / "huge.mov")
    path = laid / "huge.mov"
    held, _ = naive(
        "with av.open(sys.argv[1]) as c: next(c.decode(video=0)).to_ndarray()", path, seconds=60
    )
    before = peak(target)
    assert held > 250, "the naive way is not hit any more"
    assert refused(knock(target, "laid/huge.mov"), *UNREADABLE)
    assert refused(knock_later(target, path), *UNREADABLE)
    assert shell.run(clip("laid/huge.mov", "o.mp4"), target.root).returncode == 2
    assert peak(target) < before + 60


def test_a_cover_of_absurd_size_is_never_unpacked(
    bombs: Path, laid: Path, target: RunningServer
) -> None:
    shutil.copy(bombs / "cover.mp4", laid / "cover.mp4")
    held, _ = naive(
        "with av.open(sys.argv[1]) as c:\n    for p in c.demux():\n        for f in p.decode(): f",
        laid / "cover.mp4",
        seconds=60,
    )
    before = peak(target)
    assert held > 250, "the naive way is not hit any more"
    job = target.submit(clip("laid/cover.mp4", "laid/o.mp4"))
    assert target.until(job["id"], "completed", "failed")["error"] is None
    assert peak(target) < before + 60


def test_an_animation_of_absurd_size_is_refused_where_outputs_are_shown(
    target: RunningServer,
) -> None:
    """Pillow reads what FFmpeg does not: animated WebP."""
    data = io.BytesIO()
    Image.new("RGB", (9000, 9000)).save(data, "WEBP", lossless=True, method=0)
    assert data.getbuffer().nbytes < 100_000
    spec = clip(target.add(GOOD), "moving.webp", encoding={"size": [64, 48]})
    spec["sources"][0]["end"] = 0.3
    job = target.submit(spec)
    target.until(job["id"], "completed")
    assert target.http.get(f"jobs/{job['id']}/poster").status_code == 200
    before = peak(target)
    (target.root / "moving.webp").write_bytes(data.getvalue())
    answer = target.http.get(f"jobs/{job['id']}/poster")
    assert (answer.status_code, answer.json()["type"]) == (422, "source-unreadable")
    assert peak(target) < before + 60
    with Image.open(io.BytesIO(data.getvalue())) as image:
        assert len(image.tobytes()) == 243_000_000, "the naive way is not hit any more"


def test_a_file_of_two_frames_that_last_a_century_is_refused(
    laid: Path, target: RunningServer, shell: Any
) -> None:
    shown = ("-f", "lavfi", "-i", "testsrc2=s=64x64:r=1:d=2", "-c:v", "libx264")
    ffmpeg(*shown, "-video_track_timescale", "1", laid / "long.mp4")
    data = bytearray((laid / "long.mp4").read_bytes())
    at = data.index(b"stts")
    count = int.from_bytes(data[at + 8 : at + 12], "big")
    assert count == 1, "each frame lasts as long: one entry"
    data[at + 16 : at + 20] = struct.pack(">I", 2_000_000_000)
    (laid / "long.mp4").write_bytes(data)
    source = {"path": "laid/long.mp4"}
    spec = clip("laid/long.mp4", "o.mp4", sources=[source], encoding={"fps": 60.0})
    answer = target.post("jobs", {"spec": spec})
    assert answer.status_code == 422, answer.text
    assert "would last" in answer.json()["detail"]
    done = shell.run(spec, target.root)
    assert done.returncode == 2
    assert "would last" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("kind", ["pipe", "zeros", "link to zeros", "folder"])
def test_what_never_ends_is_refused_at_once(
    kind: str, laid: Path, target: RunningServer, shell: Any
) -> None:
    path = laid / "endless.mp4"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zeros":
        try:
            os.mknod(path, 0o20666, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("needs root to make a device")
    elif kind == "link to zeros":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    if kind != "folder":
        # The naive way is given a format, as it would be for a suffix: zeros fit any raw one.
        options = "" if kind == "pipe" else ", format='rawvideo', options={'video_size': '64x64'}"
        _, ended = naive(
            f"for f in av.open(sys.argv[1]{options}).decode(video=0): pass", path, seconds=2
        )
        assert not ended, "the naive way is not hit any more"
    # Who waits for it lets the client, which waits 30 s, run into its limit.
    kinds = ("path-error",) if kind == "link to zeros" else UNREADABLE
    assert refused(knock(target, "laid/endless.mp4"), *kinds)
    assert shell.run(clip("laid/endless.mp4", "o.mp4"), target.root).returncode == 2


def with_hole(path: Path) -> None:
    """A film that begins well and goes on with a terabyte that nobody has written."""
    picture = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=10:d=1")
    ffmpeg(*picture, "-c:v", "libx264", path)
    os.truncate(path, 2**40)


@pytest.mark.parametrize("name", ["sparse.ts", "sparse.mp4"])
def test_a_terabyte_of_nothing_is_refused_at_once(
    name: str, laid: Path, target: RunningServer, shell: Any
) -> None:
    with_hole(laid / name)
    if name.endswith("ts"):
        _, ended = naive("for p in av.open(sys.argv[1]).demux(): pass", laid / name)
        assert not ended, "the naive way is not hit any more"
    answers = knock(target, f"laid/{name}")
    assert refused(answers, *UNREADABLE)
    assert "were never written" in answers["submit"]["detail"]
    done = shell.run(clip(f"laid/{name}", "o.mp4"), target.root)
    assert done.returncode == 2
    assert "1099.5 GB of its 1099.5 GB were never written" in done.stderr.splitlines()[-1]


def test_a_film_that_is_mostly_written_is_read_whatever_its_holes(
    laid: Path, target: RunningServer
) -> None:
    path = laid / "some.mp4"
    shutil.copy(MEDIA / GOOD, path)
    with path.open("r+b") as file:
        file.seek(0, 2)
        free = 40 * 2**20
        file.write(struct.pack(">I", free) + b"free")
        file.truncate(file.tell() + free - 8)
    assert target.http.get("probe", params={"path": "laid/some.mp4"}).status_code == 200


def test_a_file_of_empty_boxes_is_not_looked_through(
    laid: Path, target: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = struct.pack(">I", 8) + b"free"
    path = laid / "boxes.mp4"
    path.write_bytes(struct.pack(">I", 8) + b"mdat" + box * 100_000)
    answer = target.http.get("probe", params={"path": "laid/boxes.mp4"})
    assert (answer.status_code, answer.json()["type"]) == (422, "source-unreadable")
    reads = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *a: reads.append(a) or pread(*a))
    with pytest.raises(SourceUnreadable), open_source(path):
        pass
    assert 1000 < len(reads) < 20_000


def test_a_pipe_among_the_fonts_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "evil.ttf")
    (tmp_path / "broken.ttf").write_bytes(b"ttcf\0\0\0\0\xff\xff\xff\xff")
    _, ended = naive("open(sys.argv[1], 'rb').read(4)", tmp_path / "evil.ttf", seconds=2)
    assert not ended, "the naive way is not hit any more"
    monkeypatch.setattr(fonts, "folders", lambda: iter([tmp_path]))
    assert {font.family for font in fonts.installed.__wrapped__()} == {"DejaVu Sans"}
