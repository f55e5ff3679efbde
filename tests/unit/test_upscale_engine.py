"""The engine against `RealESRGANer` itself, tiles against none, and a memory that runs out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from upscale_support import CPU, SMALL, needs_realesrgan, picture, to_image, to_tensor, weights

from jupyter_export.errors import Cancelled, OutOfMemory
from jupyter_export.upscale.colour import Coding, to_planes, to_rgb
from jupyter_export.upscale.engine import Engine
from jupyter_export.upscale.frames import Frames
from jupyter_export.upscale.replay import Replay
from jupyter_export.upscale.shape import Shape
from jupyter_export.upscale.stock import Stock, stock_upsampler
from jupyter_export.upscale.tiles import Layout
from jupyter_export.upscale.weights import mix


def engine(shape: Shape, state: dict[str, torch.Tensor], **options: Any) -> Engine:
    return Engine(shape, state, CPU, **{"dtype": torch.float32, **options})


@needs_realesrgan
@pytest.mark.parametrize("name", SMALL)
def test_pictures_are_those_of_realesrganer(name: str) -> None:
    shape, state = SMALL[name], weights(SMALL[name])
    image = picture(45, 62)
    expected, _ = stock_upsampler(shape, state, CPU).enhance(image[..., ::-1].copy())
    expected = expected[..., ::-1].astype(int)
    exact = np.abs(to_image(engine(shape, state)(to_tensor(image))) - expected)
    assert exact.max() <= 1
    for dtype in (torch.bfloat16, torch.float16):
        reduced = np.abs(to_image(engine(shape, state, dtype=dtype)(to_tensor(image))) - expected)
        assert reduced.max() <= 2
        assert reduced.mean() < 0.5
    assert expected.std() > 5  # the weights do something


@pytest.mark.parametrize("name", SMALL)
def test_no_seam_shows_where_tiles_meet(name: str) -> None:
    shape, state = SMALL[name], weights(SMALL[name])
    rgb = to_tensor(picture(131, 150))
    whole = to_image(engine(shape, state)(rgb))
    for layout in (Layout(64, 1), Layout(40, 4)):
        tiled = to_image(engine(shape, state, layout=layout)(rgb))
        assert np.abs(tiled - whole).max() <= 1


def test_a_halo_too_small_would_have_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shape, state = SMALL["srvgg x4"], weights(SMALL["srvgg x4"])
    rgb = to_tensor(picture(131, 150))
    whole = to_image(engine(shape, state)(rgb))
    monkeypatch.setattr(Shape, "halo", 2)
    seamed = to_image(engine(shape, state, layout=Layout(64, 1))(rgb))
    assert np.abs(seamed - whole).max() > 1


def test_a_network_that_adds_nothing_repeats_every_pixel_exactly() -> None:
    shape = SMALL["srvgg x4"]
    state = weights(shape, zero_last=True)
    # Video may hold colours that no screen shows, outside 0…1; they stay as they are.
    rgb = torch.rand(3, 37, 50) * 1.4 - 0.2
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        result = engine(shape, state, dtype=dtype, layout=Layout(32, 2))(rgb)
        assert torch.equal(result, rgb.repeat_interleave(4, 1).repeat_interleave(4, 2))


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (9, 5)])
def test_the_smallest_pictures_work(size: tuple[int, int]) -> None:
    for shape in SMALL.values():
        result = engine(shape, weights(shape))(torch.rand(3, *size))
        assert result.shape == (3, size[0] * shape.scale, size[1] * shape.scale)


def test_a_format_that_a_model_overflows_is_not_used() -> None:
    shape = SMALL["srvgg x4"]
    state = weights(shape)
    state["body.0.weight"] *= 1e38
    state["body.2.weight"] *= 1e-38
    fast = Engine(shape, state, CPU)
    assert torch.isfinite(fast(torch.rand(3, 8, 8))).all()


class Scarce:
    """Makes a network's memory run out: in its call number `at`, or above `most` pixels."""

    def __init__(self, *, at: int = -1, most: int = 10**9) -> None:
        self.at, self.most, self.calls, self.failures = at, most, 0, 0

    def into(self, made: Engine) -> None:
        inner: Callable[[torch.Tensor], torch.Tensor] = made._network

        def run(batch: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls == self.at or batch.numel() // 3 > self.most:
                self.failures += 1
                raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
            return inner(batch)

        made._network = run  # type: ignore[assignment]


def test_every_frame_survives_memory_running_out_at_any_tile() -> None:
    shape, state = SMALL["srvgg x4"], weights(SMALL["srvgg x4"])
    pictures = [to_tensor(picture(100, 120, seed)) for seed in range(2)]
    whole = [to_image(engine(shape, state)(p)) for p in pictures]
    undisturbed = Scarce()
    made = engine(shape, state, layout=Layout(64, 2))
    undisturbed.into(made)
    for p in pictures:
        made(p)
    assert undisturbed.calls == 4
    for at in range(1, undisturbed.calls + 1):
        scarce = Scarce(at=at)
        made = engine(shape, state, layout=Layout(64, 2))
        scarce.into(made)
        for p, expected in zip(pictures, whole, strict=True):
            assert np.abs(to_image(made(p)) - expected).max() <= 1
        assert scarce.failures == 1


def test_tiles_shrink_until_they_fit_and_stay_so() -> None:
    shape, state = SMALL["srvgg x4"], weights(SMALL["srvgg x4"])
    rgb = to_tensor(picture(200, 300))
    whole = to_image(engine(shape, state)(rgb))
    made = engine(shape, state)
    scarce = Scarce(most=90 * 90)
    scarce.into(made)
    assert np.abs(to_image(made(rgb)) - whole).max() <= 1
    failures = scarce.failures
    assert failures > 0
    made(rgb)
    assert scarce.failures == failures


def test_what_never_fits_ends_with_what_to_do() -> None:
    shape, state = SMALL["srvgg x4"], weights(SMALL["srvgg x4"])
    made = engine(shape, state)
    Scarce(most=100).into(made)
    with pytest.raises(OutOfMemory, match=r"tiles of 64 pixels.*smaller model, crop first"):
        made(torch.rand(3, 100, 120))


def test_the_systems_own_memory_running_out_counts_too() -> None:
    shape = SMALL["srvgg x4"]
    made = engine(shape, weights(shape))
    inner = made._network

    def run(batch: torch.Tensor) -> torch.Tensor:
        if batch.shape[-1] > 80:
            torch.empty(2**58)  # what the CPU's allocator then says is no OutOfMemoryError
        return inner(batch)

    made._network = run  # type: ignore[assignment]
    assert made(torch.rand(3, 64, 100)).shape == (3, 256, 400)


def test_other_errors_are_not_taken_for_memory() -> None:
    shape = SMALL["srvgg x4"]
    made = engine(shape, weights(shape))

    def run(batch: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    made._network = run  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="illegal memory access"):
        made(torch.rand(3, 64, 100))


def test_a_cancel_is_noticed_between_layers() -> None:
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 8:
            raise Cancelled("The work was cancelled.")

    shape = SMALL["rrdb x4"]
    made = engine(shape, weights(shape), check=check)
    with pytest.raises(Cancelled):
        made(torch.rand(3, 64, 64))  # one tile, of 20 layers
    assert asked == 8


class Recorder:
    """Stands in for CUDA graphs: as theirs, every result lies where the one before lay."""

    def __init__(self) -> None:
        self.recorded: list[tuple[int, ...]] = []
        self.replayed = 0
        self.fails: Exception | None = None

    def capture(
        self, network: torch.nn.Module, sample: torch.Tensor
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        if self.fails is not None:
            raise self.fails
        self.recorded.append(tuple(sample.shape))
        given = sample.clone()
        made = network(given)

        def replay(batch: torch.Tensor) -> torch.Tensor:
            self.replayed += 1
            given.copy_(batch)
            return made.copy_(network(given))

        return replay


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr("jupyter_export.upscale.replay.capture", made.capture)
    return made


def test_a_long_job_is_recorded_and_replayed_to_the_same_bits(recorder: Recorder) -> None:
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1

    shape, state = SMALL["srvgg x4"], weights(SMALL["srvgg x4"])
    pictures = [to_tensor(picture(100, 120, seed)) for seed in range(4)]
    plain = engine(shape, state, layout=Layout(64, 1))
    made = engine(shape, state, layout=Layout(64, 1), replay_after=3, check=check)
    results = [made(p) for p in pictures]
    for result, p in zip(results, pictures, strict=True):
        assert torch.equal(result, plain(p))
    assert len(recorder.recorded) == 1
    assert recorder.replayed == 2 * 4  # of four tiles, from the third picture on
    eager = asked
    made(pictures[0])
    assert asked - eager == 4  # a cancel is still noticed before every batch


def test_a_recording_has_the_networks_own_weights() -> None:
    shape = SMALL["rrdb x4"]
    made = engine(shape, weights(shape), check=lambda: None)
    plain = Replay(made._network)._network
    assert [p.data_ptr() for p in plain.parameters()] == [
        p.data_ptr() for p in made._network.parameters()
    ]
    assert not any(part._forward_pre_hooks for part in plain.modules())
    assert any(part._forward_pre_hooks for part in made._network.modules())


def test_only_a_few_recordings_are_kept(recorder: Recorder) -> None:
    shape = SMALL["srvgg x4"]
    made = engine(shape, weights(shape), replay_after=1)
    for side in (*range(20, 32), 31, 20):
        made(torch.rand(3, 20, side))
    assert len(recorder.recorded) == 13  # the latest was there, the first was not any more


def test_where_nothing_can_be_recorded_a_long_job_goes_on_without(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.fails = RuntimeError("CUDA error: operation not permitted when stream is capturing")
    shape, state = SMALL["srvgg x2"], weights(SMALL["srvgg x2"])
    made = engine(shape, state, replay_after=2)
    rgb = torch.rand(3, 20, 20)
    first = made(rgb)
    assert torch.equal(made(rgb), first)
    assert torch.equal(made(rgb), first)
    assert [r.getMessage() for r in caplog.records] == [
        "action=no-replay: CUDA graphs do not work here: CUDA error: operation not permitted when "
        "stream is capturing"
    ]


def test_a_recording_that_finds_no_memory_makes_tiles_smaller(recorder: Recorder) -> None:
    recorder.fails = torch.OutOfMemoryError("CUDA out of memory (simulated)")
    shape, state = SMALL["srvgg x4"], weights(SMALL["srvgg x4"])
    rgb = to_tensor(picture(100, 120))
    made = engine(shape, state, layout=Layout(64, 2), replay_after=2)
    first = to_image(made(rgb))
    assert np.abs(to_image(made(rgb)) - first).max() <= 1
    assert made.layout(120, 100) == Layout(64, 1)
    recorder.fails = None
    made(rgb)
    assert recorder.recorded == []  # recordings take memory, too: none from now on


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_what_libraries_on_a_gpu_say_when_memory_is_out_is_understood(message: str) -> None:
    shape, state = SMALL["srvgg x4"], weights(SMALL["srvgg x4"])
    rgb = to_tensor(picture(100, 120))
    made = engine(shape, state, layout=Layout(64, 2))
    expected = to_image(made(rgb))
    inner, failed = made._network, []

    def run(batch: torch.Tensor) -> torch.Tensor:
        if not failed:
            failed.append(True)
            raise RuntimeError(message)
        return inner(batch)

    made._network = run  # type: ignore[assignment]
    assert np.abs(to_image(made(rgb)) - expected).max() <= 1
    assert made.layout(120, 100) == Layout(64, 1)


def test_colours_that_find_no_memory_are_tried_once_more() -> None:
    failures = 1

    def upscale(rgb: torch.Tensor) -> torch.Tensor:
        nonlocal failures
        if failures:
            failures -= 1
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
        return rgb

    planes = [np.full(s, v, np.uint8) for s, v in (((8, 12), 90), ((4, 6), 100), ((4, 6), 140))]
    frames = Frames(upscale, CPU, (12, 8), Coding(2, 2))
    assert (frames.start(planes).planes()[0] == 90).all()
    failures = 2
    planes[0][0, 0] = 91
    with pytest.raises(OutOfMemory, match=r"no memory for a picture of 12×8.*smaller size"):
        frames.start(planes)


def test_the_denoise_strength_mixes_two_networks() -> None:
    shape = SMALL["srvgg x4"]
    one, other = weights(shape, 1), weights(shape, 2)
    mixed = mix(one, other, 0.25)
    for name, tensor in mixed.items():
        assert torch.allclose(tensor, 0.25 * one[name] + 0.75 * other[name], atol=1e-6)


@pytest.mark.parametrize("matrix", [1, 2, 6, 9])
@pytest.mark.parametrize("full_range", [False, True])
def test_planes_come_back_from_rgb_as_they_were(matrix: int, full_range: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    planes = [
        torch.randint(0, 256, (31, 40), dtype=torch.uint8, generator=generator) for _ in range(3)
    ]
    coding = Coding(1, 1, matrix, full_range)
    for before, after in zip(planes, to_planes(to_rgb(planes, coding), coding), strict=True):
        assert torch.equal(before, after)


def test_colours_are_those_of_the_standard() -> None:
    # BT.709, limited range: 75 % colour bars, yellow and blue (SMPTE RP 219).
    coding = Coding(1, 1, 1, False)
    for rgb, codes in (((0.75, 0.75, 0), (168, 44, 136)), ((0, 0, 0.75), (28, 212, 120))):
        pixel = torch.tensor(rgb, dtype=torch.float32)[:, None, None]
        assert [int(p) for p in to_planes(pixel, coding)] == list(codes)


def test_chroma_stays_where_it_lies_between_luma_samples() -> None:
    # A ramp is linear: wherever its chroma is sampled, it must come back on the same line.
    luma = torch.full((24, 32), 128, dtype=torch.uint8)
    left = torch.arange(16).mul(8).add(60).to(torch.uint8).expand(12, 16)  # at luma 0, 2, 4, …
    coding = Coding(2, 2, 1, True)
    rgb = to_rgb([luma, left, left], coding)
    blue = (rgb[2] - rgb.new_tensor([128 / 255])) / (2 * (1 - 0.0722)) * 255 + 128
    assert torch.allclose(blue[5, :30], 60 + 4 * torch.arange(30.0), atol=1e-3)
    back = to_planes(rgb, coding)
    assert torch.equal(back[1][:, 1:-1], left[:, 1:-1])


def test_a_picture_that_does_not_change_is_inferred_once() -> None:
    calls = 0

    def upscale(rgb: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return rgb.repeat_interleave(2, 1).repeat_interleave(2, 2)

    frames = Frames(upscale, CPU, (48, 32), Coding(2, 2))

    def planes(seed: int) -> list[np.ndarray]:
        image = picture(16, 24, seed)
        return [image[..., 0], image[:8, :12, 1].copy(), image[:8, :12, 2].copy()]

    results = [frames.start(planes(seed)).planes() for seed in (1, 1, 1, 2, 1)]
    assert calls == 3
    for result in (results[1], results[2], results[4]):
        assert all(map(np.array_equal, result, results[0]))
    assert not np.array_equal(results[3][0], results[0][0])
    changed = planes(1)
    changed[2][7, 11] ^= 1  # one sample of chroma
    frames.start(changed)
    assert calls == 4


@pytest.mark.parametrize("size", [(96, 64), (50, 34), (120, 90), (200, 20)])
def test_any_size_comes_out_exactly(size: tuple[int, int]) -> None:
    frames = Frames(lambda rgb: rgb, CPU, size, Coding(2, 2))
    grey = [np.full(s, v, np.uint8) for s, v in (((64, 96), 90), ((32, 48), 100), ((32, 48), 140))]
    for plane, value, (w, h) in zip(
        frames.start(grey).planes(),
        (90, 100, 140),
        (size, (size[0] // 2, size[1] // 2), (size[0] // 2, size[1] // 2)),
        strict=True,
    ):
        assert plane.shape == (h, w)
        assert (plane == value).all()


@needs_realesrgan
def test_the_package_realesrgan_can_do_the_work_itself() -> None:
    shape, state = SMALL["srvgg x4"], weights(SMALL["srvgg x4"])
    before = set(sys.modules)
    rgb = to_tensor(picture(40, 50))
    stock = to_image(Stock(shape, state, CPU)(rgb))
    assert np.abs(stock - to_image(engine(shape, state)(rgb))).max() <= 1
    left = {name.split(".")[0] for name in set(sys.modules) - before}
    assert not left & {"basicsr", "realesrgan", "torchvision"}
