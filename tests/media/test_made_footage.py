"""Footage from arrays, images and animations: every value kept, once, and ready to be exported."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from support import decode, export_here

import jupyter_export as jx
from jupyter_export.errors import OutputError, SourceMissing, SourceUnreadable, SpecError


def film(count: int = 5, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Noise: any loss shows."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def pixels(path: str, format: str = "rgb24") -> np.ndarray:
    with av.open(path) as container:
        return np.stack([f.to_ndarray(format=format) for f in container.decode(video=0)])


@pytest.fixture(autouse=True)
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one_by_one(frames: np.ndarray) -> Iterator[np.ndarray]:
    yield from frames


@pytest.mark.parametrize(
    "given",
    [
        film(),
        torch.from_numpy(film()),
        one_by_one(film()),
        list(film()),
        np.concatenate([film(), np.zeros((5, 48, 64, 1), np.uint8)], axis=3),
        film() / 255.0,
        film().astype(np.int64),
    ],
    ids=["array", "tensor", "iterator", "list", "with alpha", "floats", "wide"],
)
def test_every_form_of_frames_gives_the_same_file_without_loss(given: Any) -> None:
    path = jx.from_frames(given, fps=25)
    assert path == jx.from_frames(film(), fps=25)
    assert Path(path).parent.name == "jupyter_export_footage"
    assert np.array_equal(pixels(path), film())
    assert len(list(Path(path).parent.iterdir())) == 1, "encoded twice, or something was left"


def test_grey_frames_stay_grey_and_odd_sides_get_a_pixel() -> None:
    grey = film(3, 47, 63)[..., 0]
    path = jx.from_frames(grey, fps=30)
    kept = pixels(path, "gray")
    assert kept.shape == (3, 48, 64)
    assert np.array_equal(kept[:, :47, :63], grey)
    assert np.array_equal(kept[:, 47, :63], grey[:, 46])
    assert path == jx.from_frames(grey[..., None], fps=30)


def test_other_frames_or_another_rate_are_another_file() -> None:
    paths = {jx.from_frames(film(seed=s), fps=f) for s in (0, 1) for f in (25, "30000/1001")}
    assert len(paths) == 4


def test_what_was_an_array_is_exported_as_any_film(notebook: Path) -> None:
    ramp = np.linspace(0, 255, 128).astype(np.uint8)
    frames = np.stack([np.tile(np.roll(ramp, 8 * n), (96, 1)) for n in range(12)])
    colour = np.stack([frames, frames // 2, 255 - frames], axis=-1)
    for name, given in (("grey", frames), ("colour", colour)):
        spec = jx.clip(jx.from_frames(given, fps=Fraction(30000, 1001)), output=f"{name}.mp4")
        made = export_here(spec.model_dump(mode="json"), notebook, notebook)
        found = decode(made.path)
        assert (len(found.times), found.pix_fmt) == (12, "yuv420p")
        assert found.times[1] == Fraction(1001, 30000)
        # The same brightness in the same places.
        assert abs(int(found.luma[6, 48, 64]) - int(found.luma[0, 48, 16])) < 12


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (np.zeros((0, 8, 8)), "no frame"),
        (np.zeros((8, 8)), "no film"),
        (np.zeros((2, 3, 16, 16)), "channels come last"),
        (np.full((2, 16, 16), 2.0), "from 2 to 2"),
        (np.full((2, 16, 16), np.nan), "nan"),
        (np.full((2, 16, 16), -1), "from -1"),
        ([np.zeros((16, 16), np.uint8), np.zeros((16, 18), np.uint8)], "Frame 1 has the shape"),
        (7, "no frames"),
    ],
)
def test_what_is_no_film_is_refused_in_words(frames: Any, said: str, notebook: Path) -> None:
    with pytest.raises(SpecError, match=said):
        jx.from_frames(frames, fps=25)
    assert [p for p in notebook.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("fps", [0, -1, 1000, "fast", float("nan")])
def test_a_rate_that_is_none_is_refused(fps: Any) -> None:
    with pytest.raises(SpecError, match="rate"):
        jx.from_frames(film(), fps=fps)


def test_a_folder_that_cannot_be_written_is_told(notebook: Path) -> None:
    (notebook / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be kept"):
        jx.from_frames(film(), fps=25, folder=notebook / "file")


def test_images_are_taken_in_the_order_in_which_people_count(notebook: Path) -> None:
    shots = notebook / "shots"
    shots.mkdir()
    for number in (1, 2, 10):
        Image.fromarray(film(1, seed=number)[0]).save(shots / f"img{number}.png")
    expected = np.concatenate([film(1, seed=number) for number in (1, 2, 10)])
    paths = [
        jx.from_images(shots, fps=5),
        jx.from_images("shots/*.png", fps=5),
        jx.from_images([shots / f"img{n}.png" for n in (1, 2, 10)], fps=5),
    ]
    assert len(set(paths)) == 1
    assert np.array_equal(pixels(paths[0]), expected)


def test_images_are_upright_and_deep_ones_are_scaled(notebook: Path) -> None:
    turned = Image.fromarray(film(1)[0])
    exif = turned.getexif()
    exif[0x0112] = 6  # the camera was held upright
    turned.save(notebook / "turned.png", exif=exif)
    assert pixels(jx.from_images("turned.png", fps=5)).shape == (1, 64, 48, 3)
    deep = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) * 64
    Image.fromarray(deep).save(notebook / "deep.png")
    kept = pixels(jx.from_images("deep.png", fps=5), "gray")[0]
    assert np.abs(kept.astype(float) - deep / 257).max() <= 0.5


def test_what_is_no_image_is_named(notebook: Path) -> None:
    (notebook / "a.png").write_text("no image")
    with pytest.raises(SourceUnreadable, match=r"a\.png"):
        jx.from_images("a.png", fps=5)
    with pytest.raises(SourceMissing):
        jx.from_images("nothing/*.png", fps=5)


def test_an_animation_is_drawn_frame_by_frame() -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot
    from matplotlib.animation import FuncAnimation

    figure, axes = pyplot.subplots(figsize=(2, 1), dpi=50)
    axes.set_axis_off()
    (bar,) = axes.bar([0], [1], color="black")
    axes.set_xlim(0, 10)

    def draw(number: int) -> list[Any]:
        bar.set_x(number)
        return [bar]

    animation = FuncAnimation(figure, draw, frames=5, interval=40)
    path = jx.from_animation(animation)
    kept = pixels(path, "gray")
    with av.open(path) as container:
        assert container.streams.video[0].average_rate == 25
    assert kept.shape[1:] == (50, 100)
    assert len(kept) == 5
    black = [float(np.argwhere(frame < 64)[:, 1].mean()) for frame in kept]
    assert black == sorted(black) and black[-1] - black[0] > 20, "the bar moves to the right"
    assert path == jx.from_animation(animation)
    pyplot.close(figure)
    with pytest.raises(SpecError, match="no animation"):
        jx.from_animation(film())
