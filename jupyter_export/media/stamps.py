"""Time stamps of many frames, kept small: runs of equal differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from pydantic import BaseModel, ConfigDict

__all__ = ["Stamps"]


class Stamps(BaseModel):
    """A sequence of integers, at least one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int
    runs: tuple[tuple[int, int], ...]
    """(difference to the one before, how often in a row)."""

    @classmethod
    def of(cls, values: Sequence[int]) -> Stamps:
        """`values`, in their order."""
        steps = (b - a for a, b in pairwise(values))
        runs = tuple((step, sum(1 for _ in same)) for step, same in groupby(steps))
        return cls(first=values[0], runs=runs)

    @property
    def last(self) -> int:
        """The last one."""
        return self.first + sum(step * count for step, count in self.runs)

    def values(self) -> Iterator[int]:
        """All of them."""
        value = self.first
        yield value
        for step, count in self.runs:
            for _ in range(count):
                value += step
                yield value

    def __len__(self) -> int:
        return 1 + sum(count for _, count in self.runs)
