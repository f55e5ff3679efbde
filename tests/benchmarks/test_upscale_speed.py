"""Upscaling against `RealESRGANer`, in pairs: A B A B, ratios of wall time.

python3 tests/run.py tests/benchmarks/test_upscale_speed.py --benchmarks -s

The networks have the published shapes and random weights, which costs the same arithmetic. On a
CPU a picture of 320×180 goes to 1280×720; on a CUDA device one of 1280×720 to 3840×2160.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from support import export_here, ffmpeg
from upscale_support import save

from jupyter_export.upscale.catalogue import PUBLISHED
from jupyter_export.upscale.colour import Coding
from jupyter_export.upscale.device import choose_device, choose_format, open_device
from jupyter_export.upscale.engine import Engine
from jupyter_export.upscale.frames import Frames
from jupyter_export.upscale.memory import estimate
from jupyter_export.upscale.stock import stock_upsampler
from jupyter_export.upscale.weights import load

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

DEVICE = open_device(choose_device())
GPU = DEVICE.type == "cuda"
SOURCE = (1280, 720) if GPU else (320, 180)
SIZE = (3840, 2160) if GPU else (1280, 720)
PAIRS = 7 if GPU else 3
FRAMES = 240 if GPU else 16
MODELS = ("realesr-animevideov3", "realesr-general-x4v3")


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


def paired(name: str, stock: Callable[[int], Any], ours: Callable[[int], Any], per: int) -> None:
    """Prints the medians of wall time and of the ratios, also of the processor's time."""
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
        f"{name}: RealESRGANer {a:.0f} ms, engine {b:.0f} ms per frame, "
        f"{statistics.median(ratios):.1f}× ({min(ratios):.1f} to {max(ratios):.1f}), in "
        f"processor time {statistics.median(of_cpu):.1f}×, load {os.getloadavg()[0]:.1f}"
    )


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

    paired(f"{model}, end to end", stock, ours, FRAMES)
