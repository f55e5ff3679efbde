"""Files that are something else than a film: FFmpeg must not follow them to others."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from attack_support import knock, knock_later, refused
from PIL import Image
from server_support import RunningServer, clip
from support import ffmpeg

from jupyter_export.errors import SourceUnreadable
from jupyter_export.footage.images import from_images

PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
SCRIPT = "ffconcat version 1.0\nfile '{}'\n"
UNREADABLE = ("source-unreadable",)


@pytest.fixture
def laid(target: RunningServer) -> Iterator[Path]:
    """A folder in the root, for the attacker's files."""
    folder = target.root / "laid"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def reached(source: Any, **options: str) -> int:
    """How many frames of the secret film the naive way gives."""
    with av.open(source, options=options) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4"])
def test_a_playlist_does_not_lead_to_a_film_outside(
    name: str, laid: Path, secret: Path, target: RunningServer, shell: Any
) -> None:
    path = laid / name
    path.write_text(PLAYLIST.format(secret / "secret.ts"))
    # Current versions of FFmpeg go by the suffix here, older ones by the content.
    if name.endswith("m3u8"):
        with path.open("rb") as file:  # as a server that streams uploads would
            assert reached(file) == 10, "the naive way is not hit any more"
    assert refused(knock(target, f"laid/{name}"), *UNREADABLE)
    assert refused(knock_later(target, path), *UNREADABLE)
    done = shell.run(clip(f"laid/{name}", "o.mp4"), target.root)
    assert done.returncode == 2
    assert "not a video file" in done.stderr.splitlines()[-1]


def test_a_playlist_does_not_make_the_server_call_others(
    laid: Path, target: RunningServer, shell: Any, listener: Any
) -> None:
    path = laid / "list.m3u8"
    path.write_text(PLAYLIST.format(f"http://127.0.0.1:{listener.port}/x.ts"))
    with path.open("rb") as file, pytest.raises(av.FFmpegError):
        reached(file)
    assert listener.visits, "the naive way is not hit any more"
    listener.visits = 0
    assert refused(knock(target, "laid/list.m3u8"), *UNREADABLE)
    assert refused(knock_later(target, path), *UNREADABLE)
    assert shell.run(clip("laid/list.m3u8", "o.mp4"), target.root).returncode == 2
    assert listener.visits == 0


def test_a_script_named_as_a_film_does_not_lead_to_others(
    laid: Path, secret: Path, target: RunningServer, shell: Any
) -> None:
    path = laid / "script.mp4"
    path.write_text(SCRIPT.format(secret / "secret.mp4"))
    assert reached(str(path), safe="0") == 10, "the naive way is not hit any more"
    # One beside it needs no option at all.
    shutil.copy(secret / "secret.mp4", laid / "beside.mp4")
    (laid / "near.mp4").write_text(SCRIPT.format("beside.mp4"))
    assert reached(str(laid / "near.mp4")) == 10, "the naive way is not hit any more"
    for name in ("script.mp4", "near.mp4"):
        assert refused(knock(target, f"laid/{name}"), *UNREADABLE)
        assert refused(knock_later(target, laid / name), *UNREADABLE)
        assert shell.run(clip(f"laid/{name}", "o.mp4"), target.root).returncode == 2


def test_an_image_sequence_is_not_gathered_from_a_name(
    laid: Path, target: RunningServer, shell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64:r=5:d=1", laid / "f%03d.png")
    monkeypatch.chdir(target.root)
    for name in ("laid/f%03d.png", "laid/f*.png"):
        options = {"pattern_type": "glob"} if "*" in name else {}
        assert reached(f"{target.root}/{name}", **options) == 5, "the naive way is not hit any more"
        assert refused(knock(target, name), "source-missing")
        assert shell.run(clip(name, "o.mp4"), target.root).returncode == 2
    # Nor does one of its pictures stand for all.
    assert refused(knock(target, "laid/f001.png"), *UNREADABLE)


@pytest.mark.parametrize(
    "name",
    [
        "concat:{0}|{0}",
        "subfile,,start,0,end,0,,:{0}",
        "file:{0}",
        "async:file:{0}",
        "cache:{0}",
        "data:video/mp4;base64,{1}",
        "http://127.0.0.1:{2}/x.mp4",
        "tcp://127.0.0.1:{2}",
    ],
)
def test_an_address_is_a_file_name_like_any_other(
    name: str, laid: Path, secret: Path, target: RunningServer, shell: Any, listener: Any
) -> None:
    import base64

    film = secret / "secret.mp4"
    name = name.format(film, base64.b64encode(film.read_bytes()).decode(), listener.port)
    try:
        hit = reached(name) >= 10
    except av.FFmpegError:
        hit = listener.visits > 0
    assert hit, "the naive way is not hit any more"
    listener.visits = 0
    assert refused(knock(target, name), "source-missing", "path-error", "spec-error")
    assert shell.run(clip(name, "o.mp4"), target.root).returncode == 2
    assert listener.visits == 0


def test_a_film_by_such_a_name_is_that_film(
    target: RunningServer, secret: Path, laid: Path
) -> None:
    """Colons are common in titles; only what FFmpeg takes them for is dangerous."""
    target.add("bikes_no_audio.mp4", "concat:a|b.mp4")
    name = "concat:a|b.mp4"
    facts = target.http.get("probe", params={"path": name}).json()
    assert facts["width"] == 640 or facts["width"] > 160


def test_postscript_named_as_a_picture_is_not_run(tmp_path: Path) -> None:
    """Pillow hands what looks like PostScript to Ghostscript, whatever its name."""
    (tmp_path / "1.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    )
    with Image.open(tmp_path / "1.png") as image:
        assert image.format == "EPS", "the naive way is not hit any more"
    with pytest.raises(SourceUnreadable, match="no image that can be read"):
        from_images(tmp_path, 10, folder=tmp_path / "kept")
