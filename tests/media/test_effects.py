"""What holds for every effect, by the interface that they share."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from effects_support import (
    MODELS,
    annotation,
    frame_of,
    highlight,
    picture_of,
    planes,
    region,
    resolved,
    steps,
)

from jupyter_export.media.effects import effect
from jupyter_export.media.effects.base import PLANAR_8BIT

MOVING = [
    {"time": 1, "x": 31.3, "y": 40.7, "radius_x": 21, "radius_y": 13, "color": "#ff0000"},
    {"time": 2, "x": 90.1, "y": 33.3, "radius_x": 30, "radius_y": 17, "stroke_opacity": 0.4},
    {"time": 4, "x": 77.7, "y": 90.9, "radius_x": 9, "radius_y": 25, "fill_opacity": 0.8},
]
PLACES = [{"time": 1, "x": 11.3, "y": 9.7}, {"time": 2, "x": 70, "y": 70.5, "opacity": 0.2}]
PLACES.append({"time": 4, "x": 50.2, "y": 3})
LIFE = {"start": 1, "end": 3}
CROP = [{"time": 1, "x": 3, "y": 5, "width": 80, "height": 60}]
CROP.append({"time": 3, "x": 60.4, "y": 31.5, "width": 100, "height": 75})

SPECS: dict[str, dict[str, Any]] = {
    "crop": {"type": "crop", "size": [96, 72], "keyframes": CROP},
    "quarter turn": {"type": "rotate", "angle": 90},
    "quarter turn back": {"type": "rotate", "angle": -90},
    "half turn": {"type": "rotate", "angle": 180},
    "slant": {"type": "rotate", "angle": 7.5},
    "ellipse": highlight(MOVING, **LIFE),
    "box": highlight(MOVING, shape="box", corner_radius=5, **LIFE),
    "ground": highlight(MOVING, shape="ground", **LIFE),
    "brighten": highlight(MOVING, effect="brighten", feather=6, **LIFE),
    "dim outside": highlight(MOVING, effect="dim_outside", shape="box", **LIFE),
    **{
        f"{shape}, {look}": highlight(MOVING, shape=shape, effect=look, feather=3, **LIFE)
        for shape, look in (
            ("ellipse", "dim_outside"),
            ("box", "brighten"),
            ("ground", "brighten"),
            ("ground", "dim_outside"),
        )
    },
    "text": annotation("text", text="Ünï\nשלום", size=20, background="#202020", x=7, y=5, **LIFE),
    "moving text": annotation("text", text="ab", size=20, outline=1.5, keyframes=PLACES, **LIFE),
    "drawn box": annotation(
        "box", x=20.5, y=31, width=33, height=17, fill="#00ff00", corner_radius=4, **LIFE
    ),
    "arrow": annotation("arrow", x=99, y=31, from_x=31, from_y=80, outline=1, **LIFE),
    "timecode": annotation("timecode", size=16, background="#000000", **LIFE),
    "frame number": annotation("frame_number", size=16, rate=25, anchor="bottom", **LIFE),
}
every_effect = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
TIMES = [Fraction(n, 25) for n in (25, 31, 50, 74)]


def results(spec: dict[str, Any], frame: Any, times: list[Fraction]) -> list[list[np.ndarray]]:
    (step,) = steps([spec], picture_of(frame))
    return [planes(step(frame, time)) for time in times]


@every_effect
@pytest.mark.parametrize("pix_fmt", PLANAR_8BIT)
def test_an_effect_gives_what_it_promises_and_leaves_its_input_alone(
    spec: dict[str, Any], pix_fmt: str
) -> None:
    frame = frame_of(pix_fmt=pix_fmt)
    before = planes(frame)
    model = MODELS.validate_python(spec)
    promised = effect(model.type).output(model, picture_of(frame))
    (step,) = steps([spec], picture_of(frame))

    result = step(frame, Fraction(2))

    assert picture_of(result) == promised
    assert (result.colorspace, result.color_range) == (frame.colorspace, frame.color_range)
    assert all(np.array_equal(a, b) for a, b in zip(planes(frame), before, strict=True))
    changed = planes(result)
    assert any(a.shape != b.shape or (a != b).any() for a, b in zip(changed, before, strict=True))


@every_effect
def test_an_effect_depends_on_the_frame_and_its_time_alone(spec: dict[str, Any]) -> None:
    frame = frame_of()
    forwards = results(spec, frame, TIMES)
    backwards = results(spec, frame, TIMES[::-1])[::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@every_effect
def test_an_effect_resolved_for_a_part_gives_the_pixels_of_the_whole(spec: dict[str, Any]) -> None:
    frame = frame_of()
    whole = results(spec, frame, TIMES)
    for time, expected in zip(TIMES, whole, strict=True):
        span = (float(time), float(time) + 0.04)
        (step,) = steps([spec], picture_of(frame), span)
        got = planes(step(frame, time))
        assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


@every_effect
def test_outside_of_its_span_an_effect_is_not_there(spec: dict[str, Any]) -> None:
    frame = frame_of()
    model = MODELS.validate_python(spec)
    start, end = effect(model.type).span(model)
    if end == float("inf"):
        return
    assert resolved(spec, picture_of(frame), (0, start)) is None
    assert resolved(spec, picture_of(frame), (end, end + 9)) is None
    (step,) = steps([spec], picture_of(frame))
    assert step(frame, Fraction(24, 25)) is frame
    assert step(frame, Fraction(1)) is not frame
    assert step(frame, Fraction(3)) is frame


@every_effect
def test_a_change_elsewhere_leaves_the_parameters_of_a_range(spec: dict[str, Any]) -> None:
    """The segment's name is made of them: it must stay in the cache."""
    model = MODELS.validate_python(spec)
    if not hasattr(model, "end"):
        return
    picture = picture_of(frame_of())
    later = {**spec, "end": 7}
    if "keyframes" in spec:
        late = {**spec["keyframes"][-1], "time": 6, "x": 1}
        later["keyframes"] = [*spec["keyframes"], late]
    assert resolved(spec, picture, (1, 1.5)) == resolved(later, picture, (1, 1.5))


@every_effect
def test_a_frame_without_a_change_costs_nothing(spec: dict[str, Any]) -> None:
    """Neighbours share one copy, and where none of them draws there is none."""
    frame = frame_of()
    model = MODELS.validate_python(spec)
    if model.type not in ("highlight", "annotation"):
        return
    (both,) = steps([spec, SPECS["arrow"]], picture_of(frame))
    assert both(frame, Fraction(0)) is frame


def test_neighbours_that_draw_give_what_one_after_the_other_gives() -> None:
    frame = frame_of()
    names = ("ellipse", "text", "brighten", "timecode")
    (together,) = steps([SPECS[name] for name in names], picture_of(frame))
    apart = frame
    for name in names:
        (step,) = steps([SPECS[name]], picture_of(frame))
        apart = step(apart, Fraction(2))
    got, expected = planes(together(frame, Fraction(2))), planes(apart)
    assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("pix_fmt", PLANAR_8BIT)
@pytest.mark.parametrize("x,y", [(-500, 60), (900, 60), (80, -500), (80, 900), (0, 0), (161, 121)])
def test_what_lies_partly_or_wholly_outside_of_the_picture_is_cut_off(
    pix_fmt: str, x: int, y: int
) -> None:
    frame = frame_of(pix_fmt=pix_fmt)
    specs = [
        highlight(region(x, y, 40.5, 21), shape=shape, effect=look, stroke_width=5)
        for shape in ("ellipse", "box", "ground")
        for look in ("outline", "brighten")
    ]
    specs.append(annotation("text", text="far", x=x, y=y, anchor="center", background="#ffffff"))
    specs.append(annotation("arrow", x=x, y=y, from_x=x + 60, from_y=y - 41))
    specs.append(annotation("box", x=x - 30.5, y=y - 9, width=61, height=18, fill="#123456"))
    specs.append(annotation("frame_number", rate=25, x=x, y=y, anchor="center"))
    (step,) = steps(specs, picture_of(frame))
    got = planes(step(frame, Fraction(1)))
    near = x in (0, 161)
    assert near != all(np.array_equal(a, b) for a, b in zip(got, planes(frame), strict=True))


def test_another_package_adds_an_effect_by_an_entry_point(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from support import decode, export_here, ffmpeg
folder = Path(sys.argv[2])
ffmpeg("-f", "lavfi", "-i", "color=gray:s=64x48:r=10:d=1", "-c:v", "ffv1", folder / "in.mkv")
source = {"path": "in.mkv", "effects": [{"type": "invert", "start": 0.5}]}
spec = {"kind": "framing", "sources": [source], "output": "out.mkv",
        "encoding": {"quality": "lossless"}}
done = export_here(spec, folder, folder)
luma = decode(done.path).luma
before = decode(folder / "in.mkv").luma
assert (luma[:5] == before[:5]).all()
assert (luma[5:] == 255 - before[5:]).all()
"""
    tests = Path(__file__).parent.parent
    path = f"{tests / 'plugin'}:{tests.parent}"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tests), str(tmp_path)],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
