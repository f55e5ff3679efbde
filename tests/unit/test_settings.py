"""Settings: documented, from the environment, and never silently wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_export.errors import SpecError
from jupyter_export.settings import Settings, environment_name


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
