"""What the tests with real servers share: the films as they must be."""

from __future__ import annotations

import pytest
from fault_support import films_of, open_site


@pytest.fixture(scope="session")
def right(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The hash of each film, exported once on a server that nobody disturbed."""
    with open_site(tmp_path_factory.mktemp("undisturbed")) as site:
        return films_of(site)
