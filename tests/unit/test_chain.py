"""Specs as values: each step of a chain gives a new one, and says what the words say."""

from __future__ import annotations

from typing import Any

import pandas
import pytest

import jupyter_export as jx
from jupyter_export.errors import SpecError
from jupyter_export.spec import Text

BOXES = pandas.DataFrame(
    {"time": [1.0, 1.5, 2.0], "x": [10, 20, 30], "y": 5.0, "width": 40, "height": 60, "id": 7}
)


def effects(spec: jx.ExportSpec) -> list[str]:
    return [effect.type for effect in spec.sources[0].effects]


def test_a_chain_reads_like_what_it_does_and_leaves_what_it_began_with() -> None:
    clip = jx.clip("match.mp4", 12, 20)
    goal = clip.crop((600, 0, 405, 720)).upscale(2).rotate(90).to("goal.mp4").encode(codec="hevc")
    assert effects(goal) == ["crop", "upscale", "rotate"]
    assert (goal.kind, goal.output, goal.encoding.codec) == ("framing", "goal.mp4", "hevc")
    (crop, *_) = goal.sources[0].effects
    assert (crop.size, crop.keyframes[0].x) == ((404, 720), 600)
    assert (clip.kind, effects(clip), clip.output) == ("clip", [], "match-export-12-20.mp4")
    assert clip == jx.clip("match.mp4", 12, 20)
    assert {clip: "specs are values"}[jx.clip("match.mp4", 12, 20)]


def test_a_chain_gives_what_the_constructors_give() -> None:
    made = jx.clip("a.mp4", 1, 2).crop(BOXES, (320, 180), smooth="gaussian")
    keyframes = jx.crop_path(BOXES, (320, 180), smooth="gaussian")
    assert made == jx.framing("a.mp4", 1, 2, size=(320, 180), keyframes=keyframes)
    made = jx.clip("a.mp4", 1, 2).highlight(BOXES, look={"shape": "ground"})
    assert made == jx.overlay("a.mp4", 1, 2, highlights=jx.highlights(BOXES, shape="ground"))
    text = Text(text="Goal!", x=0.0, y=0.0)
    made = jx.clip("a.mp4", 1, 2).annotate(text, {"kind": "timecode", "anchor": "top"})
    assert made == jx.annotate(
        "a.mp4", 1, 2, annotations=[text, {"kind": "timecode", "anchor": "top"}]
    )
    assert jx.clip("a.mp4").speed(2) == jx.framing("a.mp4", speed=2)


def test_the_kind_is_the_word_for_what_is_done_most() -> None:
    clip = jx.clip("a.mp4", 1, 2)
    noted = clip.annotate({"kind": "timecode", "anchor": "top"})
    lit = noted.highlight(BOXES)
    cropped = lit.crop((0, 0, 64, 64))
    assert [s.kind for s in (clip, noted, lit, cropped)] == [
        "clip",
        "annotate",
        "overlay",
        "framing",
    ]


def test_clips_are_joined_with_all_that_is_done_to_them() -> None:
    slow = jx.clip("b.mp4", 3, 4).speed(0.5)
    joined = jx.clip("a.mp4", 1, 2).then(slow, ("c.mp4", 0, 1), transition="fade", seconds=0.5)
    assert joined.kind == "concat"
    assert [source.path for source in joined.sources] == ["a.mp4", "b.mp4", "c.mp4"]
    assert joined.sources[1].speed == slow.sources[0].speed
    assert (joined.transition.type, joined.transition.seconds) == ("fade", 0.5)
    with pytest.raises(SpecError, match="before they are joined"):
        joined.crop((0, 0, 64, 64))


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (jx.clip("film/match.mov"), "film/match-export.mp4"),
        (jx.clip("match.mp4", 0.5, 2.25), "match-export-0.5-2.25.mp4"),
        (jx.clip("match.mp4", 3), "match-export-3.mp4"),
        (jx.clip("match.mp4", quality="lossless"), "match-export.mkv"),
        (jx.concat("a.mp4", "b.mp4"), "a-joined.mp4"),
        (jx.compare("a.mp4", "b.mp4"), "b-compared.mp4"),
    ],
)
def test_an_output_that_nobody_named_has_the_name_of_its_source(
    made: jx.ExportSpec, name: str
) -> None:
    assert made.output == name


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: jx.clip("a.mp4").crop(BOXES), "size"),
        (lambda: jx.clip("a.mp4").crop((0, 0, 64, 64), (63, 64)), "sources[0].effects[0].size"),
        (lambda: jx.clip("a.mp4").upscale(), "sources[0].effects[0].scale"),
        (lambda: jx.clip("a.mp4").to("a.txt"), "output"),
        (lambda: jx.clip("a.mp4", "soon"), "sources[0].start"),  # type: ignore[arg-type]
        (lambda: jx.clip(""), "sources[0].path"),
        (lambda: jx.compare("a.mp4", "b.mp4").then("c.mp4"), "effects"),
    ],
)
def test_what_is_wrong_with_a_step_is_said_with_its_field(make: Any, field: str) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert caught.value.field == field


def test_rows_as_dicts_are_grown_to_the_shape_of_the_crop_as_any_other_table() -> None:
    rows = BOXES.to_dict("records")
    clip = jx.clip("match.mp4", 1, 2)
    crops = [
        clip.crop(table, size=(480, 480), picture=(1280, 720), margin=0.2).sources[0].effects[0]
        for table in (BOXES, rows)
    ]
    assert crops[0] == crops[1]
    assert {k.width / k.height for k in crops[1].keyframes} == {1.0}
