"""In a home that others may enter, what exports keep is for its owner alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from queue_support import FewEncoders, FileExecutor, settings

from jupyter_export.media.cache import SegmentCache
from jupyter_export.queue.service import Exports
from jupyter_export.workers.jail import folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes of files are Unix's")


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_the_store_and_all_above_it_that_is_ours(tmp_path: Path, root: Path) -> None:
    exports = Exports(settings(tmp_path), root, FileExecutor(), FewEncoders())
    await exports.start()
    await exports.stop()
    for path in (tmp_path / "data", exports.folder, exports.folder / "logs"):
        assert mode(path) == 0o700, path


def test_a_cache_that_lies_elsewhere(tmp_path: Path) -> None:
    SegmentCache(tmp_path / "scratch" / "segments").put_plan("{}")
    assert mode(tmp_path / "scratch" / "segments") == 0o700
    folder(tmp_path / "other" / "segments")
    assert mode(tmp_path / "other" / "segments") == 0o700
