"""OpenVINO in the place of torch: the engine's own pictures, and nothing told to anyone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from upscale_support import CPU, SMALL, picture, save, to_image, to_tensor, weights

from jupyter_export.errors import Cancelled
from jupyter_export.upscale.device import native_bfloat16
from jupyter_export.upscale.engine import Engine
from jupyter_export.upscale.openvino import Compiled, compiler
from jupyter_export.upscale.shape import Shape
from jupyter_export.upscale.tiles import Layout
from jupyter_export.workers.jail import problem

NAMES = ["srvgg x4", "srvgg x2", "rrdb x4", "rrdb x2", "rrdb x1"]
TESTS = Path(__file__).parents[1]


def engine(shape: Shape, state: dict[str, torch.Tensor], **options: Any) -> Engine:
    return Engine(shape, state, CPU, **{"dtype": torch.float32, **options})


def compiled(made: Engine) -> Compiled:
    assert isinstance(made._network, Compiled)
    return made._network


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_those_of_the_engine(name: str) -> None:
    shape, state = SMALL[name], weights(SMALL[name])
    rgb = to_tensor(picture(45, 62))
    expected = to_image(engine(shape, state)(rgb))
    exact = np.abs(to_image(engine(shape, state, runtime=compiler(1))(rgb)) - expected)
    assert exact.max() <= 1
    made = engine(shape, state, runtime=compiler(1), dtype=torch.bfloat16)
    reduced = np.abs(to_image(made(rgb)) - expected)
    assert reduced.max() <= 2
    assert reduced.mean() < 0.5
    assert expected.std() > 5  # the weights do something


@pytest.mark.parametrize("name", ["srvgg x4", "rrdb x2"])
def test_no_seam_shows_where_tiles_meet(name: str) -> None:
    shape, state = SMALL[name], weights(SMALL[name])
    rgb = to_tensor(picture(131, 150))
    whole = to_image(engine(shape, state)(rgb))
    for layout in (Layout(64, 1), Layout(40, 4)):
        tiled = to_image(engine(shape, state, layout=layout, runtime=compiler(1))(rgb))
        assert np.abs(tiled - whole).max() <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["srvgg x4", "rrdb x4", "rrdb x2"])
def test_bits_are_the_same_every_time_and_with_any_number_of_threads(
    name: str, dtype: torch.dtype
) -> None:
    shape, state = SMALL[name], weights(SMALL[name])
    pictures = [to_tensor(picture(70, 90, seed)) for seed in range(2)]

    def made(threads: int) -> list[torch.Tensor]:
        one = engine(shape, state, layout=Layout(64, 2), runtime=compiler(threads), dtype=dtype)
        return [one(p) for p in pictures]

    first = made(1)
    assert not torch.equal(*first)
    for threads in (1, 2):
        assert all(map(torch.equal, made(threads), first))


def test_a_network_that_adds_nothing_repeats_every_pixel_exactly() -> None:
    shape = SMALL["srvgg x4"]
    state = weights(shape, zero_last=True)
    rgb = torch.rand(3, 37, 50) * 1.4 - 0.2
    for dtype in (torch.float32, torch.bfloat16):
        made = engine(shape, state, dtype=dtype, layout=Layout(32, 2), runtime=compiler(1))
        assert torch.equal(made(rgb), rgb.repeat_interleave(4, 1).repeat_interleave(4, 2))


@pytest.mark.skipif(not native_bfloat16(), reason="OpenVINO then computes in float32 anyway")
def test_a_format_that_a_model_overflows_is_not_used() -> None:
    shape = SMALL["srvgg x4"]
    state = weights(shape)
    assert Engine(shape, state, CPU, runtime=compiler(1)).dtype is torch.bfloat16
    # So little of a large number that bfloat16 has not got.
    state["body.0.bias"] += 1000.0
    state["body.2.bias"] -= (state["body.2.weight"].sum((2, 3)) @ state["body.0.bias"]).float()
    made = Engine(shape, state, CPU, runtime=compiler(1))
    assert made.dtype is torch.float32
    rgb = to_tensor(picture(40, 50))
    assert torch.allclose(made(rgb), engine(shape, state)(rgb), atol=2e-3)


def test_only_a_few_compiled_networks_are_kept() -> None:
    shape, state = SMALL["srvgg x4"], weights(SMALL["srvgg x4"])
    made, plain = engine(shape, state, runtime=compiler(1)), engine(shape, state)
    for side in (*range(20, 27), 26, 20):
        rgb = torch.rand(3, 20, side)
        assert torch.allclose(made(rgb), plain(rgb), atol=1e-4)
    kept = list(compiled(made)._requests)
    assert [shape[-1] for shape in kept] == [24, 25, 26, 20]


def test_threads_are_not_tied_to_cores_and_no_more_than_asked_for() -> None:
    shape = SMALL["srvgg x4"]
    made = engine(shape, weights(shape), runtime=compiler(1))
    made(torch.rand(3, 20, 20))
    (request,) = compiled(made)._requests.values()
    network = request.get_compiled_model()
    assert network.get_property("ENABLE_CPU_PINNING") is False
    assert network.get_property("INFERENCE_NUM_THREADS") == 1
    assert network.get_property("NUM_STREAMS") == 1


def test_a_cancel_is_noticed_before_every_batch() -> None:
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise Cancelled("The work was cancelled.")

    shape = SMALL["srvgg x4"]
    made = engine(shape, weights(shape), check=check, layout=Layout(64, 1), runtime=compiler(1))
    with pytest.raises(Cancelled):
        made(torch.rand(3, 100, 120))  # four tiles
    assert asked == 3


def test_memory_that_runs_out_makes_tiles_smaller() -> None:
    shape, state = SMALL["srvgg x4"], weights(SMALL["srvgg x4"])
    rgb = to_tensor(picture(100, 120))
    whole = to_image(engine(shape, state)(rgb))
    made = engine(shape, state, layout=Layout(64, 2), runtime=compiler(1))
    inner: Callable[[torch.Tensor], torch.Tensor] = made._network
    fails = True

    def scarce(batch: torch.Tensor) -> torch.Tensor:
        if fails and batch.shape[0] > 1:
            raise MemoryError("std::bad_alloc")  # as the binding tells it
        return inner(batch)

    made._network = scarce
    assert np.abs(to_image(made(rgb)) - whole).max() <= 1
    assert made.layout(120, 100) == Layout(64, 1)


def child(script: str, tmp_path: Path, *arguments: str) -> str:
    """What `script` prints in a process whose home is empty and that is no build's."""
    environment = {
        k: v for k, v in os.environ.items() if k not in {"CI", "TF_BUILD", "JENKINS_URL"}
    }
    path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**environment, "HOME": str(tmp_path / "home"), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SILENT = """
import sys
seen = []
events = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.fork", "os.posix_spawn")
sys.addaudithook(lambda event, values: seen.append(event) if event in events else None)
import torch
from upscale_support import CPU, SMALL, weights
from jupyter_export.upscale.engine import Engine
from jupyter_export.upscale.openvino import compiler
before = "openvino" in sys.modules
seen.clear()
shape = SMALL["srvgg x4"]
Engine(shape, weights(shape), CPU, runtime=compiler(1))(torch.rand(3, 20, 20))
told = [name for name, module in sys.modules.items()
        if name.split(".")[0] == "openvino_telemetry" and module is not None]
print(before, "openvino" in sys.modules, seen, told)
"""


def test_nobody_is_told_of_its_use(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    assert child(SILENT, tmp_path).split() == ["False", "True", "[]", "[]"]
    assert list((tmp_path / "home").iterdir()) == []


JAILED = """
import sys
from pathlib import Path
from jupyter_export.workers.jail import Jail, enter, folder
from jupyter_export.workers.limits import limit_memory
models, own = Path(sys.argv[1]), Path(sys.argv[2])
limit_memory(0)
enter(Jail(read=(folder(models),), write=(folder(own),)))
import torch
from upscale_support import CPU
from jupyter_export.upscale.engine import Engine
from jupyter_export.upscale.openvino import compiler
from jupyter_export.upscale.weights import load
shape, state = load(models / "tiny.pth")
rgb = torch.rand(3, 90, 120, generator=torch.Generator().manual_seed(0))
results = [Engine(shape, state, CPU, dtype=torch.float32, runtime=runtime)(rgb)
           for runtime in (compiler(2), None)]
print((results[0] - results[1]).abs().max().item())
"""


@pytest.mark.skipif(bool(problem()), reason="nothing can be locked in here")
def test_it_works_in_a_worker_that_is_locked_in(tmp_path: Path) -> None:
    for name in ("models", "own", "home"):
        (tmp_path / name).mkdir()
    save(tmp_path / "models" / "tiny.pth", SMALL["rrdb x2"])
    difference = child(JAILED, tmp_path, str(tmp_path / "models"), str(tmp_path / "own"))
    assert float(difference) < 1e-3


SCARCE = """
import resource, sys
import torch
from pathlib import Path
from upscale_support import CPU, SMALL, weights
from jupyter_export.upscale.engine import Engine
from jupyter_export.upscale.openvino import compiler
from jupyter_export.upscale.tiles import Layout
shape = SMALL["rrdb x4"]
made = Engine(shape, weights(shape), CPU, dtype=torch.float32, runtime=compiler(1),
              layout=Layout(2048, 1))
made(torch.rand(3, 32, 32))
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
rgb = torch.rand(3, 500, 500)
resource.setrlimit(resource.RLIMIT_AS, (size + 2**28, resource.RLIM_INFINITY))
result = made(rgb)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
whole = Engine(shape, weights(shape), CPU, dtype=torch.float32)(rgb)
print(made.layout(500, 500).tile < 2048, (result - whole).abs().max().item() < 4e-3)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are Linux's")
def test_the_systems_memory_that_runs_out_is_understood(tmp_path: Path) -> None:
    assert child(SCARCE, tmp_path).split() == ["True", "True"]
