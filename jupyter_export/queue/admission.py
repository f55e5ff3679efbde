"""What must hold before an export is taken in: paths, encoder, a source that can be read."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from ..errors import WorkerLost
from ..paths import check_paths
from ..settings import Settings
from ..spec import ExportSpec
from ..workers.executor import Executor, Lane, Task
from .order import EncoderChooser

__all__ = ["INSPECT_SECONDS", "admit"]

log = logging.getLogger(__name__)

#: A source that takes longer to inspect is accepted unseen; the export itself will tell.
INSPECT_SECONDS = 5.0


async def admit(
    spec: ExportSpec,
    root: Path,
    settings: Settings,
    executor: Executor,
    encoders: EncoderChooser,
) -> tuple[Path, dict[str, Any]]:
    """Check `spec`; give its output as an absolute real path, and what the worker found out.

    That is empty if the source takes long to inspect.

    Raises:
        SpecError: a path or a source cannot be used; `field` says which.
        OutputError: the output's folder is missing or cannot be written.
        EncoderUnavailable: the encoder asked for by name cannot be used.
    """
    output = await asyncio.to_thread(check_paths, spec, root, allow_hidden=settings.allow_hidden)
    if spec.encoding.encoder != "auto":
        await encoders.choose(spec.encoding, frozenset())
    task = Task(
        name="inspect",
        params={
            "root": str(root),
            "spec": spec.model_dump(mode="json"),
            "allow_hidden": settings.allow_hidden,
        },
        lane=Lane.INTERACTIVE,
    )
    try:
        async with asyncio.timeout(INSPECT_SECONDS):
            return output, await executor.run(task, lambda message: None)
    except TimeoutError:
        log.info("output=%s accepted unseen: its source takes long to inspect", output)
    except WorkerLost as error:
        # The job's own attempts are limited; they tell better what is wrong.
        log.warning("output=%s accepted unseen: %s", output, error)
    return output, {}
