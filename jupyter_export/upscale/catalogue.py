"""Which models there are: the six that Real-ESRGAN's authors publish, and what is in the folder.

A model has a name, never a path: the name of its file in the models folder without the suffix.
Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import ModelMissing, ModelUnusable, UpscaleUnavailable
from .shape import Shape

__all__ = [
    "GENERAL",
    "GENERAL_WDN",
    "PUBLISHED",
    "Published",
    "check_published",
    "file_hash",
    "find",
    "has_torch",
    "installed",
    "require_openvino",
    "require_realesrgan",
    "require_torch",
]

GENERAL = "realesr-general-x4v3"
GENERAL_WDN = "realesr-general-wdn-x4v3"
"""The same network, trained to keep noise: mixed with `GENERAL` for a denoise strength."""

SUFFIXES = (".pth", ".safetensors")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Published:
    """A weight file of the releases of xinntao/Real-ESRGAN (BSD-3-Clause)."""

    name: str
    tag: str
    """The release that has it."""
    size: int
    """Bytes."""
    sha256: str
    shape: Shape
    purpose: str

    @property
    def file(self) -> str:
        """Its name there and in the models folder."""
        return f"{self.name}.pth"


PUBLISHED: dict[str, Published] = {
    model.name: model
    for model in (
        Published(
            GENERAL,
            "v0.2.5.0",
            4885111,
            "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
            Shape("srvgg", 4, 64, 32),
            "any footage, fast; takes a denoise strength",
        ),
        Published(
            GENERAL_WDN,
            "v0.2.5.0",
            4885111,
            "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
            Shape("srvgg", 4, 64, 32),
            f"keeps noise; the other end of {GENERAL}'s denoise strength",
        ),
        Published(
            "realesr-animevideov3",
            "v0.2.5.0",
            2504012,
            "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d",
            Shape("srvgg", 4, 64, 16),
            "drawn films, fastest",
        ),
        Published(
            "RealESRGAN_x4plus",
            "v0.1.0",
            67040989,
            "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
            Shape("rrdb", 4, 64, 23, 32),
            "photographs, slow",
        ),
        Published(
            "RealESRGAN_x2plus",
            "v0.2.1",
            67061725,
            "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
            Shape("rrdb", 2, 64, 23, 32),
            "photographs, twice as large, slow",
        ),
        Published(
            "RealESRGAN_x4plus_anime_6B",
            "v0.2.2.4",
            17938799,
            "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
            Shape("rrdb", 4, 64, 6, 32),
            "drawings, slow",
        ),
    )
}


def find(folder: Path, name: str, *, field: str | None = None) -> Path:
    """The file of the model `name` in `folder`; its content is not looked at.

    Raises:
        ModelMissing: there is none, with the command that gets it.
    """
    if NAME.fullmatch(name):
        for suffix in SUFFIXES:
            path = folder / f"{name}{suffix}"
            if path.is_file():
                return path
    if name in PUBLISHED:
        advice = f"Run `jupyter export models pull {name}`."
    else:
        known = [*PUBLISHED, *(n for n in installed(folder) if n not in PUBLISHED)]
        advice = f"Choose one of {', '.join(known)}."
    raise ModelMissing(f"The model {name!r} is not installed.", advice, field=field)


def installed(folder: Path) -> dict[str, Path]:
    """The models in `folder` by name; of two files of one name, the one that `find` takes."""
    found: dict[str, Path] = {}
    for suffix in SUFFIXES:
        for path in sorted(folder.glob(f"*{suffix}")):
            if NAME.fullmatch(path.stem) and path.is_file():
                found.setdefault(path.stem, path)
    return found


def file_hash(path: Path) -> str:
    """SHA-256 of a file in hexadecimal; remembered until its size or time changes.

    Raises:
        ModelUnusable: it cannot be read.
    """
    try:
        info = path.stat()
        return _hash(path, info.st_size, info.st_mtime_ns)
    except OSError as error:
        raise ModelUnusable(
            f"The model file {path.name!r} cannot be read: {error.strerror}.",
            "Check its permissions.",
        ) from None


@lru_cache(maxsize=64)
def _hash(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_published(name: str, sha256: str) -> None:
    """Refuse a file that has the name of a published model and another content.

    Raises:
        ModelUnusable: with the command that replaces it.
    """
    model = PUBLISHED.get(name)
    if model is not None and sha256 != model.sha256:
        raise ModelUnusable(
            f"The file of the model {name!r} is not the published one (its SHA-256 begins with "
            f"{sha256[:12]}, not {model.sha256[:12]}).",
            f"Run `jupyter export models pull {name}`, or give your own model another name.",
        )


def has_torch() -> bool:
    """Whether torch is installed; does not import it."""
    return importlib.util.find_spec("torch") is not None


def require_torch(field: str | None = None) -> None:
    """Refuse while torch is not installed; does not import it.

    Raises:
        UpscaleUnavailable: with the command that installs it.
    """
    if not has_torch():
        raise UpscaleUnavailable(
            "Upscaling needs torch, which is not installed.",
            "Run `pip install 'jupyter-export[upscale]'`.",
            field=field,
        )


def require_openvino(field: str | None = None) -> None:
    """Refuse while the package of the backend `openvino` is not installed; imports nothing.

    Raises:
        UpscaleUnavailable: with the command that installs it.
    """
    if importlib.util.find_spec("openvino") is None:
        raise UpscaleUnavailable(
            "`upscale_backend` is openvino, and the package openvino is not installed.",
            "Run `pip install 'jupyter-export[openvino]'`, or set `upscale_backend` to engine.",
            field=field,
        )


def require_realesrgan(field: str | None = None) -> None:
    """Refuse while the packages of the backend `realesrgan` are not installed; imports nothing.

    Raises:
        UpscaleUnavailable: with the commands that install them.
    """
    for package in ("basicsr", "realesrgan"):
        if importlib.util.find_spec(package) is None:
            raise UpscaleUnavailable(
                f"`upscale_backend` is realesrgan, and the package {package} is not installed.",
                "Run `pip install 'jupyter-export[realesrgan]'`, then `pip install --no-deps "
                "--no-build-isolation basicsr==1.4.2 realesrgan==0.3.0`; or set `upscale_backend` "
                "to engine.",
                field=field,
            )
