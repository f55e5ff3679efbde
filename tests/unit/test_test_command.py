"""What the test command says of tests that fail: once, always, and many of them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

ONCE = """
from pathlib import Path

def test_once():
    seen = Path(__file__).with_suffix(".seen")
    if not seen.exists():
        seen.touch()
        raise AssertionError
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The test command, for a project whose tests all pass."""
    place = Path(__file__).parents[1] / "run.py"
    found = importlib.util.spec_from_file_location("test_command", place)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    for folder in (*module.WAITING, *module.COMPUTING, "tests/others"):
        write(tmp_path / folder, "def test_it(): pass")
    return module


def write(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath(f"test_{folder.name}.py").write_text(text)


def test_all_pass(command: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert command.run_all(Path(sys.executable)) == 0
    told = capfd.readouterr().out
    assert "passed: tests/others" in told and "once more" not in told


def test_what_fails_once_is_named_and_passes(
    command: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "tests" / "hub", ONCE)
    write(tmp_path / "tests" / "unit", ONCE)
    assert command.run_all(Path(sys.executable)) == 0
    told = capfd.readouterr().out
    assert "failed at first, passed alone: tests/hub/test_hub.py::test_once" in told
    assert "failed at first, passed alone: tests/unit/test_unit.py::test_once" in told
    assert told.count("passed: tests/") == 3


def test_what_fails_again_fails(
    command: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "tests" / "others", "def test_it(): assert False")
    assert command.run_all(Path(sys.executable)) == 1
    told = capfd.readouterr().out
    assert "failed: tests/others" in told and "failed at first" not in told


def test_many_failures_are_no_accident(
    command: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    many = "import pytest\n" + ONCE.replace(
        "def test_once():",
        "@pytest.mark.parametrize('n', range(4))\ndef test_once(n):",
    ).replace('".seen"', 'f".{n}"')
    write(tmp_path / "tests" / "others", many)
    assert command.run_all(Path(sys.executable)) == 1
    assert "once more" not in capfd.readouterr().out


def test_what_cannot_be_imported_fails(command: Any, tmp_path: Path) -> None:
    write(tmp_path / "tests" / "others", "import no_such_module_anywhere")
    assert command.run_all(Path(sys.executable)) == 1
