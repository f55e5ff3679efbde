"""The spline of keyframes, by the table that the page's own spline is tested with, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jupyter_export.media.path import Path as Keyframes

#: Worked out in exact fractions from the polynomial form, not from the code.
TABLE = json.loads(Path(__file__).with_name("path_table.json").read_text())


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["name"])
def test_a_path_goes_where_the_table_says(case: dict[str, Any]) -> None:
    path = Keyframes.from_json(case)
    for time, value in case["values"]:
        assert path.at(time) == pytest.approx(value, abs=1e-9)
