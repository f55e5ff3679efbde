"""An export in a process of its own, to be killed: SPEC.json ROOT FOLDER. Says when it begins."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch  # noqa: F401 -- loaded before the clock of the killer starts
from support import export_here

spec, root, folder = (Path(argument) for argument in sys.argv[1:])
print("ready", flush=True)
done = export_here(json.loads(spec.read_text()), root, folder, segment_seconds=0.2)
print(json.dumps(done.rendered), flush=True)
