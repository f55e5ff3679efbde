"""A frame of an export before it is queued."""

from __future__ import annotations

import base64
import contextlib
import io
import shutil
from itertools import islice
from typing import Any

import av
import httpx
import numpy as np
import pytest
from PIL import Image
from server_support import MEDIA, RunningServer, clip

import jupyter_export as jx
from jupyter_export.notebook import default
from jupyter_export.spec import parse

CLIP = "bunny_720p25.mp4"
CROP = {
    "type": "crop",
    "size": [640, 360],
    "keyframes": [
        {"time": 0, "x": 0, "y": 0, "width": 640, "height": 360},
        {"time": 4, "x": 640, "y": 360, "width": 640, "height": 360},
    ],
}


def framing(output: str) -> dict[str, Any]:
    source = {"path": CLIP, "start": 1.0, "end": 3.0, "effects": [CROP]}
    return clip(CLIP, output, kind="framing", sources=[source])


def pixels(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)), dtype=float)


def test_a_preview_is_the_frame_that_the_export_renders(server: RunningServer) -> None:
    server.add(CLIP)
    spec = framing("framed.mp4")
    server.until(server.submit(spec)["id"], "completed")
    with av.open(str(server.root / "framed.mp4")) as container:
        exported = [f.to_image() for f in islice(container.decode(video=0), 0, 50, 7)]
    for k, image in zip(range(0, 50, 7), exported, strict=True):
        # In the middle of the frame's time.
        response = server.post("preview", {"spec": spec, "time": (k + 0.5) / 25})
        assert response.headers["content-type"] == "image/jpeg"
        assert float(response.headers["x-time"]) == pytest.approx(k / 25)
        assert float(response.headers["x-duration"]) == pytest.approx(2.0)
        shown = pixels(response.content)
        assert shown.shape == (360, 640, 3)
        assert np.abs(shown - np.asarray(image)).mean() < 4


def test_a_preview_shows_a_source_that_was_changed_meanwhile(server: RunningServer) -> None:
    source = server.add(CLIP, to="changing.mp4")
    spec = clip(source, "never.mp4")
    before = server.post("preview", {"spec": spec, "width": 160}).content
    shutil.copy(MEDIA / "timecode_720p30.mp4", server.root / source)
    after = server.post("preview", {"spec": spec, "width": 160}).content
    assert pixels(before).shape[1] == 160
    assert np.abs(pixels(before) - pixels(after)).mean() > 10


def test_a_preview_of_a_wrong_spec_says_what_the_export_would_be_refused_with(
    server: RunningServer,
) -> None:
    server.add(CLIP)
    spec = framing("wrong.mp4")
    far = [{"time": 0, "x": 900, "y": 0, "width": 640, "height": 360}]
    spec["sources"][0]["effects"] = [{**CROP, "keyframes": far}]
    problem = server.post("preview", {"spec": spec})
    assert problem.status_code == 422
    assert problem.json()["field"] == "sources[0].effects[0].keyframes[0]"


def test_a_notebook_gets_a_picture(server: RunningServer) -> None:
    server.add(CLIP)
    with jx.connect(server.url, server.token) as client:
        frame = client.preview(framing("shown.mp4"), 1.0)
    assert frame.size == (640, 360)
    assert pixels(frame._repr_jpeg_()).shape == (360, 640, 3)


def test_a_time_that_was_told_in_decimals_shows_the_same_frame_again(
    server: RunningServer,
) -> None:
    server.add("timecode_720p30.mp4")
    spec = clip("timecode_720p30.mp4", "thirds.mp4")
    time = 0.0
    for frame in range(8):
        shown = server.post("preview", {"spec": spec, "time": time, "width": 64}).headers
        assert float(shown["x-time"]) == pytest.approx(frame / 30, abs=1e-6)
        time = float(shown["x-next"])


def test_the_picture_that_an_effect_is_given_is_shown_in_the_clock_of_that_effect(
    server: RunningServer,
) -> None:
    server.add(CLIP)
    ring = {
        "type": "highlight",
        "effect": "dim_outside",
        "keyframes": [{"time": 0, "x": 640, "y": 360, "radius_x": 100}],
    }
    later = {**ring, "keyframes": [{"time": 0, "x": 320, "y": 180, "radius_x": 50}]}
    source = {"path": CLIP, "start": 1.01, "end": 3.0, "effects": [ring, CROP, later]}
    spec = clip(CLIP, "stages.mp4", kind="framing", sources=[source])

    def shown(show: str, time: float = 2.0) -> Any:
        response = server.post("preview", {"spec": spec, "time": time, "show": show})
        assert response.status_code == 200, response.text
        return response

    with av.open(str(MEDIA / CLIP)) as container:
        frames = {round(f.time * 25): f.to_image() for f in container.decode(video=0)}
    whole = shown("sources[0]", 2.01)
    assert float(whole.headers["x-time"]) == pytest.approx(2.0)
    assert float(whole.headers["x-next"]) == pytest.approx(2.04)
    # From the source's start, and in its whole size.
    assert np.abs(pixels(whole.content) - np.asarray(frames[50])).mean() < 4
    first = shown("sources[0]", 0.0)
    assert float(first.headers["x-time"]) == pytest.approx(1.04)
    assert np.abs(pixels(first.content) - np.asarray(frames[26])).mean() < 4
    # What is drawn before is left out: it is drawn over it by whoever edits it.
    given = shown("sources[0].effects[1]")
    assert np.abs(pixels(given.content) - np.asarray(frames[50])).mean() < 4
    cropped = shown("sources[0].effects[2]")
    assert cropped.headers["x-size"] == "640x360"
    expected = frames[50].crop((320, 180, 960, 540))
    assert np.abs(pixels(cropped.content) - np.asarray(expected)).mean() < 4
    wrong = server.post("preview", {"spec": spec, "show": "sources[0].effects[4]"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "show")


def test_before_is_the_same_picture_without_what_changes_its_looks(
    server: RunningServer,
) -> None:
    server.add(CLIP)
    ring = {
        "type": "highlight",
        "effect": "dim_outside",
        "keyframes": [{"time": 0, "x": 320, "y": 180, "radius_x": 50}],
    }
    enlarged = {"type": "upscale", "size": [1280, 720]}
    spec = framing("before.mp4")
    plain = pixels(server.post("preview", {"spec": spec, "time": 1.0}).content)

    def before(effects: list[dict[str, Any]]) -> np.ndarray:
        spec["sources"][0]["effects"] = effects
        body = {"spec": spec, "time": 1.0, "show": "before"}
        response = server.post("preview", body)
        assert response.status_code == 200, response.text
        return pixels(response.content)

    # The crop stays, so that both can be held against each other.
    assert np.abs(before([CROP, ring]) - plain).mean() < 2
    # Upscaling is plain enlarging, for which no model is needed.
    large = before([CROP, enlarged, ring])
    assert large.shape == (720, 1280, 3)
    assert np.abs(large[::2, ::2] - plain).mean() < 6
    # Of framing alone, it is the source as it is.
    assert before([CROP]).shape == (720, 1280, 3)


def test_a_preview_that_nobody_waits_for_any_more_does_not_hold_up_the_next(
    server: RunningServer,
) -> None:
    server.add(CLIP)
    spec = framing("moved-on.mp4")
    server.post("preview", {"spec": spec})
    for time in (0.1, 0.4, 0.8, 1.2):
        with contextlib.suppress(httpx.ReadTimeout):
            server.post("preview", {"spec": spec, "time": time}, timeout=0.005)
    shown = server.post("preview", {"spec": spec, "time": 1.6})
    assert float(shown.headers["x-time"]) == pytest.approx(1.6)
    assert "Traceback" not in server.log.read_text()


def test_a_notebook_gets_the_frame_before_and_after(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add(CLIP)
    monkeypatch.setenv("JUPYTER_EXPORT_URL", server.url)
    monkeypatch.setenv("JUPYTER_EXPORT_TOKEN", server.token)
    monkeypatch.setattr(default, "_client", None)
    spec = parse(framing("pair.mp4"))
    pair = spec.preview(1.0, before=True, width=320)
    assert default._client is not None
    default._client.close()
    assert (pair.before.size, pair.after.size) == ((1280, 720), (640, 360))
    bundle = pair._repr_mimebundle_()
    assert bundle["text/html"].count("<img") == 2
    both = Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"])))
    assert both.size == (640, 180)
