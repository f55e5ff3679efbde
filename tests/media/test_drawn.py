"""What drawings look like: colours, places, light, letters; against FFmpeg, Pillow and splines."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from effects_support import (
    BT601,
    BT709,
    annotation,
    centroid,
    drawn,
    frame_of,
    highlight,
    picture_of,
    planes,
    region,
    resolved,
    steps,
)
from PIL import Image, ImageDraw, ImageFont
from support import ffmpeg, psnr

from jupyter_export.errors import SpecError
from jupyter_export.media import effects
from jupyter_export.media.effects import fonts, shapes
from jupyter_export.media.effects import highlight as highlight_effect
from jupyter_export.media.effects.label import counter
from jupyter_export.media.effects.runs import clusters, fonts_of, runs
from jupyter_export.media.path import Path as MotionPath

SHIPPED = Path(effects.__file__).parent.parent / "fonts" / "DejaVuSans.ttf"
COLORS = ["#ff0000", "#00c060", "#2040ff", "#ffffff", "#000000", "#d0a070"]
BT2020 = 9


def converted(folder: Path, image: Image.Image, pix_fmt: str, matrix: str, range: str) -> Any:
    """The image as FFmpeg puts it into YUV."""
    image.save(folder / "image.png")
    scale = f"scale=out_color_matrix={matrix}:out_range={range}:out_h_chr_pos=0:out_v_chr_pos=128"
    flags = "area+accurate_rnd+full_chroma_int+full_chroma_inp"
    ffmpeg(
        *("-i", folder / "image.png", "-vf", f"{scale}:flags={flags}"),
        *("-pix_fmt", pix_fmt, "-strict", "-1", "-c:v", "rawvideo", folder / "image.nut"),
    )
    with av.open(str(folder / "image.nut")) as container:
        return planes(next(container.decode(video=0)))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    "matrix,tag", [("bt601", BT601), ("bt709", BT709), ("bt2020nc", BT2020), ("bt709", 2)]
)
def test_colours_are_those_of_the_videos_matrix_and_range(
    tmp_path: Path, matrix: str, tag: int, full: bool
) -> None:
    height = 720 if tag == 2 else 64  # untagged video of this height is taken for BT.709
    stripes = Image.new("RGB", (20 * len(COLORS), 16))
    ink = ImageDraw.Draw(stripes)
    for i, color in enumerate(COLORS):
        ink.rectangle((20 * i, 0, 20 * i + 19, 15), fill=color)
    expected = converted(tmp_path, stripes, "yuv444p", matrix, "pc" if full else "tv")

    frame = frame_of(20 * len(COLORS), height, "yuvj444p" if full else "yuv444p", level=90)
    frame.colorspace = tag
    frame.color_range = 2 if full else 1
    boxes = [
        annotation("box", x=20 * i, y=0, width=20, height=16, stroke_width=0, fill=color)
        for i, color in enumerate(COLORS)
    ]
    got = planes(drawn([{**box, "fill_opacity": 1} for box in boxes], frame))
    texts = [
        annotation("text", text="█", color=color, x=20 * i - 4, y=-10, size=60)
        for i, color in enumerate(COLORS)
    ]
    letters = planes(drawn(texts, frame))

    for i in range(len(COLORS)):
        for plane, wanted in enumerate(expected):
            value = int(wanted[8, 20 * i + 10])
            assert abs(int(got[plane][8, 20 * i + 10]) - value) <= 1
            assert abs(int(letters[plane][8, 20 * i + 10]) - value) <= 1


def test_small_untagged_video_has_the_colours_of_standard_definition() -> None:
    box = annotation("box", x=0, y=0, width=40, height=40, fill="#ff0000", fill_opacity=1)
    untagged, tagged = frame_of(), frame_of()
    untagged.colorspace, tagged.colorspace = 2, BT601
    assert planes(drawn([box], untagged))[0][20, 20] == planes(drawn([box], tagged))[0][20, 20]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("x,y", [(10, 12), (11, 13)])
def test_text_is_what_pillow_draws_in_rgb_and_ffmpeg_converts(
    tmp_path: Path, pix_fmt: str, x: int, y: int
) -> None:
    image = Image.new("RGB", (240, 80), "#305060")
    blank = converted(tmp_path, image, pix_fmt, "bt709", "tv")
    font = ImageFont.truetype(str(SHIPPED), 32)
    ink = ImageDraw.Draw(image)
    ink.text((x, y), "Größe Ñ", "#ff4020", font, stroke_width=2, stroke_fill="#ffffff")
    expected = converted(tmp_path, image, pix_fmt, "bt709", "tv")
    frame = frame_of(240, 80, pix_fmt)
    for plane, rows in zip(frame.planes, blank, strict=True):
        np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width] = rows
    text = annotation(
        *("text",), text="Größe Ñ", x=x, y=y, size=32, color="#ff4020", outline=2,
        outline_color="#ffffff",
    )  # fmt: skip
    got = planes(drawn([text], frame))
    for plane in range(3):
        assert psnr(got[plane], expected[plane]) > 60
        assert psnr(blank[plane], expected[plane]) < 32


PATH = [(0, 60.3, 40.2), (1, 120.9, 71.7), (2, 90.1, 110.4), (4, 61.5, 55.5)]
SHAPES = {
    "ellipse": highlight(
        [{"time": t, "x": x, "y": y, "radius_x": 21.3, "radius_y": 14.7} for t, x, y in PATH]
    ),
    "large ellipse": highlight(
        [{"time": t, "x": x, "y": y, "radius_x": 31.3, "radius_y": 27.7} for t, x, y in PATH],
        stroke_width=20,
    ),
    "box": highlight(
        [{"time": t, "x": x, "y": y, "radius_x": 21.3, "radius_y": 14.7} for t, x, y in PATH],
        shape="box",
    ),
    "round box": annotation(
        "box",
        keyframes=[
            {"time": t, "x": x - 10.5, "y": y - 8.5, "width": 21, "height": 17} for t, x, y in PATH
        ],
        fill="#ff0000",
        corner_radius=5,
    ),
    "text": annotation(
        "text",
        text="HIO8",
        size=20,
        background="#d02040",
        background_opacity=1,
        color="#d02040",
        anchor="center",
        padding=2,
        keyframes=[{"time": t, "x": x, "y": y} for t, x, y in PATH],
    ),
}


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("spec", SHAPES.values(), ids=SHAPES)
def test_what_moves_is_within_a_tenth_of_a_pixel_of_its_spline(
    spec: dict[str, Any], pix_fmt: str
) -> None:
    spline = MotionPath(tuple(p[0] for p in PATH), tuple(p[1:] for p in PATH))
    frame = frame_of(180, 150, pix_fmt, level=60)
    (step,) = steps([spec], picture_of(frame))
    for time in (Fraction(n, 25) for n in range(0, 100, 9)):
        luma, _, red = planes(step(frame, time))
        x, y = centroid(luma, 60)
        assert spline.at(float(time)) == pytest.approx((x, y), abs=0.1)
        across, down = 180 // red.shape[1], 150 // red.shape[0]
        x, y = centroid(red, 128)
        # Chroma sits on the left one of two luma columns, and between two rows.
        left = x * across - (0.5 if across == 2 else 0)
        assert spline.at(float(time)) == pytest.approx((left, y * down), abs=0.1)


def test_an_arrow_points_where_it_should() -> None:
    frame = frame_of(200, 160, "yuv444p", level=30)
    arrow = annotation("arrow", x=150.5, y=80.5, from_x=40, from_y=80.5, color="#ffffff")
    luma = planes(drawn([arrow], frame))[0]
    touched = np.flatnonzero((luma > 40).any(axis=0))
    assert (touched.min(), touched.max()) == (40, 150)
    widths = ((luma - 30.0) / (235 - 30)).sum(axis=0)
    assert widths[60] == pytest.approx(6, abs=0.1)  # the shaft
    assert widths[127] == pytest.approx(23, abs=0.2)  # the head is as wide as it is long
    assert centroid(luma, 30)[1] == pytest.approx(80.5, abs=0.01)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
@pytest.mark.parametrize(
    "x,y,rx,ry", [(351.3, 300.7, 300, 250), (20, 590, 290.5, 333), (300, 300, 500, 130)]
)
def test_a_large_outline_has_no_gaps_and_no_seams(
    monkeypatch: pytest.MonkeyPatch, pix_fmt: str, x: float, y: float, rx: float, ry: float
) -> None:
    """It is drawn in parts that leave out its inside."""
    frame = frame_of(702, 602, pix_fmt)
    ring = highlight(region(x, y, rx, ry, stroke_opacity=0.5), stroke_width=9)
    parts = planes(drawn([ring], frame))
    monkeypatch.setattr(shapes, "_LARGE", 10_000)
    whole = planes(drawn([ring], frame))
    assert all((a == b).all() for a, b in zip(parts, whole, strict=True))


@pytest.mark.parametrize("shape", ["box", "ellipse"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_a_large_lit_region_has_no_seams(
    monkeypatch: pytest.MonkeyPatch, pix_fmt: str, shape: str
) -> None:
    frame = frame_of(702, 602, pix_fmt)
    look = {"shape": shape, "effect": "dim_outside", "feather": 11}
    regions = [
        highlight(region(300.3, 250.9, 190.2, 220), **look),
        highlight(region(700, 280, 250, 190.5, fill_opacity=0.5), **look),
        highlight(region(410, 180.5, 180, 221), **look),
    ]
    parts = planes(drawn(regions, frame))
    monkeypatch.setattr(highlight_effect, "_LARGE", 10_000)
    whole = planes(drawn(regions, frame))
    assert all((a == b).all() for a, b in zip(parts, whole, strict=True))


def light(frame: Any) -> np.ndarray:
    return planes(frame)[0].astype(int)


def test_two_highlights_that_dim_leave_both_regions_bright() -> None:
    frame = frame_of(200, 100, level=200)
    one = highlight(region(40, 50, 20), effect="dim_outside", shape="box", strength=0.5)
    two = highlight(region(140, 50, 20), effect="dim_outside", shape="box", strength=0.5)
    label = annotation("text", text="█", x=80, y=10, size=60)
    luma = light(drawn([one, label, two], frame))
    half = 16 + (200 - 16) // 2
    assert luma[50, 40] == luma[50, 140] == 200
    assert luma[95, 5] == luma[50, 180] == half
    assert luma[50, 95] == 235  # what is drawn is not dimmed
    assert (light(drawn([two, one], frame)) == light(drawn([one, two], frame))).all()


def test_regions_that_overlap_are_one_lit_region() -> None:
    frame = frame_of(200, 100, level=200)
    regions = [
        highlight(region(x, 50, 30), effect="dim_outside", shape="box", strength=1)
        for x in (60, 100)
    ]
    luma = light(drawn(regions, frame))
    assert (luma[50, 32:128] == 200).all()
    assert luma[50, 26] == luma[50, 134] == 16


def test_a_second_region_that_fades_in_does_not_jump() -> None:
    frame = frame_of(200, 100, level=200)
    one = highlight(region(40, 50, 20), effect="dim_outside", strength=0.5)
    fading = [{"time": 1, "x": 140, "y": 50, "radius_x": 20, "fill_opacity": 0}]
    fading.append({**fading[0], "time": 2, "fill_opacity": 1})
    two = highlight(fading, effect="dim_outside", strength=0.5)
    (step,) = steps([one, two], picture_of(frame))
    levels = [light(step(frame, Fraction(n, 20)))[50, 140] for n in range(20, 41)]
    assert levels[0] == light(drawn([one], frame))[50, 140]
    assert levels[-1] == 200
    assert 0 < max(np.diff(levels)) < 12


def test_brightening_keeps_black_and_white_and_the_surroundings() -> None:
    for level, expected in ((16, 16), (235, 235)):
        frame = frame_of(100, 100, level=level)
        bright = highlight(region(50, 50, 20), effect="brighten", strength=1)
        assert light(drawn([bright], frame))[50, 50] == expected
    frame = frame_of(100, 100, level=90)
    luma = light(drawn([bright], frame))
    assert luma[50, 50] > 120
    assert luma[5, 5] == 90


def test_a_ground_ring_is_open_behind_and_closed_in_front() -> None:
    frame = frame_of(200, 100, level=60)
    ring = highlight(region(100, 50, 80, fill_opacity=0), shape="ground", stroke_width=8)
    luma = light(drawn([ring], frame))
    radius = round(80 * 0.35)
    assert abs(luma[50 + radius, 100] - 60) > 50
    assert luma[50 - radius, 100] == 60
    assert abs(luma[50, 20] - 60) > 50


def test_a_quarter_turn_is_exact_and_another_angle_has_black_corners() -> None:
    frame = frame_of()
    for angle, times in ((90, 3), (180, 2), (270, 1)):
        turned = planes(drawn([{"type": "rotate", "angle": angle}], frame))
        for plane, before in zip(turned, planes(frame), strict=True):
            assert (plane == np.rot90(before, times)).all()
    slanted = planes(drawn([{"type": "rotate", "angle": 30}], frame))
    assert [plane[0, 0] for plane in slanted] == [16, 128, 128]
    back = [{"type": "rotate", "angle": angle} for angle in (30, -30)]
    middle = np.s_[45:75, 65:95]
    assert psnr(planes(drawn(back, frame))[0][middle], planes(frame)[0][middle]) > 25


def test_a_fixed_label_without_a_place_keeps_clear_of_the_edge() -> None:
    frame = frame_of(400, 200, level=60)
    text = annotation("text", text="x", background="#ffffff", background_opacity=1, size=16)
    for anchor in ("bottom_right", "top"):
        luma = light(drawn([{**text, "anchor": anchor}], frame))
        rows, columns = np.nonzero(luma > 150)
        if anchor == "top":
            assert rows.min() == 8
            assert (columns.min() + columns.max()) / 2 == pytest.approx(199.5, abs=1)
        else:
            assert (columns.max(), rows.max()) == (391, 191)


@pytest.mark.parametrize(
    "params,time,text",
    [
        ({"format": "hh:mm:ss.mmm"}, 3723.4567, "01:02:03.456"),
        ({"format": "mm:ss.mmm"}, 3723.4567, "62:03.456"),
        ({"format": "mm:ss"}, 59.999, "00:59"),
        ({"format": "hh:mm:ss:ff", "rate": "25"}, 61.96, "00:01:01:24"),
        ({"format": "hh:mm:ss:ff", "rate": "30000/1001"}, 1800 * 1001 / 30000, "00:01:00:00"),
        ({"format": "hh:mm:ss:ff", "rate": "30"}, 0.033, "00:00:00:01"),  # of a Matroska file
        ({"format": "hh:mm:ss", "offset": -5.0}, 2.5, "-00:00:02"),
        ({"format": "mm:ss.mmm", "offset": -0.5}, 0.5, "00:00.000"),
    ],
)
def test_running_times_read_as_they_should(params: dict[str, Any], time: float, text: str) -> None:
    assert counter({"kind": "timecode", "offset": 0.0, **params})(time) == text


def test_every_frame_of_ntsc_video_has_its_number() -> None:
    read = counter({"kind": "frame_number", "rate": "30000/1001", "first": 1, "digits": 4})
    times = [round(n * 1001 / 30000, 3) for n in range(2000)]
    assert [read(time) for time in times] == [f"{n + 1:04d}" for n in range(2000)]


def test_a_running_time_changes_only_the_digits_that_change() -> None:
    frame = frame_of(400, 100, level=60)
    clock = annotation("timecode", x=10, y=10, size=40)
    (step,) = steps([clock], picture_of(frame))
    one, two = light(step(frame, Fraction(1, 1000))), light(step(frame, Fraction(2, 1000)))
    changed = np.flatnonzero((one != two).any(axis=0))
    drawn_at = np.flatnonzero((one != 60).any(axis=0))
    assert changed.size and changed.min() > drawn_at.max() - 40


def test_every_letter_finds_a_font_that_has_it() -> None:
    sans = fonts.find("sans")
    assert sans is not None
    for run in runs("Größe Привет שלום مرحبا → ½ 😀", sans):
        assert run.font.has(c for c in run.text if c.isprintable())


def test_letters_that_a_font_lacks_come_from_another_one() -> None:
    other = next((f for f in fonts.installed() if not f.has("ش") and f.has("a")), None)
    if other is None:
        pytest.skip("every installed font has Arabic letters")
    used = fonts_of("abc ش", other)
    assert other in used
    assert any(font.has("ش") for font in used)


def test_hebrew_in_english_and_english_in_hebrew_stand_in_order() -> None:
    sans = fonts.find("sans")
    assert sans is not None
    assert [r.text for r in runs("abc שלום, עולם def", sans)] == ["abc ", "שלום, עולם", " def"]
    assert [r.text for r in runs("שלום abc עולם", sans)] == [" עולם", "abc", "שלום "]
    assert [r.text for r in runs("שלום 123", sans)] == ["123", "שלום "]
    assert [r.right_to_left for r in runs("abc שלום", sans)] == [False, True]


def test_what_readers_see_as_one_letter_is_not_taken_apart() -> None:
    text = "e\u0301👍🏽👩\u200d🚀🇫🇷🇩🇪❤\ufe0fx"
    assert list(clusters(text)) == [
        "e\u0301", "👍🏽", "👩\u200d🚀", "🇫🇷", "🇩🇪", "❤\ufe0f", "x",
    ]  # fmt: skip


def test_an_emoji_without_its_tone_of_skin_is_better_than_an_empty_box() -> None:
    sans = fonts.find("sans")
    assert sans is not None
    drawn_text = "".join(run.text for run in runs("a😀🏽b", sans))
    if not any(font.has("😀🏽") for font in fonts.installed()):
        assert drawn_text == "a😀b"


def test_an_unknown_font_is_refused_before_anything_is_rendered() -> None:
    text = annotation("text", text="x", font="DejaVu Sanz")
    with pytest.raises(SpecError, match="DejaVu Sans") as caught:
        resolved(text, picture_of(frame_of()))
    assert caught.value.field == "effects[0].font"


def test_a_text_that_would_fill_the_memory_is_refused() -> None:
    text = annotation("text", text="W" * 10_000, size=400)
    with pytest.raises(SpecError, match="pixels large") as caught:
        resolved(text, picture_of(frame_of()))
    assert caught.value.field == "effects[0].text"


def test_line_ends_and_control_characters_of_other_systems_are_no_boxes() -> None:
    frame = frame_of()
    plain = annotation("text", text="a\nb   c", size=20)
    other = annotation("text", text="a\r\nb\tc\x07", size=20)
    assert (planes(drawn([plain], frame))[0] == planes(drawn([other], frame))[0]).all()


def test_a_fading_text_is_the_same_in_whatever_order_its_frames_are_drawn() -> None:
    """Segments begin anywhere: what is kept from frame to frame must not show."""
    frame = frame_of(100, 40, level=60)
    places = [{"time": 0, "x": 5, "y": 5, "opacity": 0}]
    places.append({"time": 9, "x": 5, "y": 5, "opacity": 0.2})
    text = annotation("text", text="fade", size=20, keyframes=places)
    times = [Fraction(n, 120) for n in range(0, 1080, 7)]
    (forwards,) = steps([text], picture_of(frame))
    (backwards,) = steps([text], picture_of(frame))
    one = [light(forwards(frame, time)) for time in times]
    other = [light(backwards(frame, time)) for time in reversed(times)]
    assert (np.array(one) == np.array(other[::-1])).all()


def test_shorter_lines_stand_where_they_are_aligned() -> None:
    frame = frame_of(300, 100, level=60)
    left = {}
    for align in ("left", "center", "right"):
        text = annotation("text", text="wide wide wide\ni", size=30, x=10, y=5, align=align)
        second = light(drawn([text], frame))[45:80]
        left[align] = np.flatnonzero((second != 60).any(axis=0)).min()
    assert left["left"] < 20
    assert left["center"] == pytest.approx((left["left"] + left["right"]) / 2, abs=1)
    assert left["right"] > 200


def test_a_font_is_found_by_name_and_style_in_any_case() -> None:
    font = fonts.find("dejavu sans")
    assert font is not None and font.family == "DejaVu Sans"
    assert fonts.find(font.name.upper()) == font
    assert fonts.find("../../etc/passwd") is None
