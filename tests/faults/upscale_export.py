"""Exports in processes of their own, to be killed: SPEC.json ROOT.

Reads lines: ``start FOLDER`` forks a process that exports, ``kill`` kills it, ``wait`` lets it end;
of these two, the answer is one line of JSON. So torch is loaded once, and not for every kill.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch  # noqa: F401 -- loaded before the clock of the killer starts
from support import export_here

import jupyter_export.upscale.job  # noqa: F401

spec, root = (Path(argument) for argument in sys.argv[1:])
pid = 0
for line in sys.stdin:
    order, _, folder = line.strip().partition(" ")
    if order == "start":
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            done = export_here(
                json.loads(spec.read_text()), root, Path(folder), segment_seconds=0.2
            )
            os.write(tell, json.dumps(done.rendered).encode())
            os._exit(0)
        os.close(tell)
        continue
    if order == "kill":
        os.kill(pid, signal.SIGKILL)  # not reaped yet, so it is nobody else's number
    with os.fdopen(told) as pipe:
        rendered = pipe.read()
    _, status = os.waitpid(pid, 0)
    answer = {"code": os.waitstatus_to_exitcode(status), "rendered": json.loads(rendered or "null")}
    print(json.dumps(answer), flush=True)
