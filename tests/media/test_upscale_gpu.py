"""The engine on a real GPU: the same pictures as on the processor, whatever is done to be fast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from upscale_support import (
    CPU,
    SMALL,
    needs_realesrgan,
    picture,
    to_image,
    to_tensor,
    weights,
)

from jupyter_export.upscale.catalogue import GENERAL, PUBLISHED
from jupyter_export.upscale.colour import Coding
from jupyter_export.upscale.device import choose_format, open_device
from jupyter_export.upscale.engine import Engine
from jupyter_export.upscale.frames import Frames
from jupyter_export.upscale.memory import estimate
from jupyter_export.upscale.stock import stock_upsampler
from jupyter_export.upscale.tiles import Layout

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="torch can use no GPU on this machine"
)
SIZE = (400, 220)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=needs_gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    return open_device(request.param)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """This process may take no more of the GPU than 300 MiB beside what it has."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    allowed = torch.cuda.memory_reserved() + 300 * 2**20
    torch.cuda.set_per_process_memory_fraction(allowed / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def film(count: int) -> list[list[np.ndarray]]:
    """Frames of 4:2:0 of 120×100, each twice."""
    made = []
    for seed in range(count):
        image = picture(100, 120, seed // 2)
        made.append([image[..., 0].copy(), image[:50, :60, 1].copy(), image[:50, :60, 2].copy()])
    return made


def shown(frames: Frames, film: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    """As an export does it: each is begun before the one before is asked for."""
    results, before = [], None
    for planes in film:
        begun = frames.start(planes)
        if before is not None:
            results.append([plane.copy() for plane in before.planes()])
        before = begun
    assert before is not None
    results.append([plane.copy() for plane in before.planes()])
    return results


@pytest.mark.parametrize("layout", [Layout(64, 1), Layout(64, 2), Layout(2048, 1)])
@pytest.mark.parametrize("name", ["srvgg x4", "rrdb x2"])
def test_frames_that_overlap_are_those_made_one_by_one(
    name: str, layout: Layout, device: torch.device
) -> None:
    shape, state = SMALL[name], weights(SMALL[name])
    frames = film(12)

    def engine(**options: Any) -> Frames:
        made = Engine(shape, state, device, layout=layout, **options)
        return Frames(made, device, SIZE, Coding(2, 2))

    slowly = engine()
    wanted = [[plane.copy() for plane in slowly.start(planes).planes()] for planes in frames]
    after = 4 if device.type == "cuda" else None
    for result, planes in zip(shown(engine(replay_after=after), frames), wanted, strict=True):
        assert all(map(np.array_equal, result, planes))  # to the bit, recorded or not
    exact = Frames(
        Engine(shape, state, CPU, dtype=torch.float32, layout=layout), CPU, SIZE, Coding(2, 2)
    )
    for result, planes in zip(wanted[::2], frames[::2], strict=True):
        for plane, right in zip(result, exact.start(planes).planes(), strict=True):
            apart = np.abs(plane.astype(int) - right)
            assert apart.max() <= 2
            assert apart.mean() < 0.5


@needs_gpu
@needs_realesrgan
@pytest.mark.parametrize("name", SMALL)
def test_pictures_are_those_of_realesrganer_on_the_gpu(name: str) -> None:
    shape, state = SMALL[name], weights(SMALL[name])
    image = picture(45, 62)
    expected, _ = stock_upsampler(shape, state, CPU).enhance(image[..., ::-1].copy())
    made = Engine(shape, state, open_device("cuda"))
    assert made.dtype is choose_format(made.device)
    apart = np.abs(to_image(made(to_tensor(image).cuda()).cpu()) - expected[..., ::-1].astype(int))
    assert apart.max() <= 2
    assert apart.mean() < 0.5


@needs_gpu
def test_recorded_networks_are_really_replayed() -> None:
    shape = SMALL["srvgg x4"]
    made = Engine(shape, weights(shape), open_device("cuda"), replay_after=2)
    for _ in range(3):
        made(torch.rand(3, 60, 80, device="cuda"))
    assert made._replay is not None
    assert len(made._replay._recorded) == 1


@needs_gpu
def test_memory_that_really_runs_out_makes_tiles_smaller(little_memory: None) -> None:
    shape, device = PUBLISHED[GENERAL].shape, open_device("cuda")
    state = weights(shape)
    rgb = torch.rand(3, 720, 1280, device=device)
    made = Engine(shape, state, device, layout=Layout(2048, 1))
    whole = to_image(made(rgb).cpu())
    assert made.layout(1280, 720) != Layout(2048, 1)
    again = to_image(made(rgb).cpu())
    assert np.abs(again - whole).max() <= 1


@needs_gpu
def test_the_estimate_covers_what_a_gpu_really_holds() -> None:
    shape, device = PUBLISHED[GENERAL].shape, open_device("cuda")
    frames = Frames(
        Engine(shape, weights(shape), device, replay_after=3), device, (3840, 2160), Coding(2, 2)
    )
    rng = np.random.default_rng(0)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    torch.cuda.reset_peak_memory_stats()
    for _ in range(6):
        sizes = ((720, 1280), (360, 640), (360, 640))
        frames.start([rng.integers(0, 256, s, dtype=np.uint8) for s in sizes]).planes()
    taken = (torch.cuda.max_memory_reserved() - before) / 2**20
    told = estimate(shape, 1280, 720, (3840, 2160))
    assert taken <= told.total - told.context
