"""What a type checker tells those who use the package: everything, and only what is true."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jupyter_export as jx

REPOSITORY = Path(__file__).parents[2]

CONSUMER = """\
import asyncio
from fractions import Fraction

import numpy as np

import jupyter_export as jx
from jupyter_export.spec import Text

film: str = jx.from_frames(np.zeros((10, 64, 64, 3), np.uint8), fps=Fraction(30000, 1001))
spec: jx.ExportSpec = (
    jx.clip(film, 1, 9, quality="fast")
    .crop((0, 0, 64, 64))
    .upscale(2)
    .highlight([], look={"shape": "ground"}, fps=25)
    .annotate(Text(text="Goal!", x=0.0, y=0.0))
    .encode(codec="hevc", size=(640, 360))
    .to("goal.mp4")
)
estimate: jx.Estimate = spec.estimate()
seconds: float = estimate.seconds
job: jx.JobHandle = jx.export(spec, priority=3)
frames: int = job.wait(timeout=9).result.frames
batch: jx.Batch = jx.export_all([spec, spec.model_dump()])
first: jx.JobHandle = batch[0]
results: list[jx.Result | None] = batch.wait().results


async def wait() -> jx.JobHandle:
    return await job


asyncio.run(wait())
"""

WRONG = """\
import jupyter_export as jx

jx.clip("a.mp4", quality="best")
jx.clip("a.mp4", codek="h264")
jx.clip("a.mp4").upscale("twice")
jx.export(7)
jx.no_such_thing
"""


def checked(code: str, folder: Path) -> list[str]:
    (folder / "consumer.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "consumer.py"],
        cwd=folder,
        env={"MYPYPATH": str(REPOSITORY), "PATH": "", "MYPY_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
    )
    assert not done.stderr, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("consumer.py")]


def test_a_strict_type_checker_takes_what_is_right_and_finds_what_is_wrong(tmp_path: Path) -> None:
    assert checked(CONSUMER, tmp_path) == []
    wrong = checked(WRONG, tmp_path)
    assert [line.split(":")[1] for line in wrong if ": error:" in line] == ["3", "4", "5", "6", "7"]


def test_every_type_of_the_public_api_is_known() -> None:
    checker = Path(sys.executable).with_name("basedpyright")
    done = subprocess.run(
        [checker, "--verifytypes", "jupyter_export", "--outputjson", "--ignoreexternal"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    public = {name: getattr(jx, name) for name in jx.__all__ if name != "__version__"}
    places = {f"{value.__module__}.{value.__qualname__}" for value in public.values()}
    mine = [s for s in symbols if any(f"{s['name']}.".startswith(f"{p}.") for p in places)]
    assert places - {s["name"] for s in mine} == set(), "not looked at"
    # Panel and editor are widgets: their base classes have no types.
    widgets = ("jupyter_export.notebook.widget.", "jupyter_export.notebook.editor.")
    typed = [s for s in mine if not s["name"].startswith(widgets)]
    unknown = [s["name"] for s in typed if not s["isTypeKnown"] or s["isTypeAmbiguous"]]
    assert unknown == []
