"""Which bytes a Range header takes (RFC 9110, 14.2)."""

from __future__ import annotations

import pytest

from jupyter_export.server.files import TYPES, Unsatisfiable, byte_range
from jupyter_export.spec import OUTPUT_SUFFIXES


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("bytes=0-", (0, 1000)),
        ("bytes=0-0", (0, 1)),
        ("bytes=200-499", (200, 500)),
        ("bytes=999-", (999, 1000)),
        ("bytes=900-5000", (900, 1000)),
        ("bytes=-100", (900, 1000)),
        ("bytes=-5000", (0, 1000)),
        # Not understood, or of no use: the whole file.
        ("bytes=500-200", None),
        ("bytes=-", None),
        ("bytes=0-1,5-9", None),
        ("bytes=a-b", None),
        ("bytes=٣-", None),
        ("seconds=1-2", None),
        ("", None),
        ("bytes=" + "9" * 4000 + "-", None),
    ],
)
def test_a_range_is_taken_as_the_standard_has_it(
    header: str, taken: tuple[int, int] | None
) -> None:
    assert byte_range(header, 1000) == taken


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        byte_range(header, 1000)


def test_every_file_that_can_be_made_has_a_type() -> None:
    assert set(OUTPUT_SUFFIXES) <= set(TYPES)
