"""A frame of an export before it is queued."""

from __future__ import annotations

import io
import shutil
from itertools import islice
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from server_support import MEDIA, RunningServer, clip

import jupyter_export as jx

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
