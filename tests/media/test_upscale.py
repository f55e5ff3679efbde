"""Upscaling as an effect: exact, resumable, cancellable, through whole exports."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import sys
import threading
import time
from dataclasses import replace
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
import torch
from support import Context, complaints, export_here, ffmpeg
from upscale_support import ONE_THREAD, SMALL, needs_realesrgan, save

from jupyter_export.errors import (
    Cancelled,
    ModelMissing,
    ModelUnusable,
    SpecError,
    UpscaleUnavailable,
)
from jupyter_export.media.effects.base import Picture
from jupyter_export.media.effects.upscale import EFFECT
from jupyter_export.media.interrupt import checking
from jupyter_export.media.mix import planes_of
from jupyter_export.spec import Upscale
from jupyter_export.upscale.architectures import SRVGGNetCompact
from jupyter_export.upscale.catalogue import GENERAL, GENERAL_WDN, PUBLISHED
from jupyter_export.upscale.shape import Shape
from jupyter_export.workers.tasks import TASKS

FRAMES = 12


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48×32 of noise and motion in 4:2:0 and 4:4:4, every pixel different, one second."""
    folder = tmp_path_factory.mktemp("clips")
    for fmt in ("yuv420p", "yuv444p"):
        ffmpeg(
            *("-f", "lavfi", "-i", f"testsrc2=s=48x32:r={FRAMES}", "-t", 1, "-pix_fmt", fmt),
            *("-c:v", "libx264", "-crf", 12, "-g", 4, "-bf", 0, folder / f"{fmt}.mp4"),
        )
    ffmpeg("-i", folder / "yuv444p.mp4", "-vf", "hue=s=0.3", folder / "pale.mp4")
    return folder


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models folder, with a network that adds nothing, and one that does."""
    folder = tmp_path / "models"
    folder.mkdir()
    save(folder / "nothing.pth", SMALL["srvgg x4"], zero_last=True)
    save(folder / "tiny.pth", SMALL["srvgg x4"])
    for name, value in {**ONE_THREAD, "JUPYTER_EXPORT_MODELS_DIR": str(folder)}.items():
        monkeypatch.setenv(name, value)
    return folder


def spec(path: str, *before: dict[str, Any], start: float = 0, **upscale: Any) -> dict[str, Any]:
    effect = {"type": "upscale", **upscale}
    return {
        "kind": "framing",
        "sources": [{"path": path, "start": start, "effects": [*before, effect]}],
        "output": "out.mkv",
        "encoding": {"quality": "lossless"},
    }


def planes(path: Path) -> list[list[np.ndarray]]:
    with av.open(str(path)) as container:
        return [[p.copy() for p in planes_of(frame)] for frame in container.decode(video=0)]


def repeated(plane: np.ndarray, times: int) -> np.ndarray:
    return plane.repeat(times, 0).repeat(times, 1)


@pytest.mark.parametrize("fmt", ["yuv420p", "yuv444p"])
def test_a_network_that_adds_nothing_repeats_pixels_exactly_through_the_whole_export(
    fmt: str, clips: Path, tmp_path: Path
) -> None:
    done = export_here(spec(f"{fmt}.mp4", model="nothing", scale=4), clips, tmp_path / "o")
    source, result = planes(clips / f"{fmt}.mp4"), planes(done.path)
    assert len(source) == len(result) == FRAMES
    for before, after in zip(source, result, strict=True):
        for i, (plane, large) in enumerate(zip(before, after, strict=True)):
            if i == 0 or fmt == "yuv444p":
                assert np.array_equal(large, repeated(plane, 4))
            else:  # chroma of half the size is interpolated
                assert large.shape == (64, 96)
                assert abs(large.mean() - plane.mean()) < 3
    assert complaints(done.path) == ""


@pytest.mark.parametrize(
    ("upscale", "size"),
    [
        ({"scale": 4}, (192, 128)),
        ({"scale": 1.5}, (72, 48)),
        ({"size": [100, 90]}, (100, 90)),
        ({"scale": 6}, (288, 192)),
    ],
)
def test_the_size_is_exactly_what_was_asked_for(
    upscale: dict[str, Any], size: tuple[int, int], clips: Path, tmp_path: Path
) -> None:
    done = export_here(spec("yuv420p.mp4", model="tiny", **upscale), clips, tmp_path / "o")
    with av.open(str(done.path)) as container:
        frames = list(container.decode(video=0))
    assert {(frame.width, frame.height) for frame in frames} == {size}
    assert len(frames) == FRAMES


def test_a_small_crop_becomes_a_large_picture(clips: Path, tmp_path: Path) -> None:
    crop = {
        "type": "crop",
        "size": [24, 16],
        "keyframes": [
            {"time": 0, "x": 0, "y": 0, "width": 24, "height": 16},
            {"time": 1, "x": 24, "y": 16, "width": 24, "height": 16},
        ],
    }
    whole = spec("yuv420p.mp4", crop, model="nothing", scale=4)
    small = spec("yuv420p.mp4", crop, model="nothing", scale=4)
    small["sources"][0]["effects"].pop()
    large = planes(export_here(whole, clips, tmp_path / "a").path)
    cropped = planes(export_here(small, clips, tmp_path / "b").path)
    for before, after in zip(cropped, large, strict=True):
        assert np.array_equal(after[0], repeated(before[0], 4))


def test_other_weights_are_rendered_anew_and_the_same_ones_are_not(
    clips: Path, tmp_path: Path, models: Path
) -> None:
    wanted = spec("yuv420p.mp4", model="tiny", scale=4)
    first = export_here(wanted, clips, tmp_path / "o")
    assert first.rendered == [True]
    data = first.path.read_bytes()
    shutil.copy(models / "tiny.pth", models / "copy.pth")
    (models / "copy.pth").replace(models / "tiny.pth")  # another file of the same content
    again = export_here(wanted, clips, tmp_path / "o")
    assert again.rendered == [False]
    assert again.path.read_bytes() == data
    save(models / "tiny.pth", SMALL["srvgg x4"], seed=1)
    other = export_here(wanted, clips, tmp_path / "o")
    assert other.rendered == [True]
    assert other.path.read_bytes() != data


def test_weights_that_change_under_an_export_end_it(
    clips: Path, tmp_path: Path, models: Path
) -> None:
    def swap(indices: list[int]) -> list[int]:
        save(models / "tiny.pth", SMALL["srvgg x4"], seed=5)
        return indices

    with pytest.raises(ModelUnusable, match="changed while an export"):
        export_here(
            spec("yuv420p.mp4", model="tiny", size=[66, 44]), clips, tmp_path / "o", order=swap
        )


def inspect(wanted: dict[str, Any], root: Path) -> None:
    """What a submit does before it queues the job."""
    context: Any = Context()
    TASKS["inspect"]({"root": str(root), "spec": wanted, "allow_hidden": False}, context)


def test_a_missing_model_is_known_when_the_export_is_submitted(clips: Path) -> None:
    with pytest.raises(ModelMissing) as caught:
        inspect(spec("yuv420p.mp4", model="RealESRGAN_x4plus", scale=4), clips)
    assert caught.value.field == "sources[0].effects[0].model"
    assert "jupyter export models pull RealESRGAN_x4plus" in str(caught.value)
    with pytest.raises(ModelMissing, match=r"'mine' is not installed.*nothing, tiny"):
        inspect(spec("yuv420p.mp4", model="mine", scale=4), clips)


def test_so_is_one_that_is_no_model(clips: Path, models: Path) -> None:
    (models / "page.pth").write_text("<html>Not found</html>")
    (models / f"{GENERAL}.pth").write_bytes(b"half a download")
    for name, message in (("page", "is a web page"), (GENERAL, "not the published one")):
        with pytest.raises(ModelUnusable, match=message) as caught:
            inspect(spec("yuv420p.mp4", model=name, scale=4), clips)
        assert caught.value.field == "sources[0].effects[0].model"


def test_sizes_and_strengths_that_cannot_be_are_refused(clips: Path) -> None:
    with pytest.raises(SpecError, match=f"Only {GENERAL} has a denoise strength") as caught:
        inspect(spec("yuv420p.mp4", model="tiny", scale=2, denoise=0.5), clips)
    assert caught.value.field == "sources[0].effects[0].denoise"
    with pytest.raises(SpecError, match="48×32 would become 4×4") as caught:
        inspect(spec("yuv420p.mp4", model="tiny", scale=0.1), clips)
    assert caught.value.field == "sources[0].effects[0].scale"


def test_the_denoise_strength_goes_from_one_model_to_the_other(
    clips: Path, tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate((GENERAL, GENERAL_WDN)):
        path = save(models / f"{name}.pth", SMALL["srvgg x4"], seed=seed)
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        model = replace(PUBLISHED[name], sha256=found, shape=SMALL["srvgg x4"])
        monkeypatch.setitem(PUBLISHED, name, model)
    shutil.copy(models / f"{GENERAL_WDN}.pth", models / "noisy.pth")

    def luma(**upscale: Any) -> np.ndarray:
        wanted = spec("yuv420p.mp4", scale=2, start=0.5, **upscale)
        return planes(export_here(wanted, clips, tmp_path / "o").path)[0][0].astype(int)

    most, half, least = (luma(model=GENERAL, denoise=d) for d in (1, 0.5, 0))
    assert np.array_equal(most, luma(model=GENERAL))
    assert np.abs(least - luma(model="noisy")).max() <= 1
    assert 0 < np.abs(half - most).mean() < np.abs(least - most).mean() * 1.01
    (models / f"{GENERAL_WDN}.pth").unlink()
    with pytest.raises(ModelMissing, match=f"models pull {GENERAL_WDN}"):
        luma(model=GENERAL, denoise=0.5)


@needs_realesrgan
def test_the_package_realesrgan_makes_the_same_pictures(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pale: colours outside R'G'B's gamut, which only the engine keeps, would differ.
    wanted = spec("pale.mp4", model="tiny", scale=4, start=0.5)
    engine = planes(export_here(wanted, clips, tmp_path / "o").path)
    monkeypatch.setenv("JUPYTER_EXPORT_UPSCALE_BACKEND", "realesrgan")
    done = export_here(wanted, clips, tmp_path / "o")
    assert done.rendered == [True]
    differences = np.abs(np.array(planes(done.path)).astype(int) - np.array(engine))
    assert differences.mean() < 0.6  # it rounds the picture to 8 bits of R'G'B' on its way


def test_openvino_makes_the_same_pictures(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = spec("pale.mp4", model="tiny", scale=4, start=0.5)
    engine = planes(export_here(wanted, clips, tmp_path / "o").path)
    monkeypatch.setenv("JUPYTER_EXPORT_UPSCALE_BACKEND", "openvino")
    done = export_here(wanted, clips, tmp_path / "o")
    assert done.rendered == [True]  # by another name: rounding differs
    differences = np.abs(np.array(planes(done.path)).astype(int) - np.array(engine))
    assert differences.max() <= 3 and differences.mean() < 0.5
    data = done.path.read_bytes()
    monkeypatch.setattr("jupyter_export.upscale.job._kept", None)  # a worker of its own
    again = export_here(wanted, clips, tmp_path / "anew")
    assert again.rendered == [True]
    assert again.path.read_bytes() == data


def test_openvino_is_for_the_processor_and_its_version_counts(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    effect = Upscale(model="tiny", scale=4)
    picture = Picture(width=48, height=32, pix_fmt="yuv420p")

    def resolved(device: str, backend: str) -> dict[str, Any]:
        monkeypatch.setattr(
            "jupyter_export.upscale.device.choose_device", lambda *, force_cpu: device
        )
        monkeypatch.setenv("JUPYTER_EXPORT_UPSCALE_BACKEND", backend)
        return EFFECT.resolve(effect, 0, 1, picture)

    assert resolved("cuda", "openvino") == resolved("cuda", "engine")
    with_engine = resolved("cpu", "engine")
    assert "openvino" not in with_engine
    own = {"backend": "openvino", "openvino": version("openvino")}
    assert resolved("cpu", "openvino") == {**with_engine, **own}


def test_without_openvino_the_submit_says_so(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = spec("yuv420p.mp4", model="tiny", scale=4)
    monkeypatch.setenv("JUPYTER_EXPORT_UPSCALE_BACKEND", "openvino")
    inspect(wanted, clips)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UpscaleUnavailable, match=r"openvino is not installed.*pip install") as told:
        inspect(wanted, clips)
    assert told.value.field == "sources[0].effects[0].model"


@pytest.mark.parametrize("package", ["basicsr", "realesrgan"])
def test_its_absence_is_known_when_the_export_is_submitted(
    package: str, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_EXPORT_UPSCALE_BACKEND", "realesrgan")
    for name in ("basicsr", "realesrgan"):  # where neither is installed, too
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        sys.modules[name].__spec__ = ModuleSpec(name, None)
    wanted = spec("yuv420p.mp4", model="tiny", scale=4)
    inspect(wanted, clips)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UpscaleUnavailable, match=rf"the package {package} is not.*pip install"):
        inspect(wanted, clips)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames of 150×100, which are cut into several tiles where memory is scarce."""
    folder = tmp_path_factory.mktemp("wide")
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=150x100:r=4", "-t", 1, "-pix_fmt", "yuv444p"),
        *("-c:v", "libx264", "-crf", 12, "-bf", 0, folder / "wide.mp4"),
    )
    return folder


def test_memory_that_runs_out_at_any_tile_of_any_frame_costs_no_frame(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_EXPORT_UPSCALE_MEMORY", "2")
    calls, fails_at = 0, 0
    forward = SRVGGNetCompact.forward

    def scarce(network: SRVGGNetCompact, batch: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        if batch.shape[-1] > 32:  # not the sample on which a number format is tried
            calls += 1
            if calls == fails_at:
                raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
        return forward(network, batch)

    monkeypatch.setattr(SRVGGNetCompact, "forward", scarce)

    def exported(at: int) -> np.ndarray:
        nonlocal calls, fails_at
        calls, fails_at = 0, at
        monkeypatch.setattr("jupyter_export.upscale.job._kept", None)  # a worker of its own
        wanted = spec("wide.mp4", model="tiny", scale=4)
        done = export_here(wanted, wide, tmp_path / str(at))
        assert done.result["frames"] == 4
        return np.array(planes(done.path)).astype(int)

    calm = exported(0)
    tiles = calls
    assert tiles > 4  # more than one for each frame
    assert all(np.abs(a - b).mean() > 1 for a, b in pairwise(calm))
    for at in range(1, tiles + 1):
        frames = exported(at)
        assert calls > tiles  # some of it was made again
        assert frames.shape == calm.shape
        assert np.abs(frames - calm).max() <= 1


def test_a_preview_is_the_exports_own_frame_and_has_one_to_compare_with(
    clips: Path, tmp_path: Path
) -> None:
    wanted = spec("yuv420p.mp4", model="tiny", scale=4)
    context: Any = Context()
    frame = planes(export_here(wanted, clips, tmp_path / "o").path)[5]

    def shown(show: str) -> np.ndarray:
        params = {"root": str(clips), "spec": wanted, "allow_hidden": False, "time": "5/12"}
        made = TASKS["preview"]({**params, "width": 192, "show": show}, context)
        with av.open(io.BytesIO(base64.b64decode(made["jpeg"]))) as container:
            return next(container.decode(video=0)).to_ndarray(format="gray").astype(int)

    after, before = shown("result"), shown("before")
    assert after.shape == before.shape == frame[0].shape
    luma = (frame[0].astype(int) - 16) * 255 / 219
    assert np.abs(after - luma).mean() < 6 < np.abs(before - luma).mean()


def test_a_cancel_does_not_wait_for_the_frame(clips: Path, tmp_path: Path, models: Path) -> None:
    save(models / "slow.pth", Shape("rrdb", 4, 64, 23, 32))
    asked = threading.Event()

    class Cancelling(Context):
        def check(self) -> None:
            if asked.is_set():
                raise Cancelled("The work was cancelled.")

    context: Any = Cancelling()
    cache = str(tmp_path / "segments")
    crop = {
        "type": "crop",
        "size": [640, 360],
        "keyframes": [{"time": 0, "x": 0, "y": 0, "width": 48, "height": 32}],
    }
    params = {"root": str(clips), "cache": cache, "encoder": "libx264"}
    wanted = spec("yuv420p.mp4", crop, model="slow", scale=4)
    made = TASKS["plan"]({**params, "spec": wanted}, context)
    threading.Timer(2.0, asked.set).start()
    start = time.monotonic()
    with pytest.raises(Cancelled), checking(context.check):  # as a worker runs every task
        TASKS["render"]({"plan": made["plan"], "index": 0, "cache": cache}, context)
    # A frame of this takes a minute; the limit is loose for machines that do much else.
    assert time.monotonic() - start < 20
    assert context.messages == []
