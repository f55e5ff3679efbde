"""What can be undone and done again, where two sides edit the same value."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["History"]

ValueT = TypeVar("ValueT")

#: Steps that can be taken back.
STEPS = 100


class History(Generic[ValueT]):
    """The values before and after the present one.

    A change to what the value was before is an undo, whoever made it, and one to what it was after
    that is a redo: so page and kernel, which each keep a history, come to the same one by hearing
    of the values alone.
    """

    def __init__(self) -> None:
        self._past: list[ValueT] = []
        self._future: list[ValueT] = []

    def changed(self, old: ValueT, new: ValueT) -> None:
        """Take note that `old` became `new`."""
        if old == new:
            return
        if self._past and self._past[-1] == new:
            self._past.pop()
            self._future.append(old)
        elif self._future and self._future[-1] == new:
            self._future.pop()
            self._past.append(old)
        else:
            self._past = [*self._past, old][-STEPS:]
            self._future = []

    @property
    def before(self) -> ValueT | None:
        """What an undo goes back to; None where there is nothing to undo."""
        return self._past[-1] if self._past else None

    @property
    def after(self) -> ValueT | None:
        """What a redo goes on to."""
        return self._future[-1] if self._future else None
