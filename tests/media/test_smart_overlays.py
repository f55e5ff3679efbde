"""Drawn in: only the groups of pictures that an effect touches are rendered, and only once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from effects_support import annotation, highlight, region
from smart_support import copied_frames, made
from support import Exported, complaints, decode, export_here


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty seconds at 25 fps, a keyframe every second."""
    folder = tmp_path_factory.mktemp("overlays")
    made(folder / "a.mp4", seconds=30)
    return folder


def boxes(count: int) -> list[dict[str, Any]]:
    """Half a second each, one every three seconds."""
    return [
        annotation("box", x=40, y=20, width=60, height=50, fill="#ffffff", fill_opacity=1)
        | {"start": 3 * n + 0.4, "end": 3 * n + 0.9}
        for n in range(count)
    ]


def drawn(root: Path, tmp_path: Path, effects: list[Any], **source: Any) -> Exported:
    spec = {
        "kind": "annotate" if any(e["type"] == "annotation" for e in effects) else "overlay",
        "sources": [{"path": "a.mp4", **source}],
        "effects": effects,
        "output": "o.mp4",
    }
    return export_here(spec, root, tmp_path)


def assert_drawn_at(done: Exported, expected: np.ndarray, touched: list[tuple[int, int]]) -> None:
    out = decode(done.path)
    assert complaints(done.path) == ""
    assert len(out.luma) == len(expected)
    copied = copied_frames(done)
    for k, (ours, theirs) in enumerate(zip(out.luma, expected, strict=True)):
        assert (ours == theirs).all() or not copied[k]
        white = (ours[25:65, 50:90] > 225).all()
        assert white == any(i <= k < j for i, j in touched), k
        assert not (white and copied[k])


def test_only_what_annotations_touch_is_rendered(root: Path, tmp_path: Path) -> None:
    done = drawn(root, tmp_path, boxes(10))
    touched = [(75 * n + 10, 75 * n + 23) for n in range(10)]
    assert_drawn_at(done, decode(root / "a.mp4").luma, touched)
    kinds = [s["kind"] for s in done.plan["segments"]]
    assert kinds.count("render") == 10
    # At most the groups of pictures that the boxes are in.
    assert copied_frames(done).count(False) <= 10 * 25


def test_one_changed_annotation_renders_one_segment(root: Path, tmp_path: Path) -> None:
    effects = boxes(10)
    assert drawn(root, tmp_path, effects).rendered == [True] * 10
    effects[4] |= {"fill": "#f8f8f8"}
    again = drawn(root, tmp_path, effects)
    assert again.rendered == [n == 4 for n in range(10)]
    effects[7] |= {"end": effects[7]["end"] + 1}
    again = drawn(root, tmp_path, effects)
    assert again.rendered == [n == 7 for n in range(10)]


def test_effects_of_a_source_are_in_its_time(root: Path, tmp_path: Path) -> None:
    (box,) = boxes(1)
    box |= {"start": 5, "end": 6}
    spec = {
        "kind": "annotate",
        "sources": [{"path": "a.mp4", "start": 3.4, "end": 9, "effects": [box]}],
        "output": "o.mp4",
    }
    done = export_here(spec, root, tmp_path)
    assert_drawn_at(done, decode(root / "a.mp4").luma[85:225], [(40, 65)])
    assert copied_frames(done)[65:] == [True] * 75


def test_a_highlight_all_along_leaves_nothing_to_copy(root: Path, tmp_path: Path) -> None:
    done = drawn(root, tmp_path, [highlight(region(80, 50, 20))], start=0, end=2)
    assert done.plan["notes"] == ["Rendered: effects touch every group of pictures."]
    assert not any(copied_frames(done))
