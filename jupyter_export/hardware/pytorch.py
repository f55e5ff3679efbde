"""Whether PyTorch can compute on a GPU here, found out without loading it where it cannot."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import runpy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

__all__ = ["Torch", "installed_torch"]


@dataclass(frozen=True, kw_only=True)
class Torch:
    """The installed PyTorch; upscaling needs it."""

    version: str | None = None
    """None: it is not installed."""
    cuda: str | None = None
    """The CUDA version that it was built for."""
    usable: bool = False
    """Whether it has computed on the GPU."""
    reason: str = ""
    """Why it cannot; empty when it can."""

    def to_json(self) -> dict[str, Any]:
        """For the cache and for REST."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `to_json` gave.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**value)


def installed_torch(driver: str | None) -> Torch:
    """What can be said without loading it, which takes seconds; `driver` is NVIDIA's version.

    No reason means that only a trial can tell. Blocks.
    """
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return Torch(reason="not installed; only upscaling needs it")
    cuda = _built_for()
    if cuda is None:
        reason = "this build has no CUDA: it upscales on the processor"
    elif driver is None:
        reason = "no NVIDIA driver: it upscales on the processor"
    else:
        reason = ""
    return Torch(version=version, cuda=cuda, reason=reason)


def _built_for() -> str | None:
    """The CUDA version in torch's own ``version.py``, which imports nothing."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return None
    try:
        cuda = runpy.run_path(str(Path(found.origin).with_name("version.py"))).get("cuda")
    except Exception:  # whatever its build wrote there
        return None
    return str(cuda) if cuda else None
