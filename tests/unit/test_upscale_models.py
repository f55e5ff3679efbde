"""Weight files: found by name, refused in one sentence, downloaded whole or not at all."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import pickle
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from upscale_support import SMALL, save, weights

from jupyter_export.cli import main
from jupyter_export.errors import DownloadFailed, ModelMissing, ModelUnusable, OutputError
from jupyter_export.upscale.catalogue import GENERAL, PUBLISHED, Published, find, installed
from jupyter_export.upscale.download import download
from jupyter_export.upscale.weights import load

SHAPE = SMALL["srvgg x4"]


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_any_compatible_file_is_recognised(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"own{suffix}"
    if suffix == ".pth":
        save(path, SMALL[name])
    else:
        from safetensors.torch import save_file

        save_file(weights(SMALL[name]), path)
    shape, state = load(path)
    assert shape == SMALL[name]
    for key, tensor in weights(SMALL[name]).items():
        assert torch.equal(state[key], tensor)


def test_only_files_of_safetensors_need_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    save_file(weights(SHAPE), tmp_path / "own.safetensors")
    save(tmp_path / "own.pth", SHAPE)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)  # as if it was not installed
    load(tmp_path / "own.pth")
    with pytest.raises(ModelUnusable, match=r"not installed.*`pip install safetensors`"):
        load(tmp_path / "own.safetensors")


def test_a_pickle_bomb_does_not_go_off(tmp_path: Path) -> None:
    path, crater = tmp_path / "bomb.pth", tmp_path / "crater"
    torch.save({"params": Bomb(crater)}, path)
    with pytest.raises(ModelUnusable, match=r"'bomb.pth' holds more than weights.*nothing in it"):
        load(path)
    path.write_bytes(pickle.dumps({"params": Bomb(crater)}))
    with pytest.raises(ModelUnusable):
        load(path)
    assert not crater.exists()


def test_a_web_page_or_half_a_file_is_named_as_what_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.pth"
    page.write_text("\n<!DOCTYPE html><html>Not found</html>")
    with pytest.raises(ModelUnusable, match=r"'page.pth' is a web page"):
        load(page)
    whole = save(tmp_path / "half.pth", SHAPE).read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"\0" * 1000):
        (tmp_path / "half.pth").write_bytes(data)
        with pytest.raises(ModelUnusable, match=r"'half.pth'") as caught:
            load(tmp_path / "half.pth")
        assert "\n" not in str(caught.value)
    (tmp_path / "half.safetensors").write_bytes(whole)
    with pytest.raises(ModelUnusable, match=r"'half.safetensors' is damaged"):
        load(tmp_path / "half.safetensors")


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"params": {}},
        {"params": {"layer": torch.zeros(3)}},
        {"body.0.weight": torch.zeros(3)},
        {"body.0.weight": torch.zeros(8, 3, 3, 3), "body.999999999.weight": torch.zeros(48, 8)},
        {"params": [1, 2]},
    ],
)
def test_weights_of_something_else_are_refused(state: Any, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save(state, path)
    with pytest.raises(ModelUnusable, match=r"'other.pth'"):
        load(path)


def test_one_missing_layer_is_noticed(tmp_path: Path) -> None:
    state = weights(SHAPE)
    del state["body.3.weight"]
    torch.save(state, tmp_path / "m.pth")
    with pytest.raises(ModelUnusable, match="another architecture"):
        load(tmp_path / "m.pth")


def test_another_file_under_a_published_name_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / f"{GENERAL}.pth", SHAPE)
    with pytest.raises(ModelUnusable, match=rf"not the published one.*models pull {GENERAL}"):
        load(path)


def test_a_file_that_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "own.pth", SHAPE)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    load(path, digest)
    save(path, SHAPE, seed=1)
    with pytest.raises(ModelUnusable, match="changed while an export was using it"):
        load(path, digest)


def test_names_are_never_paths(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    save(tmp_path / "outside.pth", SHAPE)
    save(folder / "own.v2.pth", SHAPE)
    save(folder / ".hidden.pth", SHAPE)
    assert find(folder, "own.v2") == folder / "own.v2.pth"
    assert list(installed(folder)) == ["own.v2"]
    for name in ("../outside", str(tmp_path / "outside"), ".hidden", "own.v2.pth", "", "a/b"):
        with pytest.raises(ModelMissing):
            find(folder, name)


def test_a_missing_model_comes_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing) as caught:
        find(tmp_path, "RealESRGAN_x4plus")
    assert caught.value.advice == "Run `jupyter export models pull RealESRGAN_x4plus`."


# --- downloads, from a real server


@dataclass
class Mirror:
    """Serves one file in the ways that servers do."""

    data: bytes = b""
    ranges: bool = True
    break_after: list[int] = field(default_factory=list)
    """For each next request, how many bytes until the connection breaks."""
    status: int = 200
    type: str = "application/octet-stream"
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    served = Mirror()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            served.asked.append((self.path, asked))
            start = int(asked[6:-1]) if asked and served.ranges else 0
            if start >= len(served.data) and start:
                self.send_response(416)
                self.end_headers()
                return
            body = served.data[start:]
            self.send_response(206 if start and served.status == 200 else served.status)
            self.send_header("Content-Type", served.type)
            self.send_header("Content-Length", str(len(body)))
            if start:
                total = len(served.data)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            self.end_headers()
            if served.break_after:
                body = body[: served.break_after.pop(0)]
                self.close_connection = True
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_port}/files/"
    yield served
    server.shutdown()
    server.server_close()


@pytest.fixture
def model(mirror: Mirror, tmp_path: Path) -> Published:
    """A model of random weights that the mirror publishes."""
    mirror.data = save(tmp_path / "random", SHAPE).read_bytes()
    return Published(
        "tiny",
        "v1",
        len(mirror.data),
        hashlib.sha256(mirror.data).hexdigest(),
        SHAPE,
        "for tests",
    )


def pull(model: Published, mirror: Mirror, folder: Path, seen: list[int] | None = None) -> Path:
    def progress(done: int, total: int) -> None:
        assert total == model.size
        if seen is not None:
            seen.append(done)

    return download(model, folder, mirror.url, progress, waits=(0.0, 0.0))


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_a_model_is_downloaded_whole(model: Published, mirror: Mirror, tmp_path: Path) -> None:
    folder, seen = tmp_path / "new" / "models", []
    path = pull(model, mirror, folder, seen)
    assert path.read_bytes() == mirror.data
    assert left(folder) == {"tiny.pth"}
    assert mirror.asked == [("/files/v1/tiny.pth", None)]
    assert seen == sorted(seen)
    assert seen[-1] == model.size
    pull(model, mirror, folder)
    assert len(mirror.asked) == 1  # it was there


def test_a_broken_download_goes_on_where_it_stopped(
    model: Published, mirror: Mirror, tmp_path: Path
) -> None:
    mirror.break_after = [1000, 500, 700]
    with pytest.raises(DownloadFailed, match=r"breaks off.*goes on where it stopped"):
        pull(model, mirror, tmp_path / "m")
    assert left(tmp_path / "m") == {".tiny.pth.part"}
    path = pull(model, mirror, tmp_path / "m")
    assert path.read_bytes() == mirror.data
    assert [asked for _, asked in mirror.asked] == [
        None,
        "bytes=1000-",
        "bytes=1500-",
        "bytes=2200-",
    ]


def test_a_server_without_ranges_is_asked_for_all_again(
    model: Published, mirror: Mirror, tmp_path: Path
) -> None:
    mirror.ranges = False
    mirror.break_after = [1000]
    assert pull(model, mirror, tmp_path / "m").read_bytes() == mirror.data


@pytest.mark.parametrize("extra", [0, 5])
def test_what_lies_about_from_before_does_no_harm(
    extra: int, model: Published, mirror: Mirror, tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / ".tiny.pth.part").write_bytes(b"x" * (model.size + extra))
    (folder / "tiny.pth").write_bytes(b"an old, damaged file")
    if not extra:  # as long as the model, and not it: refused, and gone with the next try
        with pytest.raises(DownloadFailed, match="not the published"):
            pull(model, mirror, folder)
        assert (folder / "tiny.pth").read_bytes() == b"an old, damaged file"
    assert pull(model, mirror, folder).read_bytes() == mirror.data
    assert left(folder) == {"tiny.pth"}


def test_a_wrong_file_never_gets_the_models_name(
    model: Published, mirror: Mirror, tmp_path: Path
) -> None:
    for data, message in (
        (b"x" * model.size, "SHA-256 is another"),
        (b"x" * (model.size + 1), "larger than the published"),
    ):
        mirror.data = data
        with pytest.raises(DownloadFailed, match=message) as caught:
            pull(model, mirror, tmp_path / "m")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "m" / "tiny.pth").exists()


def test_a_page_or_an_error_instead_is_said(
    model: Published, mirror: Mirror, tmp_path: Path
) -> None:
    mirror.type = "text/html; charset=utf-8"
    with pytest.raises(DownloadFailed, match="is a web page, not a model"):
        pull(model, mirror, tmp_path / "m")
    mirror.status = 404
    with pytest.raises(DownloadFailed, match=r"v1/tiny.pth answers 404 Not Found.*models_url"):
        pull(model, mirror, tmp_path / "m")
    secret = replace(mirror, url="http://user:password@127.0.0.1:9/")
    with pytest.raises(DownloadFailed, match="does not answer") as caught:
        pull(model, secret, tmp_path / "m")
    assert "password" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_said(
    model: Published, mirror: Mirror, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="models folder"):
        pull(model, mirror, tmp_path / "file" / "models")


def test_the_commands_list_pull_and_verify(
    model: Published,
    mirror: Mirror,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("JUPYTER_EXPORT_MODELS_DIR", str(tmp_path / "m"))
    monkeypatch.setenv("JUPYTER_EXPORT_MODELS_URL", mirror.url)
    monkeypatch.setitem(PUBLISHED, "tiny", model)
    assert main(["models", "pull", "tiny"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'm' / 'tiny.pth'}\n"
    save(tmp_path / "m" / "own.pth", SMALL["rrdb x2"])
    assert main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert rows["tiny"]["installed"]
    assert rows["own"]["installed"]
    assert not rows["own"]["published"]
    assert not rows[GENERAL]["installed"]
    assert main(["models", "verify"]) == 0
    out = capsys.readouterr().out
    assert "tiny: the published file, srvgg ×4, loads" in out
    assert "rrdb ×2, loads" in out
    (tmp_path / "m" / "tiny.pth").write_bytes(b"damaged")
    assert main(["models", "verify", "tiny"]) == 1
    assert "models pull tiny" in capsys.readouterr().out
    assert main(["models", "pull", "nonsense"]) == 2
    assert "not a published model" in capsys.readouterr().err
