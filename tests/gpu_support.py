"""Tools of the tests about GPUs: what the fake NVML tells, and exports that need GPU memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FAKES = Path(__file__).parent / "fakes" / "nvml"


class Driver:
    """What NVML tells from now on; `tell` changes it while exports run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.gpus: list[dict[str, Any]] = []

    def tell(self, *gpus: dict[str, Any], **more: Any) -> None:
        self.gpus = list(gpus)
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps({"gpus": self.gpus, **more}))
        draft.replace(self.path)

    def free(self, mib: int) -> None:
        """So much is left on the first GPU."""
        self.tell({**self.gpus[0], "free_mib": mib}, *self.gpus[1:])


def gpu(number: int = 0, total: int = 8192, free: int | None = None, **more: Any) -> dict[str, Any]:
    return {
        "uuid": f"GPU-{number}{number}{number}",
        "total_mib": total,
        "free_mib": total if free is None else free,
        "nvenc": True,
        **more,
    }


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """A machine with one idle GPU of 8 GiB."""
    made = Driver(tmp_path / "nvml.json")
    made.tell(gpu())
    monkeypatch.setenv("FAKE_NVML", str(made.path))
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.syspath_prepend(FAKES)
    monkeypatch.delitem(__import__("sys").modules, "pynvml", raising=False)
    return made
