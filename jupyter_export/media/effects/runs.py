"""Which font and direction each stretch of a text has.

Simplifications of UAX #29 (what belongs together) and UAX #9 (what runs right to left), for
choosing fonts; within a stretch shaping and order are left to HarfBuzz and FriBidi.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from . import fonts
from .fonts import Font

__all__ = ["Run", "clusters", "fonts_of", "lines_of", "missing", "runs"]

_JOINER, _SELECTOR_TEXT, _SELECTOR_EMOJI = "\u200d", "\ufe0e", "\ufe0f"
# Emoji_Presentation of Unicode 15.1 (emoji-data.txt) below U+10000; above, nearly all are.
_EMOJI = (
    "⌚⌛⏩⏪⏫⏬⏰⏳◽◾☔☕♈♉♊♋♌♍♎♏♐♑♒♓♿⚓⚡⚪⚫⚽"
    "⚾⛄⛅⛎⛔⛪⛲⛳⛵⛺⛽✅✊✋✨❌❎❓❔❕❗➕➖➗➰➿⬛⬜⭐⭕"
)
_RTL = {"R", "AL"}
_NUMBERS = {"EN", "AN"}


@dataclass(frozen=True)
class Run:
    """Letters of one font that run in one direction."""

    text: str
    font: Font
    right_to_left: bool


def lines_of(text: str) -> list[str]:
    """Its lines, with spaces for tabs and without other control characters."""
    clean = text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    return [
        "".join(c for c in line if unicodedata.category(c) != "Cc") for line in clean.split("\n")
    ]


def clusters(text: str) -> Iterator[str]:
    """The text in what readers see as one character each (a simplification of UAX #29): marks
    and modifiers stay with their base, joined emoji and flags together."""
    cluster = ""
    for character in text:
        flags = sum(_is_regional(c) for c in cluster)
        extends = (
            unicodedata.category(character).startswith("M")
            or character in (_JOINER, _SELECTOR_TEXT, _SELECTOR_EMOJI)
            or "\U0001f3fb" <= character <= "\U0001f3ff"
            or "\U000e0020" <= character <= "\U000e007f"
            or cluster.endswith(_JOINER)
            or (_is_regional(character) and flags == 1)
        )
        if cluster and not extends:
            yield cluster
            cluster = ""
        cluster += character
    if cluster:
        yield cluster


def runs(line: str, preferred: Font) -> list[Run]:
    """The runs of a line as they stand from left to right (after UAX #9, for whole runs)."""
    parts = [_drawable(part, preferred) for part in clusters(line)]
    base = next((d for d in map(_direction, parts) if d is not None), False)
    levels = _levels(parts, base)
    chosen: list[Font] = []
    for part in parts:
        # A space keeps to the word before it, so that words are not set in pieces; emoji fonts
        # have wide ones.
        before = chosen[-1] if chosen else preferred
        if part.isspace() and before.has(part) and not before.is_emoji:
            chosen.append(before)
        else:
            chosen.append(_font_for(part, preferred))
    grouped = groupby(zip(parts, chosen, levels, strict=True), lambda item: (item[1], item[2]))
    ordered = [
        (level, Run("".join(part for part, _, _ in items), font, level % 2 == 1))
        for (font, level), items in grouped
    ]
    for lowest in range(max((level for level, _ in ordered), default=0), 0, -1):
        ordered = _reversed_from(ordered, lowest)
    return [run for _, run in ordered]


def _reversed_from(ordered: list[tuple[int, Run]], lowest: int) -> list[tuple[int, Run]]:
    """With every stretch of that level or a higher one turned round (rule L2 of UAX #9)."""
    result: list[tuple[int, Run]] = []
    stretch: list[tuple[int, Run]] = []
    for item in ordered:
        if item[0] >= lowest:
            stretch.insert(0, item)
        else:
            result += [*stretch, item]
            stretch = []
    return result + stretch


def missing(text: str, preferred: Font) -> list[str]:
    """What of the text no font has a picture of, each once."""
    parts = (part for line in lines_of(text) for part in clusters(line))
    return list(
        dict.fromkeys(
            part
            for part in parts
            if not _font_for(drawn := _drawable(part, preferred), preferred).has(_visible(drawn))
        )
    )


def fonts_of(text: str, preferred: Font) -> list[Font]:
    """All fonts that the text is drawn with, sorted."""
    used = {run.font for line in lines_of(text) for run in runs(line, preferred)}
    return sorted(used | {preferred}, key=lambda font: (font.name, font.path))


def _drawable(cluster: str, preferred: Font) -> str:
    """The cluster, or where no font has all of it, its base alone: an emoji without its tone of
    skin is better than one with an empty box behind it."""
    if len(cluster) == 1 or _font_for(cluster, preferred).has(_visible(cluster)):
        return cluster
    return cluster[0]


def _visible(cluster: str) -> str:
    invisible = (_JOINER, _SELECTOR_TEXT, _SELECTOR_EMOJI)
    return "".join(c for c in cluster if c not in invisible and c.isprintable())


def _font_for(cluster: str, preferred: Font) -> Font:
    looks = any(c in _EMOJI or "\U0001f000" <= c <= "\U0001faff" for c in cluster)
    emoji = _SELECTOR_TEXT not in cluster and (looks or _SELECTOR_EMOJI in cluster)
    return fonts.best(_visible(cluster), preferred, emoji=emoji)


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _direction(cluster: str) -> bool | None:
    """True for right to left, False for left to right, None if it goes with its neighbours."""
    kind = unicodedata.bidirectional(cluster[0])
    return True if kind in _RTL else False if kind == "L" else None


def _levels(parts: list[str], base: bool) -> list[int]:
    """The embedding level of each cluster: odd runs right to left (rules W1–W7, N1–N2, I1–I2 of
    UAX #9 for text without explicit embeddings)."""
    strong: list[bool | None] = [_direction(part) for part in parts]
    numbers = [unicodedata.bidirectional(part[0]) in _NUMBERS for part in parts]
    levels: list[int] = []
    before = base
    for i, own in enumerate(strong):
        if own is not None:
            before = own
        if numbers[i]:
            levels.append(2 if before or base else 0)
        elif own is None:
            after = next(
                (
                    True if numbers[j] and before else strong[j]
                    for j in range(i + 1, len(parts))
                    if strong[j] is not None or (numbers[j] and before)
                ),
                base,
            )
            direction = before if before == after else base
            levels.append(int(direction) if not base else (1 if direction else 2))
        else:
            levels.append(int(own) if not base else (1 if own else 2))
    return levels
