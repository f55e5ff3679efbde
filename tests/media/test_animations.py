"""Short clips as GIF and animated WebP: what an ``<img>`` shows, in time and in colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import clip_spec, complaints, export_here, ffmpeg, framing_spec, psnr

from jupyter_export.errors import SpecError
from jupyter_export.media.still import still
from jupyter_export.workers.tasks import TASKS

BOTH = pytest.mark.parametrize("suffix", ["gif", "webp"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`s.mp4`: 4 s of 1280×720 at 30 fps; `red.mp4`: one colour, with the matrix of HD."""
    folder = tmp_path_factory.mktemp("clips")
    x264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "30")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=1280x720:r=30:d=4", *x264, folder / "s.mp4")
    # (208, 32, 48) by ITU-R BT.709, in limited range.
    red = "format=yuv420p,geq=lum=77:cb=117:cr=205,setparams=colorspace=bt709:range=tv"
    ffmpeg("-f", "lavfi", "-i", "color=s=128x96:r=10:d=1", "-vf", red, *x264,
           folder / "red.mp4")  # fmt: skip
    return folder


def shown(path: Path) -> tuple[list[np.ndarray], list[int], dict[str, Any]]:
    """RGB pictures, how many milliseconds each shows, and what Pillow knows of the file."""
    pictures, times = [], []
    with Image.open(path) as image:
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            pictures.append(np.asarray(image.convert("RGB")))
            times.append(image.info["duration"])
        return pictures, times, dict(image.info)


@BOTH
def test_every_second_frame_of_a_fast_clip_is_shown_for_as_long_as_two(
    suffix: str, folder: Path, tmp_path: Path
) -> None:
    name = f"o.{suffix}"
    done = export_here(clip_spec("s.mp4", name, 0.5, 3.5), folder, tmp_path, segment_seconds=1)
    assert len(done.rendered) > 2
    pictures, times, info = shown(done.path)
    assert len(pictures) == 45 == done.result["frames"]
    assert abs(sum(times) - 3000) <= 1
    assert max(times) - min(times) <= 10  # a GIF counts in hundredths
    assert info["loop"] == 0  # for ever
    assert pictures[0].shape == (360, 640, 3)
    picked = "select='eq(n,15)+eq(n,57)',scale=640:360:in_color_matrix=bt709"
    each = ("-fps_mode", "passthrough", tmp_path / "%d.png")
    ffmpeg("-i", folder / "s.mp4", "-vf", picked, *each)
    for i, k in ((0, 1), (21, 2)):
        expected = np.asarray(Image.open(tmp_path / f"{k}.png").convert("RGB"))
        assert psnr(pictures[i], expected) > 25  # the next one has 20
    if suffix == "gif":
        assert complaints(done.path) == ""  # FFmpeg reads no animated WebP


@BOTH
def test_colours_are_those_of_the_video(suffix: str, folder: Path, tmp_path: Path) -> None:
    done = export_here(clip_spec("red.mp4", f"o.{suffix}"), folder, tmp_path)
    picture = shown(done.path)[0][-1]
    assert np.abs(picture.astype(int) - (0xD0, 0x20, 0x30)).max() <= 6


def test_fps_and_size_can_be_chosen(folder: Path, tmp_path: Path) -> None:
    spec = clip_spec("s.mp4", "o.gif", 0, 1, fps=25, size=[320, 320], quality="fast")
    pictures, times, _ = shown(export_here(spec, folder, tmp_path).path)
    assert pictures[0].shape == (320, 320, 3)
    assert times == [40] * 25
    assert pictures[0][:60].max() < 8  # letterboxed


def test_effects_keep_their_places_in_a_smaller_picture(folder: Path, tmp_path: Path) -> None:
    keyframes = [(0, 640, 360, 640, 360)]
    spec = framing_spec("s.mp4", "o.webp", keyframes, (1280, 720), 0, 0.2)
    pictures, _, _ = shown(export_here(spec, folder, tmp_path).path)
    ffmpeg(
        "-i",
        folder / "s.mp4",
        "-frames:v",
        1,
        "-vf",
        "crop=640:360:640:360,scale=in_color_matrix=bt709",
        tmp_path / "r.png",
    )
    expected = np.asarray(Image.open(tmp_path / "r.png").convert("RGB"))
    assert psnr(pictures[0], expected) > 20  # it was enlarged in between; elsewhere it is 10


@BOTH
def test_an_interrupted_one_starts_from_its_finished_segments(
    suffix: str, folder: Path, tmp_path: Path
) -> None:
    spec = clip_spec("s.mp4", f"o.{suffix}", quality="fast")
    whole = export_here(spec, folder, tmp_path, segment_seconds=1).path.read_bytes()
    again = export_here(spec, folder, tmp_path, segment_seconds=1)
    assert not any(again.rendered)
    assert again.path.read_bytes() == whole


def test_a_long_one_is_refused_when_it_is_submitted(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=s=64x64:r=5:d=40", tmp_path / "s.mp4")
    for sources in (
        [{"path": "s.mp4"}],
        [{"path": "s.mp4", "end": 20}, {"path": "s.mp4", "start": 20, "end": 35}],
        [{"path": "s.mp4", "end": 8, "speed": [{"start": 0, "end": 8, "rate": 0.2}]}],
    ):
        kind = "concat" if len(sources) > 1 or "speed" in sources[0] else "clip"
        spec = {"kind": kind, "sources": sources, "output": "o.gif"}
        with pytest.raises(SpecError, match="may last 30 s") as caught:
            TASKS["inspect"]({"root": str(tmp_path), "spec": spec, "allow_hidden": False}, None)
        assert caught.value.field == "output"
    fast = [{"path": "s.mp4", "speed": [{"start": 0, "end": 40, "rate": 4}]}]
    spec = {"kind": "concat", "sources": fast, "output": "o.gif"}
    TASKS["inspect"]({"root": str(tmp_path), "spec": spec, "allow_hidden": False}, None)


@BOTH
def test_it_has_a_small_picture_in_the_list_of_exports(
    suffix: str, folder: Path, tmp_path: Path
) -> None:
    done = export_here(clip_spec("red.mp4", f"o.{suffix}"), folder, tmp_path)
    (tmp_path / "poster.jpg").write_bytes(still(done.path, 0.0, 64))
    with Image.open(tmp_path / "poster.jpg") as image:
        assert image.size == (64, 48)
