"""The documentation: its examples work, its links lead somewhere, and it leaves nothing out."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docs_pages import DOCS, PAGES, PASSED_ON, error_texts, page_texts, troubleshooting_page
from support import ffmpeg

import jupyter_export as jx
from jupyter_export.app import ExportApp
from jupyter_export.errors import ExportError
from jupyter_export.media.probe import probe
from jupyter_export.settings import Settings
from jupyter_export.spec import parse
from jupyter_export.upscale.weights import load
from jupyter_export.workers.tasks import inspect

REPOSITORY = Path(__file__).parents[2]
TEXTS = [
    REPOSITORY / "README.md",
    REPOSITORY / ".github" / "CONTRIBUTING.md",
    *sorted(DOCS.glob("*.md")),
]
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_code_says(name: str) -> None:
    page = (DOCS / name).read_text()
    assert page == PAGES[name](), "run: python tests/docs_pages.py"


def test_every_setting_says_what_it_does() -> None:
    for name, trait in Settings.class_own_traits().items():
        assert len(trait.help.split()) > 3 and trait.help.endswith("."), name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the guides' `match.mp4` is."""
    path = tmp_path_factory.mktemp("guides")
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30:duration=5"),
        *("-f", "lavfi", "-i", "sine=duration=5", "-pix_fmt", "yuv420p", "-g", 30),
        path / "match.mp4",
    )
    return path


GUIDES = [path for path in TEXTS if PYTHON.search(path.read_text())]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_the_examples_of_the_guide_can_be_exported(
    page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for code in PYTHON.findall(page.read_text()):
        compiled = compile(code, page.name, "exec")
        if re.search(r"^c\.", code, re.MULTILINE):  # a part of a configuration file
            settings = set(re.findall(r"^c\.ExportApp\.(\w+)", code, re.MULTILINE))
            assert settings <= set(ExportApp.class_trait_names())
        else:
            exec(compiled, names)
    specs = [value for value in names.values() if isinstance(value, jx.ExportSpec)]
    specs += names.get("specs", [])
    assert specs or "jx" not in names, "the page shows no export"
    for spec in specs:
        if any(e.type == "upscale" for s in spec.sources for e in s.effects):
            continue  # there is no model
        body = spec.model_dump(mode="json")
        told = inspect({"root": str(folder), "spec": body, "allow_hidden": False}, None)  # type: ignore[arg-type]
        assert told["width"]


def test_links_lead_somewhere() -> None:
    for page in TEXTS:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]*)(?:#[^)]*)?\)", text):
            if target and not target.startswith(("http:", "https:")):
                assert (page.parent / target).exists(), f"{page.name} → {target}"


def test_anchors_are_headings() -> None:
    for page in TEXTS:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]*)\)", page.read_text()):
            if target.startswith(("http:", "https:")):
                continue
            other = (page.parent / target) if target else page
            headings = re.findall(r"^#+ (.*)$", other.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings}
            assert anchor in slugs, f"{page.name} → {target}#{anchor}"


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or f"]({page.name}" in index, page.name


def test_the_effect_of_the_contributors_page_is_the_one_that_is_tested() -> None:
    code = (REPOSITORY / "tests" / "plugin" / "invert_effect.py").read_text().strip()
    assert code in (REPOSITORY / ".github" / "CONTRIBUTING.md").read_text()


def _wrong_spec(folder: Path) -> None:
    parse({"kind": "clip", "sources": [{"path": "a.mp4", "start": 3, "end": 2}], "output": "o.mp4"})


def _odd_size(folder: Path) -> None:
    jx.clip("a.mp4").encode(size=(33, 20))


def _no_film(folder: Path) -> None:
    (folder / "page.mp4").write_text("<html>")
    probe(folder / "page.mp4")


def _no_model(folder: Path) -> None:
    (folder / "model.pth").write_bytes(b"PK\x03\x04 nothing")
    load(folder / "model.pth")


def _crop_outside(folder: Path) -> None:
    spec = jx.clip("match.mp4").crop((600, 0, 320, 240)).model_dump(mode="json")
    inspect({"root": str(folder), "spec": spec, "allow_hidden": False}, None)  # type: ignore[arg-type]


def _value(*where: str | int, value: Any) -> Callable[[Path], None]:
    """A spec with a wrong value somewhere."""

    def wrong(folder: Path) -> None:
        spec: Any = json.loads(WHOLE.model_dump_json())
        inner = spec
        for part in where[:-1]:
            inner = inner[part]
        inner[where[-1]] = value
        parse(spec)

    return wrong


CROP = ("sources", 0, "effects", 0)
WHOLE = jx.clip("a.mp4", 0, 2).crop(
    [{"time": 0, "x": 0, "y": 0, "width": 64, "height": 64}], (64, 64)
)
WRONG_VALUES = [
    _value("sources", value=[{}]),
    _value("sources", value=[]),
    _value("sources", value=7),
    _value("sources", value=[7]),
    _value("sources", 0, "start", value="soon"),
    _value("sources", 0, "start", value=[]),
    _value("sources", 0, "start", value=float("nan")),
    _value("sources", 0, "start", value=-1),
    _value("sources", 0, "path", value=7),
    _value("sources", 0, "path", value=""),
    _value("sources", 0, "path", value="a" * 5000),
    _value("encoding", "codec", value="divx"),
    _value("encoding", "smart", value="perhaps"),
    _value("encoding", "smart", value=[]),
    _value("encoding", "fsp", value=25),
    _value("kind", value="film"),
    _value("project", value=""),
    _value("project", value="p" * 300),
    _value(*CROP, "type", value="trim"),
    _value(*CROP, value={}),
    _value(*CROP, "size", value=[64]),
    _value(*CROP, "size", value=[64, 64, 64]),
    _value(*CROP, "size", value=["a", 64]),
    _value(*CROP, "size", value=[64.5, 64]),
    _value(*CROP, "size", value=[None, 64]),
    _value(*CROP, "size", value=[0, 64]),
    _value(*CROP, "size", value=[10**6, 64]),
    _value(*CROP, "keyframes", value=[]),
    _value(*CROP, "keyframes", 0, "width", value=0),
]


def _no_extension(folder: Path) -> None:
    """What a server without exports answers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request).start()
        jx.connect(f"http://127.0.0.1:{server.server_port}", "token")


@pytest.mark.parametrize(
    "wrong",
    [_wrong_spec, _odd_size, _no_film, _no_model, _crop_outside, _no_extension, *WRONG_VALUES],
)
def test_what_an_error_says_is_in_the_troubleshooting_page(
    wrong: Callable[[Path], None], folder: Path
) -> None:
    with pytest.raises(ExportError) as raised:
        wrong(folder)
    error = raised.value
    section = troubleshooting_page().split(f"(`{error.type()}`)\n", 1)[1].split("\n## ")[0]
    said = [row.split(" | ")[0].removeprefix("| ") for row in section.splitlines() if " | " in row]
    patterns = [".*".join(map(re.escape, text.replace("\\|", "|").split("…"))) for text in said]
    found = [p for p in patterns if re.fullmatch(p, error.detail, re.IGNORECASE | re.DOTALL)]
    # Not by a row that would stand for anything.
    assert any(len(p.replace(".*", "").split()) > 1 for p in found), error


def test_no_error_has_a_text_that_is_not_in_the_troubleshooting_page() -> None:
    unread = {text for name, text, _ in error_texts() if not name}
    assert unread == PASSED_ON, "write the text where the error is made, or see PASSED_ON"


def test_what_the_pages_of_the_browser_say_is_in_the_troubleshooting_page() -> None:
    page = troubleshooting_page()
    sources = [path.read_text() for path in (REPOSITORY / "js" / "src").rglob("*.ts*")]
    thrown = sum(text.count("new FieldError(") for text in sources)
    told = page_texts()
    # Two of them share a text; three more are no FieldErrors.
    assert len(told) == thrown - 1 + 3
    assert all(f"- {text}" in page for text in told)
