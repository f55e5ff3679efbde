"""Specs written in Python: what a cell says, and what it is told when it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import jupyter_export as jx
from jupyter_export.errors import SpecError
from jupyter_export.spec import Source, parse


def test_clips_are_paths_ranges_sources_or_json() -> None:
    written = jx.concat(
        "a.mp4",
        Path("b.mp4"),
        ("c.mp4", 1, 2.5),
        jx.source("d.mp4", 3, speed=2),
        Source(path="e.mp4", end=4),
        {"path": "f.mp4"},
        output="all.mp4",
        transition="dissolve",
        seconds=0.5,
        fps=25,
    )
    assert written == parse(
        {
            "kind": "concat",
            "sources": [
                {"path": "a.mp4"},
                {"path": "b.mp4"},
                {"path": "c.mp4", "start": 1, "end": 2.5},
                {"path": "d.mp4", "start": 3, "speed": [{"start": 0, "end": 1e7, "rate": 2}]},
                {"path": "e.mp4", "end": 4},
                {"path": "f.mp4"},
            ],
            "transition": {"type": "dissolve", "seconds": 0.5},
            "output": "all.mp4",
            "encoding": {"fps": 25},
        }
    )


def test_a_comparison_is_written_before_and_after() -> None:
    crop = {
        "type": "crop",
        "size": (64, 64),
        "keyframes": [{"time": 0, "x": 0, "y": 0, "width": 64, "height": 64}],
    }
    spec = jx.compare(
        "raw.mp4", jx.source("raw.mp4", effects=[crop]), layout="wipe", output="o.mp4"
    )
    assert spec.compare is not None
    assert spec.compare.layout == "wipe"
    assert not spec.compare.with_.effects
    assert len(spec.sources[0].effects) == 1


def test_framing_takes_ranges_speed_and_rotation() -> None:
    spec = jx.framing(
        "a.mp4", ranges=[(0, 1), (4, None)], speed=[(0.5, 1, 0.25)], rotate=90, output="o.gif"
    )
    assert [(s.start, s.end) for s in spec.sources] == [(0, 1), (4, None)]
    for source in spec.sources:
        assert [(r.start, r.end, r.rate) for r in source.speed] == [(0.5, 1, 0.25)]
        assert [e.type for e in source.effects] == ["rotate"]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: jx.concat(output="o.mp4"), "sources"),
        (lambda: jx.concat("a.mp4", output="o.mp4", transition="swirl"), "transition.type"),
        (lambda: jx.concat("a.mp4", output="o.mp4", fsp=25), "encoding.fsp"),
        (lambda: jx.framing("a.mp4", output="o.mp4"), "sources[0].effects"),
        (lambda: jx.framing("a.mp4", speed=99, output="o.mp4"), "sources[0].speed[0].rate"),
        (lambda: jx.framing("a.mp4", size=(64, 64), output="o.mp4"),
         "sources[0].effects[0].keyframes"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_with_its_field(make: Any, field: str) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("output", "encoding", "field", "advice"),
    [
        ("o.webm", {}, "encoding.codec", "use codec av1"),
        ("o.mov", {"codec": "av1"}, "encoding.codec", "an output in .mp4"),
        ("o.mp4", {"audio": "flac"}, "encoding.audio", "an output in .mkv"),
        ("o.webm", {"codec": "av1", "audio": "aac"}, "encoding.audio", "use audio opus"),
        ("o.mov", {"audio": "opus"}, "encoding.audio", "use audio aac"),
        ("o.gif", {"audio": "aac"}, "encoding.audio", "leave audio out"),
        ("o.gif", {"fps": 60}, "encoding.fps", "50 fps at most"),
        ("o.webp", {"size": [2000, 1000]}, "encoding.size", "at most 1280 pixels"),
        ("o.gif", {"encoder": "libx264"}, "encoding.encoder", "use auto"),
        ("o.webm", {"quality": "lossless"}, "output", "a name in .mkv"),
        ("o.avi", {}, "output", ".mp4"),
    ],
)
def test_what_does_not_go_into_a_container_is_refused_with_what_does(
    output: str, encoding: dict[str, Any], field: str, advice: str
) -> None:
    with pytest.raises(SpecError, match=advice) as caught:
        parse(
            {
                "kind": "clip",
                "sources": [{"path": "a.mp4"}],
                "output": output,
                "encoding": encoding,
            }
        )
    assert caught.value.field == field
