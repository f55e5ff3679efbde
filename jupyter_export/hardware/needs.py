"""What an export needs of the hardware, as amounts that a lease can hold: pure values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["NVENC_MIB", "NVENC_WIDTH", "Need", "calibrated", "gigabytes", "gpu_need"]

NVENC_MIB = 300
"""GPU memory of one NVENC session with its CUDA context, as a first guess: admission also looks
at what the driver says is free."""

NVENC_WIDTH = 2
"""Segments of one export that NVENC encodes at once, at most: sessions are few, and a GPU has one
to three encoding units."""

_MARGIN = 1.1
"""What is measured varies from run to run with the allocator's rounding."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """Amounts of one device. Never negative."""

    vram_mib: int = 0
    nvenc_sessions: int = 0
    cores: int = 0
    """Encoders in software, each counted as one core."""
    alone: bool = False
    """Nobody else's lease may be on the device: it ran out of memory beside others."""
    key: str = ""
    """Under which measured peaks of GPU memory are remembered; empty: none are."""

    @property
    def gpu(self) -> bool:
        """Whether it is a GPU that is needed."""
        return self.vram_mib > 0 or self.nvenc_sessions > 0

    def covers(self, other: Need) -> bool:
        """Whether who holds this needs no more for `other`."""
        return (
            self.vram_mib >= other.vram_mib
            and self.nvenc_sessions >= other.nvenc_sessions
            and self.cores >= other.cores
            and self.alone >= other.alone
        )

    def to_json(self) -> dict[str, Any]:
        """For the store, and for the file of a lease."""
        return {
            "vram_mib": self.vram_mib,
            "nvenc_sessions": self.nvenc_sessions,
            "cores": self.cores,
            "alone": self.alone,
            "key": self.key,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `to_json` gave; whatever else a stranger wrote there counts as nothing."""

        def amount(name: str) -> int:
            number = value.get(name)
            return max(0, number) if isinstance(number, int) else 0

        return cls(
            vram_mib=amount("vram_mib"),
            nvenc_sessions=amount("nvenc_sessions"),
            cores=amount("cores"),
            alone=value.get("alone") is True,
            key=key if isinstance(key := value.get("key"), str) else "",
        )


def gpu_need(*, nvenc: bool, width: int, vram_mib: int = 0, key: str = "") -> Need:
    """What an export needs of a GPU.

    `width` segments may be encoded at once; `vram_mib` is the estimate of what its effects take in
    one worker, and `key` tells exports apart whose estimates err alike, such as model, number
    format and tile size. With such effects one worker does all: each has a memory of its own, and
    one keeps a GPU busy.
    """
    sessions = (1 if vram_mib else width) if nvenc else 0
    return Need(vram_mib=vram_mib + sessions * NVENC_MIB, nvenc_sessions=sessions, key=key)


def calibrated(estimate_mib: int, peaks: Sequence[int]) -> int:
    """What to reserve: the highest of the latest measured `peaks` and a margin, or the estimate."""
    if not estimate_mib or not peaks:
        return estimate_mib
    return round(max(peaks) * _MARGIN)


def gigabytes(mib: int) -> str:
    """``2150`` → ``2.1 GB``; as everywhere with memory, a GB is 1024 MiB."""
    return f"{mib / 1024:.1f} GB"
