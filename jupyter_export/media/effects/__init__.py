"""Steps between decoding and encoding; each effect is one small file."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from ...errors import InternalError
from .base import Effect

__all__ = ["effect", "effects"]

#: Module of each built-in effect, which holds an instance named EFFECT; loaded when it is used.
_BUILT_IN = {
    "annotation": ".annotation",
    "crop": ".crop",
    "highlight": ".highlight",
    "rotate": ".rotate",
    "upscale": ".upscale",
}

_log = logging.getLogger(__name__)


def effect(type: str) -> Effect[Any]:
    """The effect that a spec calls `type`.

    Raises:
        InternalError: there is none.
    """
    if type in _BUILT_IN:
        built_in: Effect[Any] = import_module(_BUILT_IN[type], __package__).EFFECT
        return built_in
    try:
        return _added()[type]
    except KeyError:
        raise InternalError(f"There is no effect of the type {type!r}.") from None


def effects() -> dict[str, Effect[Any]]:
    """All effects, built in and added, by type."""
    return {**{type: effect(type) for type in _BUILT_IN}, **_added()}


@cache
def _added() -> dict[str, Effect[Any]]:
    found: dict[str, Effect[Any]] = {}
    for entry in entry_points(group="jupyter_export.effects"):
        try:
            instance = entry.load()
            found[instance.type()] = instance
        except Exception:
            _log.exception("effect=%s action=skip: its package does not load", entry.name)
    return found
