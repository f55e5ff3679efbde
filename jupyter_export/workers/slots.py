"""A semaphore whose size can change while it is used."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

__all__ = ["Slots"]


class Slots:
    """Lets `size` be inside at once; who waits comes in in the order of asking."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def resize(self, size: int) -> None:
        """Let `size` be inside; those that are too many then finish first."""
        self._size = size
        self._let_in()

    async def __aenter__(self) -> None:
        if self._inside < self._size:
            self._inside += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._leave()  # it was let in just when it gave up
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self._inside -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._inside < self._size:
            turn = self._waiting.popleft()
            if not turn.done():  # else it has given up
                self._inside += 1
                turn.set_result(None)
