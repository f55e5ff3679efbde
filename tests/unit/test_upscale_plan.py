"""Upscaling before torch: how pictures are cut, and what they will take."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from upscale_support import CPU, SMALL, weights

from jupyter_export.upscale.architectures import RRDBNet, SRVGGNetCompact
from jupyter_export.upscale.catalogue import PUBLISHED
from jupyter_export.upscale.colour import Coding
from jupyter_export.upscale.engine import Engine
from jupyter_export.upscale.frames import Frames
from jupyter_export.upscale.memory import Change, estimate, least, levers
from jupyter_export.upscale.shape import Shape
from jupyter_export.upscale.tiles import MIN_TILE, Layout, choose, spans

GENERAL = PUBLISHED["realesr-general-x4v3"].shape
X4PLUS = PUBLISHED["RealESRGAN_x4plus"].shape


@given(
    length=st.integers(1, 900),
    tile=st.integers(MIN_TILE, 300),
    halo=st.integers(0, 40),
    multiple=st.sampled_from([1, 2, 4]),
)
def test_windows_cover_every_pixel_once_with_the_whole_halo(
    length: int, tile: int, halo: int, multiple: int
) -> None:
    length *= multiple
    found = spans(length, tile, halo, multiple)
    assert found[0].first == 0
    assert found[-1].last == length
    assert all(a.last == b.first for a, b in itertools.pairwise(found))
    size = found[0].stop - found[0].start
    for span in found:
        assert span.stop - span.start == size  # one shape: one compiled kernel
        assert 0 <= span.start <= span.first < span.last <= span.stop <= length
        assert span.start % multiple == size % multiple == 0
        # Inside the picture, nothing that is used is nearer to the window's end than the halo.
        assert span.start == 0 or span.first - span.start >= halo
        assert span.stop == length or span.stop - span.last >= halo


def test_a_picture_that_fits_is_not_cut() -> None:
    assert len(spans(1280, choose(GENERAL, 1280, 720, 2, 2**31).tile, GENERAL.halo)) == 1


def test_shrinking_ends_at_one_smallest_tile() -> None:
    layout: Layout | None = choose(X4PLUS, 3840, 2160, 2, 2**31)
    seen = []
    while layout is not None:
        seen.append(layout)
        layout = layout.smaller(3840, 2160)
    assert seen[0].batch > 1 or seen[0].tile > 500
    assert seen[-1] == Layout(MIN_TILE, 1)
    assert len(set(seen)) == len(seen) < 12


class Peak(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive, as an allocator would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, tuple[object, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        from torch.multiprocessing.reductions import StorageWeakRef

        self.live = {k: v for k, v in self.live.items() if not v[0].expired()}
        result = function(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                reference = StorageWeakRef(storage)
                self.live.setdefault(reference.cdata, (reference, storage.nbytes()))
        self.peak = max(self.peak, sum(size for _, size in self.live.values()))
        return result


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_estimate_is_what_the_network_really_holds(name: str) -> None:
    shape = PUBLISHED[name].shape
    with torch.device("meta"):
        network = SRVGGNetCompact(shape) if shape.architecture == "srvgg" else RRDBNet(shape)
        network = network.half().eval()
        with torch.no_grad(), Peak() as counted:
            network(torch.empty(2, 3, 64, 96, dtype=torch.float16))
    real = counted.peak / (2 * 64 * 96)
    assert 0.99 * real <= 2 * shape.live_values <= 1.15 * real
    assert sum(p.numel() for p in network.parameters()) == shape.weights


@pytest.mark.parametrize("size", [(960, 640), (700, 500), (1200, 900)])
@pytest.mark.parametrize("name", ["srvgg x4", "rrdb x4"])
def test_the_estimate_covers_a_whole_frame(name: str, size: tuple[int, int]) -> None:
    shape, layout = SMALL[name], Layout(64, 2)
    made = Engine(shape, weights(shape), CPU, dtype=torch.float32, layout=layout)
    frames = Frames(made, CPU, size, Coding(1, 1))
    planes = [np.full((160, 240), 99, np.uint8)] * 3
    with Peak() as counted:
        frames.start(planes)
    told = estimate(shape, 240, 160, size, value_bytes=4, layout=layout, context=0)
    assert counted.peak / 2**20 <= told.total <= 3 * counted.peak / 2**20


def test_less_memory_means_smaller_tiles_not_a_larger_estimate() -> None:
    roomy = estimate(X4PLUS, 1280, 720)
    tight = estimate(X4PLUS, 1280, 720, budget=2**28)
    assert tight.total < roomy.total
    assert tight.layout.tile < roomy.layout.tile


def test_what_does_not_fit_comes_with_what_to_do() -> None:
    wanted = Change(X4PLUS, 1920, 1080, (7680, 4320))
    offered = dict(levers(wanted, replace(wanted, shape=GENERAL), "general"))
    assert list(offered) == [
        "scale 2",
        "model general",
        "model general with scale 2",
        "a crop to 960×540 before it",
    ]
    # Each tells what it would need, and needs less.
    assert offered["scale 2"] == least(X4PLUS, 1920, 1080, (3840, 2160)).total
    assert all(mib < wanted.least_mib for mib in offered.values())
    # What is there already is not offered.
    small = Change(GENERAL, 640, 360, (1280, 720))
    assert [words for words, _ in levers(small, small, "general")] == [
        "a crop to 320×180 before it"
    ]


def test_a_halo_is_as_far_as_a_small_network_can_see() -> None:
    for shape in (Shape("srvgg", 4, 8, 3), Shape("rrdb", 4, 8, 1, 4), Shape("rrdb", 2, 8, 1, 4)):
        torch.manual_seed(0)
        network = SRVGGNetCompact(shape) if shape.architecture == "srvgg" else RRDBNet(shape)
        side = 4 * shape.reach
        image = torch.rand(1, 3, 16, side, requires_grad=True)
        middle = side // 2
        network(image)[..., middle * shape.scale : (middle + 1) * shape.scale].sum().backward()
        assert image.grad is not None
        seen = image.grad.abs().sum((0, 1, 2)).nonzero().flatten()
        assert int(seen.max()) - middle <= shape.reach
        assert middle - int(seen.min()) <= shape.reach


def test_planning_and_the_command_line_never_import_torch() -> None:
    code = (
        "import sys\n"
        "import jupyter_export.cli, jupyter_export.media.effects.upscale\n"
        "import jupyter_export.upscale.commands, jupyter_export.upscale.download\n"
        "import jupyter_export.upscale.memory, jupyter_export.workers.tasks\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
