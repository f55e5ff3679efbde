"""The values that specs are made of: ranges that pydantic checks, and the frozen base model."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "MAX_KEYFRAMES",
    "MAX_SIDE",
    "MIN_SIDE",
    "Color",
    "Extent",
    "Model",
    "Opacity",
    "Path",
    "Pixels",
    "Seconds",
    "Side",
    "Size",
    "require_even",
    "require_growing",
]

MAX_SIDE = 16384
MIN_SIDE = 16
MAX_KEYFRAMES = 100_000

Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
Pixels = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Extent = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Opacity = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)]
Size = tuple[Side, Side]
Path = Annotated[str, Field(min_length=1, max_length=4096)]
Color = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$", description="#rrggbb, in sRGB")]


class Model(BaseModel):
    """Frozen, and without fields that nobody knows."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", serialize_by_alias=True, validate_by_name=True
    )


def require_even(size: tuple[int, int], field: str) -> None:
    """Refuse sides that 4:2:0 video cannot have.

    Raises:
        ValueError: a side is odd.
    """
    if size[0] % 2 or size[1] % 2:
        raise ValueError(
            f"{field}: {size[0]}×{size[1]} has an odd side, which 4:2:0 video cannot have; "
            "use even numbers"
        )


def require_growing(times: list[float], field: str = "keyframes") -> None:
    """Refuse keyframes that are out of order.

    Raises:
        ValueError: a time is not after the one before.
    """
    for before, after in pairwise(times):
        if after <= before:
            raise ValueError(
                f"{field}: times must grow, but {after:g} s follows {before:g} s; "
                "sort the keyframes and drop repeated times"
            )
