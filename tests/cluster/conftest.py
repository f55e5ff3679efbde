"""One Dask cluster of two workers for all tests that leave it as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dask_support import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers of one thread each, with TLS."""
    made = Cluster(tmp_path_factory.mktemp("cluster"), resources="SLOT=1")
    yield made
    made.close()


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Clusters of this test alone."""
    made: list[Cluster] = []

    def make(**options: Any) -> Cluster:
        folder = tmp_path / f"cluster-{len(made)}"
        folder.mkdir()
        made.append(Cluster(folder, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
