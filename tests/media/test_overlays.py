"""Highlights and annotations in whole exports: at the right frames, and only where they changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from effects_support import annotation, highlight, region
from support import TASKS, complaints, decode, export_here, ffmpeg, psnr

from jupyter_export.media.effects import fonts

BOX = annotation("box", x=40, y=20, width=60, height=50, fill="#ffffff", fill_opacity=1)
BOX |= {"stroke_width": 0, "start": 1, "end": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of 320×180 at 25 fps, a key frame every second."""
    folder = tmp_path_factory.mktemp("clip")
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=6", "-pix_fmt", "yuv420p"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-g", "25"),
        folder / "in.mp4",
    )
    return folder


def spec(effects: list[Any], *, of_source: bool = True, **source: Any) -> dict[str, Any]:
    source = {"path": "in.mp4", **source, "effects": effects if of_source else []}
    return {
        "kind": "annotate" if any(e["type"] == "annotation" for e in effects) else "overlay",
        "sources": [source],
        "effects": [] if of_source else effects,
        "output": "out.mkv",
        "encoding": {"quality": "lossless"},
    }


@pytest.mark.parametrize("of_source", [True, False])
def test_an_annotation_is_on_the_frames_and_pixels_that_ffmpeg_draws_it_on(
    root: Path, tmp_path: Path, of_source: bool
) -> None:
    """In the time of the source, or of the output, which begins half a second later."""
    done = export_here(spec([BOX], of_source=of_source, start=0.52, end=3), root, tmp_path)
    shown = "between(t,0.99,1.99)" if of_source else "between(t,1.51,2.51)"
    ffmpeg(
        *("-i", root / "in.mp4", "-vf"),
        f"drawbox=x=40:y=20:w=60:h=50:color=white:t=fill:enable='{shown}',"
        "trim=start_frame=13:end_frame=75",
        *("-fps_mode", "passthrough", "-c:v", "ffv1", tmp_path / "expected.mkv"),
    )
    got, expected = decode(done.path), decode(tmp_path / "expected.mkv")
    assert len(got.times) == 62
    for frame, wanted in zip(got.luma, expected.luma, strict=True):
        assert psnr(frame, wanted) > 50
    assert complaints(done.path) == ""


def test_a_changed_annotation_renders_only_the_segments_it_touches(
    root: Path, tmp_path: Path
) -> None:
    texts = [
        annotation("text", text=f"line {n}", size=20, start=n * 0.5, end=n * 0.5 + 0.5)
        for n in range(10)
    ]
    first = export_here(spec(texts), root, tmp_path, segment_seconds=1)
    assert len(first.rendered) == 6
    again = export_here(spec(texts), root, tmp_path, segment_seconds=1)
    assert not any(again.rendered)
    texts[5] |= {"text": "another line"}
    changed = export_here(spec(texts), root, tmp_path, segment_seconds=1)
    assert changed.rendered == [False, False, True, False, False, False]


def test_highlights_and_texts_of_an_export_are_where_they_should_be(
    root: Path, tmp_path: Path
) -> None:
    lit = highlight(region(80, 90, 30), effect="dim_outside", shape="box", strength=1)
    clock = annotation("frame_number", rate=25, anchor="bottom_right", background="#ffffff")
    clock |= {"background_opacity": 1, "color": "#000000", "size": 20}
    done = export_here(spec([lit, clock], end=1), root, tmp_path)
    before, after = decode(root / "in.mp4").luma[:25], decode(done.path).luma
    assert (after[:, 65:115, 55:105] == before[:, 65:115, 55:105]).all()
    assert (after[:, :50] == 16).all()
    corner = after[:, 140:, 240:]
    assert (corner == 235).any(axis=(1, 2)).all()
    # Each frame has a number of its own.
    assert len({frame.tobytes() for frame in np.ascontiguousarray(corner)}) == 25


def test_drawing_leaves_the_frames_that_come_after_as_the_decoder_has_them(
    root: Path, tmp_path: Path
) -> None:
    done = export_here(spec([BOX]), root, tmp_path)
    before, after = decode(root / "in.mp4").luma, decode(done.path).luma
    outside = np.ones(before.shape[1:], bool)
    outside[20:70, 40:100] = False
    assert (before[:, outside] == after[:, outside]).all()
    assert (before[50:] == after[50:]).all()


def test_a_character_that_no_font_has_is_named_on_the_job(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = fonts.find("sans")
    monkeypatch.setattr(fonts, "installed", lambda: (shipped,))
    text = annotation("text", text="Tor 漢 für Köln ⚽", end=0.5)
    what = {
        "kind": "annotate",
        "sources": [{"path": "bunny_720p25.mp4", "end": 1}],
        "effects": [text],
        "output": "o.mp4",
    }
    notes = TASKS["plan"](
        {"root": str(media), "spec": what, "encoder": "libx264", "cache": str(tmp_path)}, None
    )["notes"]
    (note,) = [note for note in notes if "font" in note]
    assert "'漢', '⚽'" in note and "ö" not in note
