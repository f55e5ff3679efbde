"""What a worker keeps between one preview and the next."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from fractions import Fraction
from typing import Any

from ..errors import SourceUnreadable
from ..media.effects.base import Picture
from ..media.plan import Plan
from ..media.preview import source_offset
from ..media.shapes import upright_picture
from ..media.views import before, stage
from ..spec import ExportSpec, Source
from .planning import make_plan_of
from .sources import Looks, Readers, check_unchanged

__all__ = ["Previewed"]

#: Of previews that are kept: what is edited, what it is given, before and after.
PLANS = 8


class Previewed:
    """The latest plans and files of previews: who looks at one frame looks at more."""

    def __init__(self) -> None:
        self.readers = Readers()
        self._looks = Looks()
        self._made: OrderedDict[str, tuple[Plan, Fraction]] = OrderedDict()

    def plan(self, params: dict[str, Any], spec: ExportSpec) -> tuple[Plan, Fraction]:
        """The plan of what is to be shown of `spec`, made again if it or a source has changed;
        and the time at which the output begins on the clock that is asked about, in seconds."""
        # Where the output goes and how well it is encoded does not show in a preview.
        asked = spec.model_dump_json(exclude={"output": True, "project": True})
        key = "\n".join((params["root"], str(params["allow_hidden"]), params["show"], asked))
        if key in self._made:
            self._made.move_to_end(key)
            with contextlib.suppress(SourceUnreadable):
                check_unchanged(self._made[key][0].sources)
                return self._made[key]
        encoding = spec.encoding.model_copy(update={"smart": False})
        plain = spec.model_copy(update={"encoding": encoding, "output": "preview.mkv"})
        self._made[key] = self._make(params, plain)
        if len(self._made) > PLANS:
            self._made.popitem(last=False)
        return self._made[key]

    def _make(self, params: dict[str, Any], spec: ExportSpec) -> tuple[Plan, Fraction]:
        def upright(source: Source) -> Picture:
            return upright_picture(self._looks.facts(params, source, "sources[0]"))

        show, in_source = params["show"], False
        if show == "before":
            spec = before(spec, upright)
        elif show != "result":
            spec, in_source = stage(spec, show, upright)
        made = make_plan_of(params, spec, "libx264", looks=self._looks)
        return made, source_offset(made) if in_source else Fraction(0)
