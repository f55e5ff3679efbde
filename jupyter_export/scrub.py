"""Takes what is private or secret out of texts that leave the machine: paths, names, tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

__all__ = ["Scrubber", "secrets_of"]

#: Of variables whose values nobody else should see.
_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASS|PWD|KEY|CRED|AUTH|COOKIE|SESSION|DSN|SIGNATURE|PRIVATE|CERT|URL|URI",
    re.IGNORECASE,
)
#: Shorter values are found in every text.
_LEAST = 5

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # https://user:password@host, and what a query carries
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@'\"]+@", re.IGNORECASE), r"\1<secret>@"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?'\"]*)\?[^\s'\"]+", re.IGNORECASE), r"\1?<secret>"),
    (
        re.compile(
            r"\b([\w-]*(?:token|secret|passw(?:or)?d|passwd|api[_-]?key|authorization|cookie|bearer"
            r"|_xsrf|credentials?))(['\"]?\s*[:=]\s*(?:['\"]|(?:bearer|token|basic)\s+)?|\s+)"
            r"[^\s'\",;&]+",
            re.IGNORECASE,
        ),
        r"\1\2<secret>",
    ),
    # where a traceback was, without where it is installed
    (re.compile(r"(?:/[^\s'\":]+)?/(site-packages|python3\.\d+|jupyter_export)/"), r"\1/"),
    (re.compile(r"(?:\bfile:(?://)?(?=/)|(?<![\w.<>/-]))/(?!/)[^\s'\":,;()\[\]<>]+"), "<path>"),
    # long, of letters and digits: keys and tokens look so, and hardly anything else
    (re.compile(r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{20,}(?![\w-])"), "<secret>"),
)


def secrets_of(environment: Mapping[str, str]) -> list[str]:
    """The values in `environment` that nobody else should see, by the names of their variables."""
    return [value for name, value in environment.items() if _SECRET_NAME.search(name)]


class Scrubber:
    """Replaces known strings, and whatever looks like a secret or a path."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def hide(self, texts: Iterable[str], by: str) -> None:
        """Replace each of `texts`, and each longer word of it, by `by`."""
        for text in texts:
            words = re.split(r"[\s/\\?&=]+", text)
            stems = [word.rpartition(".")[0] for word in words]
            for part in (text, *words, *stems):
                if len(part.strip()) >= _LEAST:
                    self._known.update(dict.fromkeys(_written(part.strip()), by))
        self._pattern = None

    def text(self, text: str) -> str:
        """`text` without them."""
        if self._pattern is None and self._known:
            longest_first = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        if self._pattern is not None:
            text = self._pattern.sub(lambda match: self._known[match[0]], text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value, with every text in it scrubbed; the names of members stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {name: self.value(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return value


def _written(text: str) -> set[str]:
    """The ways in which programs write `text`."""
    return {
        text,
        quote(text),
        quote(text, safe=""),
        json.dumps(text)[1:-1],
        repr(text)[1:-1],
    }
