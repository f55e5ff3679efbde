"""Upscaling against `RealESRGANer`, in pairs: A B A B, ratios of wall time.

OMP_WAIT_POLICY=PASSIVE python3 tests/run.py tests/benchmarks/test_upscale_speed.py --benchmarks -s

(as in a worker: torch's threads do not spin while they wait).

The networks have the published shapes and random weights, which costs the same arithmetic. On a
CPU a picture of 320×180 goes to 1280×720, and figures are printed; on a CUDA device one of 1280×720
goes to 3840×2160, and what is asked of a GPU is asserted.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from support import export_here, ffmpeg
from upscale_support import save

from jupyter_export.media.effects import effect as effect_of
from jupyter_export.media.encode import encode_segment
from jupyter_export.spec import parse
from jupyter_export.upscale.catalogue import GENERAL, PUBLISHED
from jupyter_export.upscale.colour import Coding
from jupyter_export.upscale.device import choose_device, choose_format, open_device
from jupyter_export.upscale.engine import Engine
from jupyter_export.upscale.frames import Frames
from jupyter_export.upscale.memory import estimate
from jupyter_export.upscale.openvino import compiler
from jupyter_export.upscale.stock import stock_upsampler
from jupyter_export.upscale.weights import load
from jupyter_export.workers.memory import peak_mib, vram_of
from jupyter_export.workers.planning import make_plan_of

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

DEVICE = open_device(choose_device())
GPU = DEVICE.type == "cuda"
SOURCE = (1280, 720) if GPU else (320, 180)
SIZE = (3840, 2160) if GPU else (1280, 720)
PAIRS = 7 if GPU else 3
FRAMES = 240 if GPU else 16
MODELS = ("realesr-animevideov3", GENERAL)


@pytest.fixture(scope="module", autouse=True)
def about() -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    if GPU:
        name = torch.cuda.get_device_name(DEVICE)
    else:
        has = {"AVX512-BF16": "_is_avx512_bf16_supported", "AMX": "_is_amx_tile_supported"}
        name = ", ".join(f"{k}: {getattr(torch.cpu, v, bool)()}" for k, v in has.items())
    print(f"\n{DEVICE} ({name}), {choose_format(DEVICE)}, {torch.get_num_threads()} threads, ")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, torch {torch.__version__}")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, media: Path) -> Path:
    """Film of `SOURCE` pixels, and the models under names of their own."""
    folder = tmp_path_factory.mktemp("clips")
    ffmpeg(
        *("-stream_loop", 9, "-i", media / "bunny_720p25.mp4", "-frames:v", FRAMES, "-an"),
        *("-vf", f"scale={SOURCE[0]}:{SOURCE[1]}", "-c:v", "libx264", folder / "film.mp4"),
    )
    for name in MODELS:
        save(folder / f"own-{name}.pth", PUBLISHED[name].shape)
    return folder


def frames_of(path: Path, format: str) -> list[Any]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format=format) for frame in container.decode(video=0)]


def paired(
    name: str,
    stock: Callable[[int], Any],
    ours: Callable[[int], Any],
    per: int,
    names: tuple[str, str] = ("RealESRGANer", "engine"),
) -> float:
    """The median of the ratios of wall time; printed with those of the processor's time."""
    wall: list[tuple[float, float]] = []
    busy: list[tuple[float, float]] = []
    for i in range(PAIRS + 1):
        at = [(time.perf_counter(), time.process_time())]
        for work in (stock, ours):
            work(i)
            at.append((time.perf_counter(), time.process_time()))
        wall.append((at[1][0] - at[0][0], at[2][0] - at[1][0]))
        busy.append((at[1][1] - at[0][1], at[2][1] - at[1][1]))
    del wall[0], busy[0]  # the first pair warms both up
    ratios, of_cpu = ([a / b for a, b in pairs] for pairs in (wall, busy))
    a, b = (statistics.median(t[k] for t in wall) / per * 1000 for k in (0, 1))
    print(
        f"{name}: {names[0]} {a:.0f} ms, {names[1]} {b:.0f} ms per frame, "
        f"{statistics.median(ratios):.1f}× ({min(ratios):.1f} to {max(ratios):.1f}), in "
        f"processor time {statistics.median(of_cpu):.1f}×, load {os.getloadavg()[0]:.1f}"
    )
    return statistics.median(ratios)


@pytest.mark.parametrize("model", MODELS)
def test_one_frame(model: str, clips: Path) -> None:
    """From a decoded picture to one that can be encoded, without coding."""
    shape, state = load(clips / f"own-{model}.pth")
    stock = stock_upsampler(shape, state, DEVICE, half=GPU)
    bgr = frames_of(clips / "film.mp4", "bgr24")[:8]
    engine = Engine(shape, state, DEVICE)
    frames = Frames(engine, DEVICE, SIZE, Coding(2, 2))
    width, height = SOURCE
    yuv = []
    for array in frames_of(clips / "film.mp4", "yuv420p")[:8]:
        chroma = array[height:].reshape(2, height // 2, width // 2)
        yuv.append([array[:height].copy(), chroma[0].copy(), chroma[1].copy()])
    scale = SIZE[0] / SOURCE[0]
    paired(
        f"{model}, one frame",
        lambda i: stock.enhance(bgr[i % 8], outscale=scale),
        lambda i: frames.start(yuv[i % 8]).planes(),
        1,
    )
    if GPU:
        torch.cuda.reset_peak_memory_stats(DEVICE)
        frames.start(yuv[0]).planes()
        peak = torch.cuda.max_memory_allocated(DEVICE) / 2**20
        told = estimate(shape, *SOURCE, SIZE)
        print(f"{model}: peak {peak:.0f} MiB, {told.total - told.context} MiB estimated")
        assert peak <= told.total - told.context


@pytest.mark.skipif(GPU, reason="OpenVINO is for the processor")
@pytest.mark.parametrize("model", MODELS)
def test_one_frame_with_openvino(model: str, clips: Path) -> None:
    """The network alone, in tiles as the engine cuts them: torch against OpenVINO."""
    shape, state = load(clips / f"own-{model}.pth")
    rgb = torch.rand(3, SOURCE[1], SOURCE[0], generator=torch.Generator().manual_seed(0))
    plain = Engine(shape, state, DEVICE)
    made = Engine(shape, state, DEVICE, runtime=compiler(torch.get_num_threads()))
    names = "engine", "with OpenVINO"
    paired(f"{model}, one frame", lambda _: plain(rgb), lambda _: made(rgb), 1, names)


@pytest.mark.parametrize("model", MODELS)
def test_a_whole_film(
    model: str, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoded, upscaled, encoded by the same x264."""
    monkeypatch.setenv("JUPYTER_EXPORT_MODELS_DIR", str(clips))
    shape, state = load(clips / f"own-{model}.pth")
    upsampler = stock_upsampler(shape, state, DEVICE, half=GPU)
    spec = {
        "kind": "framing",
        "sources": [
            {
                "path": "film.mp4",
                "effects": [{"type": "upscale", "model": f"own-{model}", "size": list(SIZE)}],
            }
        ],
        "output": "out.mp4",
        "encoding": {"quality": "fast", "audio": "none"},
    }

    def stock(i: int) -> None:
        with (
            av.open(str(clips / "film.mp4")) as source,
            av.open(str(tmp_path / f"{i}.mp4"), "w") as target,
        ):
            stream = target.add_stream("libx264", rate=Fraction(25))
            stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
            stream.options = {"preset": "ultrafast", "crf": "23"}
            for frame in source.decode(video=0):
                image = frame.to_ndarray(format="bgr24")
                large, _ = upsampler.enhance(image, outscale=SIZE[0] / SOURCE[0])
                made = av.VideoFrame.from_ndarray(large, format="bgr24")
                target.mux(stream.encode(made))
            target.mux(stream.encode(None))

    def ours(i: int) -> None:
        done = export_here(spec, clips, tmp_path / f"o{i}")
        assert done.result["frames"] == FRAMES

    ratio = paired(f"{model}, end to end", stock, ours, FRAMES)
    assert ratio >= 5 or not GPU or model != GENERAL


def test_the_slower_of_network_and_encoder_sets_the_pace(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a whole export with the general model, in which no frame is lost or shown twice."""
    monkeypatch.setenv("JUPYTER_EXPORT_MODELS_DIR", str(clips))
    ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc2=s={SOURCE[0]}x{SOURCE[1]}:r=25", "-frames:v", FRAMES),
        *("-pix_fmt", "yuv420p", "-c:v", "libx264", "-g", 25, tmp_path / "moving.mp4"),
    )
    effect = {"type": "upscale", "model": f"own-{GENERAL}", "size": list(SIZE)}
    spec = {
        "kind": "framing",
        "sources": [{"path": "moving.mp4", "effects": [effect]}],
        "output": "out.mp4",
        "encoding": {"quality": "fast", "audio": "none"},
    }
    plan = make_plan_of({"root": str(tmp_path)}, parse(spec), "libx264")
    recipes = [segment.recipe for segment in plan.segments]
    step = recipes[0].strands[0].steps[0]
    with av.open(str(tmp_path / "moving.mp4")) as container:
        source = list(container.decode(video=0))

    def network() -> Iterator[Any]:
        made = effect_of(step.type).make(step.params, step.picture)
        before = None
        for frame in source:
            begun = made.begin(frame, Fraction(0))
            if before is not None:
                yield before()
            before = begun
        yield before()

    def encoder(frames: list[Any]) -> None:
        at = 0
        for i, recipe in enumerate(recipes):
            stamps = list(recipe.stamps.values())
            part = frames[at : at + len(stamps)]
            at += len(stamps)
            for frame, stamp in zip(part, stamps, strict=True):
                frame.pts, frame.time_base = stamp, recipe.time_base
            encode_segment(
                part,
                tmp_path / f"{i}.nut",
                encoder=recipe.encoder,
                picture=recipe.picture,
                colour=recipe.colour,
                time_base=recipe.time_base,
                rate=recipe.rate,
                on_frame=lambda _: None,
            )

    large = list(network())  # warms up, too
    peak_mib()
    times: list[list[float]] = []
    for i in range(PAIRS):
        at = [time.perf_counter()]
        for _ in network():
            pass
        at.append(time.perf_counter())
        encoder(large)
        at.append(time.perf_counter())
        done = export_here(spec, tmp_path, tmp_path / f"o{i}")
        at.append(time.perf_counter())
        times.append([b - a for a, b in pairwise(at)])
    alone = statistics.median(t[2] / max(t[:2]) for t in times)
    parts = [statistics.median(column) / FRAMES * 1000 for column in zip(*times, strict=True)]
    print(
        "per frame: network {:.1f} ms, encoder {:.1f} ms, whole export {:.1f} ms".format(*parts)
        + f", {alone:.2f} of the slower one"
    )
    with av.open(str(done.path)) as container:
        luma = [f.reformat(*SOURCE, "gray").to_ndarray() for f in container.decode(video=0)]
    assert len(luma) == FRAMES
    wanted = [f.reformat(format="gray").to_ndarray() for f in source]
    for k, shown in enumerate(luma):
        near = range(max(0, k - 2), min(FRAMES, k + 3))
        apart = {n: np.abs(shown.astype(int) - wanted[n]).mean() for n in near}
        assert min(apart, key=apart.__getitem__) == k
    if GPU:
        assert alone <= 1.15
        need = vram_of(plan)
        assert need is not None
        assert peak_mib() <= need["mib"]
