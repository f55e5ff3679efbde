"""What this machine's finished exports teach about the next one: pure functions.

An export is a sum of parts (starting, decoding, effects, encoding, writing), each with a default
for a machine of reference (`jupyter_export.media.cost`). What is learnt is a factor for each part.
All exports of this machine together tell how much faster or slower it is; from there, the exports
of the same kind, encoder and quality move the factors of their parts to what makes their own times
come out. Sizes and lengths are in the parts, so one kind needs few examples.

How much there is to see in a source decides how many bytes its encoder makes, and how long a
software encoder looks for them: the exports of one source teach that about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["PARTS", "Observation", "Speeds", "at_once", "learn"]

PARTS = ("fixed", "decode", "effects", "encode", "write")
"""Of `jupyter_export.media.cost.Work`, in its order; what follows them is ``coded``."""

_ENCODE = PARTS.index("encode")
_PULL = 0.05
"""How strongly a factor is held at the machine's: as one example that is off by this squared."""
_ROUNDS = 8
_OUTLIER = 0.15
"""From this relative error on an example counts less, in proportion: a machine has bad moments."""
_FARTHEST = 20.0
"""A factor stays within so many times the machine's."""
_LEAST_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One finished export."""

    work: tuple[float, ...]
    """Seconds of each of `PARTS` on the machine of reference, then bytes to encode, as planned."""
    seconds: float
    """That it took."""
    coded: float = 0.0
    """Bytes that its encoder made; 0 is not known."""
    beside: float = 1.0
    """How many exports ran at a time while it did, itself counted, on average."""
    source: str = ""
    """Names what was exported, whatever was done to it."""

    @property
    def detail(self) -> float | None:
        """The bytes that were encoded for each byte that was reckoned with."""
        planned = self.work[len(PARTS)]
        return self.coded / planned if self.coded > 0 and planned > 0 else None

    @property
    def parts(self) -> tuple[float, ...]:
        """Seconds of each of `PARTS`."""
        return self.work[: len(PARTS)]


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """By how much this machine differs from the machine of reference."""

    factors: tuple[float, ...] = (1.0,) * len(PARTS)
    """Of each of `PARTS`."""
    detail: float = 1.0
    """Of encoding, beside its factor: by how much the source has more to look at than most."""
    size: float = 1.0
    """Of the bytes to encode."""
    examples: int = 0
    """How many exports of the kind this rests on."""

    def seconds(self, work: Sequence[float]) -> float:
        """How long an export of this work takes here if nothing else runs."""
        return sum(self.parts(work))

    def parts(self, work: Sequence[float]) -> tuple[float, ...]:
        """Those seconds, for each of `PARTS`."""
        found = [f * w for f, w in zip(self.factors, work[: len(PARTS)], strict=True)]
        found[_ENCODE] *= self.detail
        return tuple(found)

    def coded(self, work: Sequence[float]) -> float:
        """How many bytes its encoder makes."""
        return self.size * work[len(PARTS)]


def at_once(work: Sequence[float], segments: int, width: int) -> tuple[float, ...]:
    """The work of an export whose `segments` are rendered, `width` of them at once."""
    share = max(1, min(segments, width))
    rendering = {PARTS.index(part) for part in ("decode", "effects", "encode")}
    return tuple(w / share if i in rendering else w for i, w in enumerate(work))


def learn(
    alike: Sequence[Observation],
    others: Sequence[Observation] = (),
    *,
    source: str = "",
    lively: float = 0.0,
) -> Speeds:
    """The speeds of exports like `alike`; `others` are this machine's exports of other kinds.

    Both have the latest first. Without any, those of the machine of reference. `source` is what is
    exported; with the power `lively` of the bytes encoding takes longer.
    """
    usual = _typical([one.detail for one in alike] or [one.detail for one in others])

    def share(detail: float | None) -> float:
        """How much longer encoding takes for what has so much detail."""
        return 1.0 if detail is None else min(10.0, max(0.1, detail / usual)) ** lively

    def even(examples: Sequence[Observation]) -> list[Observation]:
        """What is left to explain when the detail is known."""
        return [replace(one, work=_times(one.work, _ENCODE, share(one.detail))) for one in examples]

    known = [one.detail for one in (*alike, *others) if one.source == source and source]
    detail = _typical(known) if any(known) else usual
    alike, others = even(alike), even(others)
    machine = _machine([*alike, *others])
    return Speeds(
        factors=tuple(_factors(alike, machine) if alike else [machine] * len(PARTS)),
        detail=share(detail),
        size=detail,
        examples=len(alike),
    )


def _typical(values: Iterable[float | None]) -> float:
    found = [log(value) for value in values if value]
    return exp(median(found)) if found else 1.0


def _times(work: tuple[float, ...], part: int, factor: float) -> tuple[float, ...]:
    return tuple(w * factor if i == part else w for i, w in enumerate(work))


def _machine(examples: Sequence[Observation]) -> float:
    """How many times as long as on the machine of reference exports take here."""
    ratios = [
        log(max(_LEAST_SECONDS, _alone(one)) / sum(one.parts))
        for one in examples
        if sum(one.parts) > 0
    ]
    return exp(median(ratios)) if ratios else 1.0


def _alone(one: Observation) -> float:
    """The seconds without those that ran beside it: they shared the machine evenly."""
    return one.seconds / max(1.0, one.beside)


def _factors(examples: Sequence[Observation], machine: float) -> list[float]:
    """Least squares of the relative errors, held at `machine`, with outliers counting less."""
    import numpy as np  # a server that nobody asks for an estimate does without

    seconds = np.array([max(_LEAST_SECONDS, _alone(one)) for one in examples])
    parts = np.array([one.parts for one in examples])
    relative = machine * parts / seconds[:, None]
    # Later ones tell more of the machine as it is; shared ones tell less of what they took alone.
    known = np.array([0.9**i / max(1.0, one.beside) for i, one in enumerate(examples)])
    solved = np.ones(len(PARTS))
    held = np.sqrt(_PULL) * np.eye(len(PARTS))
    for _ in range(_ROUNDS):
        errors: npt.NDArray[np.float64] = np.abs(relative @ solved - 1)
        weights = np.sqrt(known * np.minimum(1.0, _OUTLIER / np.maximum(errors, 1e-9)))
        left = np.vstack([relative * weights[:, None], held])
        right = np.concatenate([weights, np.diag(held)])
        solved = np.linalg.lstsq(left, right, rcond=None)[0]
        solved = np.clip(solved, 1 / _FARTHEST, _FARTHEST)
    return [float(machine * factor) for factor in solved]
