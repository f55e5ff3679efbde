"""What the repository's notebooks keep of their last run."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
ALL_BYTES = 1_500_000

MACHINE = re.compile(r"(?<![\w.)/:])/(?:home|root|tmp|work|usr|opt|var|mnt|srv|Users|private)/\S*")
SECRET = re.compile(r"token[=:]\s*\S+|[?&]token=|https?://(?:localhost|127\.0\.0\.1|\[::1\])", re.I)
LINK = re.compile(r"\]\((?!https?:|#|attachment:)([^)]+)\)")


def read(name: str) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads((FOLDER / f"{name}.ipynb").read_text())
    return notebook


def words(notebook: dict[str, Any]) -> str:
    """All that it says: sources and outputs, without the pictures."""
    kept = []
    for cell in notebook["cells"]:
        kept.append("".join(cell["source"]))
        for output in cell.get("outputs", ()):
            data = dict(output.get("data", {}))
            data.pop("image/jpeg", None)
            kept.append(json.dumps([data, output.get("text", "")], ensure_ascii=False))
    return "\n".join(kept)


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for cell in notebook["cells"] for each in cell.get("outputs", ())]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_was_run_from_top_to_bottom_without_an_error(name: str) -> None:
    notebook = read(name)
    counts = [c["execution_count"] for c in notebook["cells"] if c["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert [each for each in outputs(notebook) if each["output_type"] == "error"] == []
    assert "Traceback" not in words(notebook)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_tells_nothing_of_the_machine_it_was_run_on(name: str) -> None:
    said = words(read(name))
    assert MACHINE.findall(said) == []
    assert SECRET.findall(said) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_shows_pictures_where_nothing_runs(name: str) -> None:
    shown = [each["data"]["image/jpeg"] for each in outputs(read(name)) if "data" in each
             and "image/jpeg" in each["data"]]  # fmt: skip
    assert len(shown) >= 2
    for data in shown:
        picture = Image.open(io.BytesIO(base64.b64decode("".join(data))))
        picture.load()
        assert picture.width <= 640


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_keeps_no_state_of_widgets_and_no_films(name: str) -> None:
    notebook = read(name)
    assert "widgets" not in notebook["metadata"]
    kinds = {kind for each in outputs(notebook) for kind in each.get("data", {})}
    assert "application/vnd.jupyter.widget-view+json" not in kinds
    assert "data:video" not in words(notebook)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_notebook_links_to_is_there(name: str) -> None:
    told = "\n".join("".join(c["source"]) for c in read(name)["cells"] if c["cell_type"] != "code")
    missing = [link for link in LINK.findall(told) if not (FOLDER / link.split("#")[0]).exists()]
    assert missing == []


def test_all_notebooks_together_stay_small() -> None:
    assert NAMES
    assert sum(path.stat().st_size for path in FOLDER.glob("*.ipynb")) < ALL_BYTES
