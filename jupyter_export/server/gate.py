"""How much clients may ask for: submits in a minute, previews at once."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator

from ..errors import TooManyRequests
from ..settings import Settings

__all__ = ["Gate"]

#: What the rate of submits is counted over.
WINDOW_SECONDS = 60.0


class Gate:
    """Counts what is asked of one server, and refuses what is too much; settings may change."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._submits: deque[float] = deque()
        self._previews = 0

    def submit(self) -> None:
        """One more export is submitted.

        Raises:
            TooManyRequests: a minute has not passed since as many as are allowed.
        """
        limit, now = self._settings.submits_per_minute, self._clock()
        while self._submits and self._submits[0] <= now - WINDOW_SECONDS:
            self._submits.popleft()
        if limit and len(self._submits) >= limit:
            wait = math.ceil(self._submits[-limit] + WINDOW_SECONDS - now)
            raise TooManyRequests(
                f"{limit} exports were submitted within a minute.",
                f"Submit again in {wait} s, or raise the setting submits_per_minute.",
                retry_after=wait,
            )
        if limit:
            self._submits.append(now)

    @contextlib.contextmanager
    def preview(self) -> Iterator[None]:
        """One more preview or probe, until the end of the block.

        Raises:
            TooManyRequests: as many as are allowed are being made.
        """
        limit = self._settings.max_previews
        if self._previews >= limit:
            raise TooManyRequests(
                f"{limit} previews are being made already.",
                "Ask again when one of them has come, or raise the setting max_previews.",
                retry_after=1,
            )
        self._previews += 1
        try:
            yield
        finally:
            self._previews -= 1
