"""Where the workers of the cluster find what this machine has: a map of folders, pure values."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from ..errors import ClusterUnreachable

__all__ = ["PathMap", "resources_of"]


class PathMap:
    """Translates absolute paths; the longest prefix that fits counts, others stay as they are.

    Raises:
        ClusterUnreachable: an entry is not ``/here=/there``.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        pairs = []
        for entry in entries:
            here, equals, there = (part.strip() for part in entry.partition("="))
            if not (equals and here.startswith("/") and there.startswith("/")):
                raise ClusterUnreachable(
                    f"The setting dask_paths cannot hold {entry!r}.",
                    "Write each pair of folders as /here=/there.",
                )
            pairs.append((PurePosixPath(here), PurePosixPath(there)))
        self._pairs = sorted(pairs, key=lambda pair: -len(pair[0].parts))

    def there(self, path: str) -> str:
        """The path of the same file on a worker."""
        pure = PurePosixPath(path)
        for here, there in self._pairs:
            if pure.is_relative_to(here):
                return str(there / pure.relative_to(here))
        return path


def resources_of(entries: Iterable[str], what: Iterable[str]) -> dict[str, float]:
    """The Dask resources that a segment takes that uses `what` (of cpu, nvenc and gpu).

    Raises:
        ClusterUnreachable: an entry is not like ``gpu:GPU=1``.
    """
    wanted = frozenset(what)
    taken: dict[str, float] = {}
    for entry in entries:
        kind, colon, resource = (part.strip() for part in entry.partition(":"))
        name, equals, amount = (part.strip() for part in resource.partition("="))
        try:
            number = float(amount)
        except ValueError:
            number = -1.0
        if kind not in {"cpu", "nvenc", "gpu"} or not (colon and equals and name) or number < 0:
            raise ClusterUnreachable(
                f"The setting dask_resources cannot hold {entry!r}.",
                "Write each entry like gpu:GPU=1, with cpu, nvenc or gpu before the colon.",
            )
        if kind in wanted:
            taken[name] = taken.get(name, 0.0) + number
    return taken
