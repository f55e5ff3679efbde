"""Crop paths and highlights from the tables that people have."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import polars
import pytest
import torch

import jupyter_export as jx
from jupyter_export.errors import SpecError
from jupyter_export.media.path import Path
from jupyter_export.tables import crop_path, highlights, smoothed, tracks

N = 100
TIMES = np.arange(N) / 25
X, Y = 100 + 40 * TIMES, 200 + 30 * np.sin(TIMES)
ROWS = {"time": TIMES, "x": X, "y": Y, "width": np.full(N, 80.0), "height": np.full(N, 60.0)}
NAMES = tuple(ROWS)
FRAMES = {"frame": np.arange(N), **{name: ROWS[name] for name in NAMES[1:]}}


STRUCTURED = np.zeros(N, [(name, float) for name in NAMES])
for _name in NAMES:
    STRUCTURED[_name] = ROWS[_name]
PLAIN = np.column_stack(list(ROWS.values()))
CORNERS = np.column_stack([X, Y, X + 80, Y + 60])
FORMS = [
    pytest.param(pandas.DataFrame(ROWS), id="pandas"),
    pytest.param(polars.DataFrame(ROWS), id="polars"),
    pytest.param(ROWS, id="columns"),
    pytest.param([dict(zip(NAMES, map(float, row), strict=True)) for row in PLAIN], id="rows"),
    pytest.param(STRUCTURED, id="structured array"),
    pytest.param(PLAIN, id="plain array"),
    pytest.param({"t": TIMES, "x1": X, "y1": Y, "x2": X + 80, "y2": Y + 60}, id="corners"),
    pytest.param({"time": TIMES, "xyxy": CORNERS}, id="xyxy"),
    pytest.param({"time": TIMES, "left": X, "top": Y, "w": [80] * N, "h": [60] * N}, id="names"),
    pytest.param(
        {"time": TIMES, "x": X + 40, "y": Y + 30, "radius_x": [40] * N, "radius_y": [30] * N},
        id="centres",
    ),
]


@pytest.mark.parametrize("table", FORMS)
def test_every_form_of_a_table_gives_the_same_track(table: Any) -> None:
    (track,) = tracks(table)
    assert track.times == pytest.approx(TIMES)
    assert track.boxes == pytest.approx(np.column_stack([X + 40, Y + 30, [80] * N, [60] * N]))


def test_what_a_tracker_writes_gives_one_track_per_id() -> None:
    mot = np.array([[f + 1, i, 10 * i + f, 5, 20, 10, 1, -1, -1, -1]
                    for f in range(10) for i in (3, 7) if i == 3 or f >= 4])  # fmt: skip
    one, other = tracks(mot, fps="30000/1001")
    assert (one.id, other.id) == (3, 7)
    assert one.times == pytest.approx([f * 1001 / 30000 for f in range(10)])
    assert other.boxes[0] == pytest.approx([10 * 7 + 4 + 10, 10, 20, 10])

    found = [
        SimpleNamespace(
            xyxy=np.array([[10 * i + f, 5, 10 * i + f + 20, 15] for i in (3, 7)])[: 1 + (f >= 4)],
            tracker_id=np.array([3, 7])[: 1 + (f >= 4)],
        )
        for f in range(10)
    ]
    for mine, theirs in zip(tracks(found, fps="30000/1001"), (one, other), strict=True):
        assert mine.id == theirs.id
        assert mine.times == pytest.approx(theirs.times)
        assert mine.boxes == pytest.approx(theirs.boxes)


def boxes_of(frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Two things that are followed; the second is there from frame 4 on."""
    corners = np.array([[10 * i + frame, 5, 10 * i + frame + 20, 15] for i in (3, 7)], float)
    return corners[: 1 + (frame >= 4)], np.array([3.0, 7.0])[: 1 + (frame >= 4)]


def ultralytics(frame: int) -> Any:
    """The shape of its `Results`: tensors, and no ids where nothing was followed yet."""
    corners, ids = boxes_of(frame)
    boxes = SimpleNamespace(
        xyxy=torch.from_numpy(corners).float(),
        id=torch.from_numpy(ids).float() if frame != 2 else None,
        cls=torch.zeros(len(ids)),
        conf=torch.ones(len(ids)),
    )
    return SimpleNamespace(boxes=boxes, orig_shape=(720, 1280), names={0: "person"})


def supervision(frame: int) -> Any:
    """The shape of its `Detections`; -1 is what its tracker does not follow yet."""
    corners, ids = boxes_of(frame)
    ids = np.full(1, -1) if frame == 2 else ids.astype(int)
    return SimpleNamespace(xyxy=corners, tracker_id=ids, class_id=np.zeros(len(ids)), data={})


def dicts(frame: int) -> dict[str, Any]:
    corners, ids = boxes_of(frame)
    return {"boxes": corners.tolist(), "ids": None if frame == 2 else ids.tolist()}


@pytest.mark.parametrize("shape", [ultralytics, supervision, dicts])
@pytest.mark.parametrize("many", [list, iter])
def test_trackers_results_are_highlights(shape: Any, many: Any) -> None:
    one, other = tracks(many([shape(frame) for frame in range(10)]), fps=25)
    assert (one.id, other.id) == (3, 7)
    assert one.times == pytest.approx([f / 25 for f in range(10) if f != 2])
    assert other.boxes[0] == pytest.approx([10 * 7 + 4 + 10, 10, 20, 10])
    results = [shape(frame) for frame in range(10)]
    spec = jx.clip("a.mp4").highlight(results, fps=25, look={"shape": "ground"})
    assert spec == jx.overlay("a.mp4", highlights=jx.highlights(results, fps=25, shape="ground"))
    assert [effect.shape for effect in spec.sources[0].effects] == ["ground", "ground"]
    assert jx.clip("a.mp4").crop(results, (64, 64), fps=25).kind == "framing"


def test_one_thing_needs_no_ids_and_two_do() -> None:
    single = [SimpleNamespace(xyxy=boxes_of(f)[0][:1], tracker_id=None) for f in range(5)]
    (track,) = tracks(single, fps=25)
    assert len(track.times) == 5
    untracked = [SimpleNamespace(xyxy=boxes_of(f)[0], tracker_id=None) for f in range(8)]
    with pytest.raises(SpecError, match="Run a tracker"):
        tracks(untracked, fps=25)
    with pytest.raises(SpecError, match="2 boxes, but 1 ids"):
        tracks([{"boxes": [[0, 0, 1, 1], [0, 0, 2, 2]], "ids": [1]}], fps=25)


def test_frames_of_uneven_video_take_their_exact_times() -> None:
    exact = np.cumsum(np.linspace(0.02, 0.06, N))
    (track,) = tracks(FRAMES, times=list(exact))
    assert track.times == pytest.approx(exact)


@pytest.mark.parametrize(
    "table,options,field,text",
    [
        ({"time": [0], "x": [1], "y": [1], "width": [5]}, {}, "table.height", "'height'"),
        ({**ROWS, "y": ["a"] * N}, {}, "table.y", "'y' does not hold numbers"),
        (FRAMES, {}, "table.frame", "fps"),
        (FRAMES, {"times": [0.0, 0.1]}, "table.frame", "times of 2 frames"),
        (FRAMES, {"fps": 25, "first_frame": 1}, "table.frame", "frame 0, before"),
        ({**ROWS, "time": [1.0] * N}, {}, "table.time", "time 1 s"),
        ({**ROWS, "time": TIMES - 1}, {}, "table.time", "-1 s"),
        (PLAIN[:, :4], {}, "table", "columns"),
        ({**ROWS, "x": [np.nan] * N}, {}, "table", "No row"),
        ("video.csv", {}, "table", "str"),
        ({"time": [0], "xyxy": [[1, 2, 3]]}, {}, "table.xyxy", "four numbers"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_column(
    table: Any, options: dict[str, Any], field: str, text: str
) -> None:
    with pytest.raises(SpecError, match=text) as caught:
        tracks(table, **options)
    assert caught.value.field == field


def spline(keyframes: list[Any], names: tuple[str, ...], times: np.ndarray) -> np.ndarray:
    path = Path(
        tuple(k.time for k in keyframes),
        tuple(tuple(getattr(k, name) for name in names) for k in keyframes),
    )
    return np.array([path.at(time) for time in times])


def test_a_crop_path_has_few_keyframes_and_is_as_near_as_asked() -> None:
    keyframes = crop_path(ROWS, (80, 60), tolerance=0.5)
    assert len(keyframes) < N / 8
    got = spline(keyframes, ("x", "y", "width", "height"), TIMES)
    assert np.abs(got - np.column_stack([X, Y, [80] * N, [60] * N])).max() <= 0.51


@pytest.mark.parametrize("size", [(1080, 1920), (1280, 720), (600, 600)])
def test_a_crop_has_the_shape_of_the_result_around_its_box(size: tuple[int, int]) -> None:
    for key in crop_path(ROWS, size, margin=0.1):
        assert key.width / key.height == pytest.approx(size[0] / size[1], rel=1e-3)
        assert key.width >= 80 * 1.2 - 0.01 and key.height >= 60 * 1.2 - 0.01
        x, y = X[round(key.time * 25)] + 40, Y[round(key.time * 25)] + 30
        assert (key.x + key.width / 2, key.y + key.height / 2) == pytest.approx((x, y), abs=0.01)


def test_a_crop_stays_in_the_picture_and_is_no_larger_than_it() -> None:
    table = {**ROWS, "x": np.linspace(-60, 600, N), "height": np.linspace(20, 900, N)}
    for key in crop_path(table, (640, 360), picture=(640, 360)):
        assert key.x >= 0 and key.y >= 0
        assert key.x + key.width <= 640.001 and key.y + key.height <= 360.001


def test_a_steady_crop_does_not_zoom() -> None:
    table = {**ROWS, "width": 80 + 20 * np.sin(TIMES * 9)}
    assert len({key.width for key in crop_path(table, (60, 60), steady=True)}) == 1
    assert len({key.width for key in crop_path(table, (60, 60))}) > 1


def test_a_crop_of_several_tracks_takes_them_all_in() -> None:
    two = [{"time": 0, "id": i, "x": 100 * i, "y": 10, "width": 20, "height": 30} for i in (1, 4)]
    (key,) = crop_path(two, (320, 30))
    assert (key.x, key.y, key.width, key.height) == (100, 10, 320, 30)


@pytest.mark.parametrize("method", ["gaussian", "savgol", "one_euro"])
def test_smoothing_takes_jitter_out_and_leaves_the_motion(method: Any) -> None:
    noise = np.random.default_rng(3).normal(0, 2, (N, 2))
    noise -= noise.mean(axis=0)
    true = np.column_stack([X, Y])
    times = TIMES + np.random.default_rng(4).uniform(0, 0.01, N)  # uneven
    smooth = smoothed(times, true + noise, method, 0.6)
    jerk = np.abs(np.diff(smooth, 2, axis=0)).mean()
    assert jerk < np.abs(np.diff(true + noise, 2, axis=0)).mean() / 4
    lag = 8 if method == "one_euro" else 2
    assert np.abs(smooth - true).mean() < lag


@pytest.mark.parametrize("method", ["gaussian", "savgol"])
def test_smoothing_does_not_bend_a_straight_line(method: Any) -> None:
    line = np.column_stack([3 * TIMES, 100 - 7 * TIMES])
    assert smoothed(TIMES, line, method, 0.8) == pytest.approx(line, abs=1e-6)


def test_every_id_has_a_highlight_for_as_long_as_it_lives() -> None:
    rows = [
        {"frame": f, "id": i, "x": f, "y": 5, "w": 20, "h": 10}
        for i, life in (("a", range(0, 50)), ("b", range(25, 75)))
        for f in life
    ]
    a, b = highlights(rows, fps=25, shape="ground", effect="brighten", color="#ff0000", margin=0.1)
    assert (a.start, a.end, b.start, b.end) == pytest.approx((0, 2, 1, 3))
    assert (a.shape, a.effect, a.color) == ("ground", "brighten", "#ff0000")


def test_a_ground_ring_lies_at_the_lower_edge_of_the_box() -> None:
    (ring,) = highlights(ROWS, shape="ground")
    key = ring.keyframes[0]
    assert (key.x, key.y, key.radius_x, key.radius_y) == pytest.approx((140, 260, 40, None))


def test_a_long_gap_ends_a_highlight_and_a_short_one_does_not() -> None:
    keep = np.ones(N, bool)
    keep[20:25] = False  # 0.2 s
    keep[50:80] = False  # 1.2 s
    parts = highlights({name: column[keep] for name, column in ROWS.items()}, max_gap=0.5)
    assert [(h.start, h.end) for h in parts] == [(0, 2), (3.2, 4)]


def test_rows_without_a_box_are_a_gap() -> None:
    x = X.copy()
    x[50:80] = np.nan
    assert len(highlights({**ROWS, "x": x})) == 2


def test_a_wrong_field_of_a_highlight_is_named() -> None:
    with pytest.raises(SpecError) as caught:
        highlights(ROWS, shape="star")
    assert caught.value.field == "highlights.shape"


def test_constructors_take_tables() -> None:
    spec = jx.framing("a.mp4", size=(80, 60), keyframes=pandas.DataFrame(ROWS), output="b.mp4")
    assert spec.sources[0].effects[0].keyframes[0].x == 100
    spec = jx.overlay(
        "a.mp4", 1, 3, highlights=polars.DataFrame(ROWS), output="b.mp4", quality="fast"
    )
    assert spec.sources[0].effects[0].keyframes[0].x == 140
    rows = [dict(zip(NAMES, map(float, row), strict=True)) for row in PLAIN]
    assert (
        jx.overlay("a.mp4", highlights=rows, output="b.mp4").sources
        == jx.overlay("a.mp4", highlights=ROWS, output="b.mp4").sources
    )


def test_constructors_take_models_and_dicts() -> None:
    made = jx.highlights(ROWS, effect="dim_outside")
    keyframes = [{"time": 0, "x": 1, "y": 2, "radius_x": 3}]
    spec = jx.overlay("a.mp4", highlights=[*made, {"keyframes": keyframes}], output="b.mp4")
    assert [e.effect for e in spec.sources[0].effects] == ["dim_outside", "outline"]
    text = {"kind": "text", "text": "Hello"}
    spec = jx.annotate("a.mp4", annotations=[text], output="b.mp4", project="p")
    assert spec.sources[0].effects[0].text == "Hello"
    assert spec.project == "p"
    path = jx.crop_path(FRAMES, (80, 60), fps=Fraction(25))
    assert jx.framing("a.mp4", size=(80, 60), keyframes=path, output="b.mp4")


@pytest.mark.parametrize(
    "annotation,field",
    [
        ({"kind": "text"}, "sources[0].effects[0].text"),
        ({"kind": "box", "x": 1, "y": 2, "width": 3}, "sources[0].effects[0].height"),
        ({"kind": "timecode", "format": "hh:mm:ss:ff"}, "sources[0].effects[0].rate"),
        ({"kind": "frame_number", "rate": "0/5"}, "sources[0].effects[0].rate"),
        ({"kind": "text", "text": "x", "x": 3}, "sources[0].effects[0].y"),
        ({"kind": "text", "text": "x", "font": "/etc/passwd"}, "sources[0].effects[0].font"),
        ({"kind": "arrow", "x": 1, "y": 1, "from_x": 1, "from_y": 0, "keyframes": [
            {"time": 0, "x": 1, "y": 1, "from_x": 1, "from_y": 0}]}, "sources[0].effects[0].x"),
        ({"kind": "text", "text": "x", "start": 3, "end": 3}, "sources[0].effects[0].end"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_annotation_is_said(annotation: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as caught:
        jx.annotate("a.mp4", annotations=[annotation], output="b.mp4")
    assert caught.value.field == field


def test_positions_read_off_by_hand_are_one_highlight_however_far_apart_they_are() -> None:
    times = (0.6, 1.4, 2.0, 3.6, 4.8)
    (only,) = highlights(
        [{"time": t, "x": 10 * t, "y": 5, "width": 40, "height": 60} for t in times]
    )
    assert (only.start, only.keyframes[-1].time) == (0.6, 4.8)
    assert only.end is not None and only.end > 4.8
