"""Framing on real footage and on a blob whose place is known."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support import complaints, decode, export_here, framing_spec, psnr

from jupyter_export.media.path import Path as MotionPath

WIDTH, HEIGHT = 960, 540
BLOB = (450.3, 260.7)
"""Centre of the blob, in pixels of the source."""
SIGMA = 6.0
"""Its width in pixels: steep enough that 8 bits tell where it is."""


def test_moving_crop_of_the_timecode_clip_shows_the_right_frames(
    root: Path, tmp_path: Path
) -> None:
    spec = framing_spec(
        "timecode_720p30.mp4",
        "square.mp4",
        [(1.0, 0, 0, 720, 720), (9.0, 560, 0, 720, 720)],
        (720, 720),
        1.0,
        9.0,
    )
    done = export_here(spec, root, tmp_path)
    out, source = decode(done.path), decode(root / "timecode_720p30.mp4")
    assert len(out.times) == 240
    assert out.times == [Fraction(k, 30) for k in range(240)]
    assert out.duration == pytest.approx(8.0, abs=1e-6)
    assert out.pix_fmt == "yuv420p"
    assert complaints(done.path) == ""
    # All digits of the timecode are in view from the 224th frame on; they tell frames apart.
    for k in range(224, 240):
        x = 560 * k / 240
        left = round(x)
        own = out.luma[k][560:, : 720 - 2]
        matches = {}
        for n in range(30 + k - 3, 30 + k + 4):
            expected = source.luma[n][560:720, left : left + 718]
            matches[n] = psnr(own, expected)
        assert max(matches, key=matches.__getitem__) == 30 + k, (k, matches)


def test_a_crop_at_the_right_edge_carries_the_timecode_of_each_frame(
    root: Path, tmp_path: Path
) -> None:
    """A pan along the bottom that always shows the digits, compared with every neighbour."""
    spec = framing_spec(
        "timecode_720p30.mp4",
        "digits.mkv",
        [(20.0, 640, 540, 640, 180), (24.0, 600, 500, 640, 180)],
        (640, 180),
        20.0,
        24.0,
        quality="lossless",
    )
    out = decode(export_here(spec, root, tmp_path).path)
    source = decode(root / "timecode_720p30.mp4")
    assert len(out.times) == 120
    for k in range(0, 120):
        x, y = 640 - 40 * k / 120, 540 - 40 * k / 120
        scores = {}
        for n in range(600 + k - 2, 600 + k + 3):
            box = source.luma[n].astype(float)
            scores[n] = psnr(out.luma[k], _bilinear(box, x, y, 640, 180))
        assert max(scores, key=scores.__getitem__) == 600 + k
        assert scores[600 + k] > 38


@pytest.fixture(scope="module")
def blob(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A still Gaussian blob in luma and chroma, lossless, 60 frames at 30 a second."""
    folder = tmp_path_factory.mktemp("blob")
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    yy, xx = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    cy, cx = np.mgrid[0 : HEIGHT // 2, 0 : WIDTH // 2].astype(float)

    def gauss(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.exp(-((x - BLOB[0]) ** 2 + (y - BLOB[1]) ** 2) / (2 * SIGMA**2))

    luma = 16 + 200 * gauss(xx + 0.5, yy + 0.5)
    chroma = 128 + 100 * gauss(2 * cx + 0.5, 2 * cy + 1.0)  # sited left
    for plane, values in zip(frame.planes, (luma, chroma, chroma), strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : plane.width] = np.clip(np.round(values), 0, 255)
        plane.update(rows.tobytes())
    with av.open(str(folder / "blob.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for k in range(60):
            frame.pts, frame.time_base = k, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return folder


PATHS = {
    "slow pan": [(0.0, 120.0, 60.0, 480.0, 270.0), (2.0, 127.8, 64.2, 480.0, 270.0)],
    "pan at scale 1": [(0.0, 150.25, 100.5, 640.0, 360.0), (2.0, 158.0, 95.0, 640.0, 360.0)],
    "spline with zoom": [
        (0.0, 140.0, 90.0, 600.0, 337.5),
        (0.7, 180.0, 100.0, 520.0, 292.5),
        (1.2, 200.0, 130.0, 480.0, 270.0),
        (2.0, 130.0, 80.0, 640.0, 360.0),
    ],
    "shrinking": [(0.0, 10.0, 5.0, 900.0, 506.25), (2.0, 15.4, 9.1, 867.0, 487.7)],
}


@pytest.mark.parametrize("name", PATHS)
def test_the_crop_is_where_the_spline_says_and_never_jitters(
    name: str, blob: Path, tmp_path: Path
) -> None:
    keyframes = PATHS[name]
    spec = framing_spec("blob.mkv", "out.mkv", keyframes, (640, 360), quality="lossless")
    done = export_here(spec, blob, tmp_path)
    path = MotionPath(tuple(k[0] for k in keyframes), tuple(k[1:] for k in keyframes))
    with av.open(str(done.path)) as container:
        errors, chroma_errors = [], []
        for k, frame in enumerate(container.decode(video=0)):
            x, y, width, height = path.at(k / 30)
            expected = np.array([(BLOB[0] - x) / width * 640, (BLOB[1] - y) / height * 360])
            luma = np.array(_centroid(frame.planes[0], 16))
            ux, uy = _centroid(frame.planes[1], 128)
            errors.append(luma - expected)
            # Back from the samples of a left-sited, halved plane to luma pixels.
            chroma_errors.append(np.array([2 * ux - 0.5, 2 * uy]) - expected)
    assert len(errors) == 60
    for series in (np.array(errors), np.array(chroma_errors)):
        assert np.abs(series).max() < 0.1
        assert np.abs(np.diff(series, axis=0)).max() < 0.1


def test_two_keyframes_give_uniform_motion_and_ends_rest() -> None:
    path = MotionPath((1.0, 9.0), ((0.0,), (560.0,)))
    for time, x in ((0.0, 0.0), (1.0, 0.0), (3.0, 140.0), (5.0, 280.0), (9.0, 560.0), (99, 560.0)):
        assert path.at(time)[0] == pytest.approx(x)


def test_the_spline_meets_every_keyframe_with_one_speed_on_both_sides() -> None:
    path = MotionPath((0.0, 1.0, 4.0, 5.0), ((0.0,), (10.0,), (-5.0,), (7.0,)))
    for time, x in zip(path.times, path.points, strict=True):
        assert path.at(time)[0] == pytest.approx(x[0])
    for time in (1.0, 4.0):
        before = (path.at(time)[0] - path.at(time - 1e-6)[0]) / 1e-6
        after = (path.at(time + 1e-6)[0] - path.at(time)[0]) / 1e-6
        assert before == pytest.approx(after, abs=1e-3)
    # Catmull and Rom: the speed at a keyframe is that between its neighbours.
    assert (path.at(1 + 1e-6)[0] - 10) / 1e-6 == pytest.approx(-5 / 4, abs=1e-3)


def test_part_of_a_path_moves_like_the_whole() -> None:
    times = tuple(float(t) for t in range(12))
    whole = MotionPath(times, tuple((float(t * t % 7), float(t)) for t in range(12)))
    part = whole.between(4.3, 6.9)
    assert len(part.times) < len(whole.times)
    for time in np.linspace(4.3, 6.9, 40):
        assert part.at(float(time)) == pytest.approx(whole.at(float(time)))


def _centroid(plane: av.VideoPlane, base: int) -> tuple[float, float]:
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    weights = np.maximum(rows[:, : plane.width].astype(float) - base - 4, 0)
    y, x = np.mgrid[0 : plane.height, 0 : plane.width]
    total = weights.sum()
    return ((x + 0.5) * weights).sum() / total, ((y + 0.5) * weights).sum() / total


def _bilinear(image: np.ndarray, x: float, y: float, width: int, height: int) -> np.ndarray:
    """The rectangle of `image` at a float position, at scale 1."""
    left, top = int(x), int(y)
    fx, fy = x - left, y - top
    a = image[top : top + height + 1, left : left + width + 1]
    a = np.pad(a, ((0, height + 1 - a.shape[0]), (0, width + 1 - a.shape[1])), mode="edge")
    rows = a[:height] * (1 - fy) + a[1:] * fy
    return rows[:, :width] * (1 - fx) + rows[:, 1:] * fx
