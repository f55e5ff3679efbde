"""Let slow work inside a frame notice that nobody wants it any more.

Whoever runs a task says how to ask (`checking`); whatever it calls, in threads of `in_thread` too,
asks (`check`) as often as it can afford.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["check", "checking"]


def _never() -> None:
    pass


_check: ContextVar[Callable[[], None]] = ContextVar("check", default=_never)


def check() -> None:
    """Raise what the task's own check raises, `Cancelled` as a rule; cheap."""
    _check.get()()


@contextmanager
def checking(ask: Callable[[], None]) -> Iterator[None]:
    """Inside, `check` calls `ask`, from whichever thread."""
    token = _check.set(ask)
    try:
        yield
    finally:
        _check.reset(token)
