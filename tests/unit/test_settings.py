"""Settings: documented, from the environment, and never silently wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jupyter_export.errors import SpecError
from jupyter_export.settings import Settings, environment_name

README = Path(__file__).parents[2] / "README.md"


def test_every_setting_is_in_the_readme_as_it_is_in_the_code() -> None:
    text = README.read_text()
    match = re.search(r"<!-- settings -->\n(.*?)<!-- /settings -->", text, re.DOTALL)
    assert match
    assert match[1] == settings_table(), "run: python tests/unit/test_settings.py"


def test_the_environment_sets_every_kind_of_trait(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "max_concurrent_exports": "5",
        "force_cpu": "1",
        "encoder_priority": "qsv, software",
        "segment_seconds": "2.5",
        "data_dir": "/somewhere",
    }.items():
        monkeypatch.setenv(environment_name(name), value)
    settings = Settings()
    assert settings.max_concurrent_exports == 5
    assert settings.force_cpu is True
    assert settings.encoder_priority == ["qsv", "software"]
    assert settings.segment_seconds == 2.5
    assert settings.cache_path == Path("/somewhere/segments")


def test_a_worker_gets_the_settings_of_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings(
        models_dir="/models", force_cpu=True, encoder_priority=["qsv"], segment_seconds=2.5
    )
    for name, value in given.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings().trait_values() == given.trait_values()


def test_an_explicit_value_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_EXPORT_MAX_CONCURRENT_EXPORTS", "5")
    assert Settings(max_concurrent_exports=2).max_concurrent_exports == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("MAX_CONCURRENT_EXPORTS", "many"), ("MAX_CONCURRENT_EXPORTS", "0"), ("FORCE_CPU", "maybe")],
)
def test_a_wrong_variable_is_refused_by_name(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"JUPYTER_EXPORT_{name}", value)
    with pytest.raises(SpecError, match=f"JUPYTER_EXPORT_{name}='{value}'"):
        Settings()


def settings_table() -> str:
    rows = ["| setting | default | what it does |", "| --- | --- | --- |"]
    for name, trait in sorted(Settings.class_own_traits().items()):
        default = trait.default()
        shown = ", ".join(default) if isinstance(default, list) else repr(default)
        rows.append(f"| `{name}` | `{shown.strip(chr(39)) or chr(34) * 2}` | {trait.help} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    README.write_text(
        re.sub(
            r"(<!-- settings -->\n).*?(<!-- /settings -->)",
            lambda m: m[1] + settings_table() + m[2],
            README.read_text(),
            flags=re.DOTALL,
        )
    )
