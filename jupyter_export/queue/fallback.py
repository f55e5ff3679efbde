"""What an export goes on with when hardware fails under it: software, and a note that says so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import EncoderError, GpuFailed
from .hold import Hold
from .order import EncoderChooser, Order

if TYPE_CHECKING:
    from ..hardware.choice import Choice

__all__ = ["Fallback"]

log = logging.getLogger(__name__)


class Fallback:
    """Chooses the encoder of one attempt, and what takes over; each step is told by `note`."""

    def __init__(
        self,
        order: Order,
        encoders: EncoderChooser,
        hold: Hold | None,
        note: Callable[[str], None],
    ) -> None:
        self.on_processor = False
        """Whether effects use no GPU."""
        self._order = order
        self._encoders = encoders
        self._hold = hold
        self._note = note

    async def first(self) -> Choice:
        """The encoder to begin with.

        Raises:
            EncoderUnavailable: there is none for this export.
        """
        spec = self._order.spec
        choice = await self._encoders.choose(spec.segment_encoding, frozenset())
        if (animation := spec.container.animation) is not None:
            only = f"{animation.encoder}: the one encoder for a {spec.container.name}"
            choice = replace(choice, name=animation.encoder, reason=only)
        if choice.hardware and self._order.avoid_hardware:
            choice = await self._software(choice, self._order.avoid_hardware)
        if self._order.avoid_gpu and self._hold is not None and self._hold.computes:
            self._compute_on_processor(f"The GPU {self._order.avoid_gpu}")
        return choice

    async def after(self, error: EncoderError | GpuFailed, choice: Choice) -> Choice:
        """The encoder to go on with after `error`; the hardware that failed is tried again before
        another export gets it.

        Raises:
            EncoderError, GpuFailed: `error`, if it was software already.
        """
        if isinstance(error, GpuFailed):
            if self.on_processor:
                raise error
            log.warning("action=on-processor reason=%r %s", error.detail, self._order.labels)
            if self._hold is not None:
                await self._hold.close()  # its workers can never use that GPU again
            self._compute_on_processor(error.detail.rstrip("."))
            return choice
        if not choice.hardware:
            raise error
        log.warning("encoder=%s failed: %s %s", choice.name, error, self._order.labels)
        taken = await self._software(choice, f"failed ({error.detail.rstrip('.')})")
        self._encoders.suspect(choice.name)
        return taken

    async def _software(self, failed: Choice, why: str) -> Choice:
        """The software encoder that takes over from `failed`, and a note about it."""
        encoding = self._order.spec.encoding.model_copy(update={"encoder": "auto"})
        excluded = frozenset({failed.name})
        choice = await self._encoders.choose(encoding, excluded)
        while choice.hardware:
            excluded |= {choice.name}
            choice = await self._encoders.choose(encoding, excluded)
        self._note(f"{failed.name} {why}; went on in software ({choice.name})")
        return replace(choice, reason=f"{choice.name} (software): {failed.name} {why}")

    def _compute_on_processor(self, why: str) -> None:
        self.on_processor = True
        self._note(f"{why}; upscaled on the processor instead")
