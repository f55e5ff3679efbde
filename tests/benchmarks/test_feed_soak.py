"""Hundreds of feed clients that come and go while jobs change: nothing lost, nothing grows.

python3 tests/run.py tests/benchmarks/test_feed_soak.py --benchmarks -s
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from server_support import eventually

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(400)]

HERE = Path(__file__).parent
TOKEN = "a-token-for-tests"
CLIENTS = int(os.environ.get("FEED_SOAK_CLIENTS", "500"))
SECONDS = int(os.environ.get("FEED_SOAK_SECONDS", "60"))


def test_500_clients_that_reconnect_at_random(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY"))}
    for name in ("CONFIG", "DATA", "RUNTIME"):
        environment[f"JUPYTER_{name}_DIR"] = str(tmp_path / name)
    url = f"http://127.0.0.1:{port}/base/"
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, HERE / "feed_server.py", tmp_path, str(port), str(SECONDS + 5)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:

        def answers() -> bool:
            try:
                return httpx.get(f"{url}login", trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        eventually(answers, seconds=60, why=(tmp_path / "server.log").read_text)
        swarm = subprocess.run(
            [sys.executable, HERE / "feed_swarm.py", url, TOKEN, str(CLIENTS), str(SECONDS)],
            stdout=subprocess.PIPE,
            text=True,
            timeout=SECONDS + 200,
        )
        assert swarm.returncode == 0
        found = json.loads(swarm.stdout)
        server.terminate()
        lines = [json.loads(line) for line in server.communicate(timeout=30)[0].splitlines()]
    finally:
        server.kill()
    log_text = (tmp_path / "server.log").read_text()
    done = next(line for line in lines if line.get("done"))
    memory = [line["rss"] for line in lines if "rss" in line]
    early, late = max(memory[: len(memory) // 3]), max(memory[-10:])
    print(f"\n{json.dumps(found, indent=1)}")
    print(f"events {done['events']}, lag {done['lag_ms']}, server cpu {done['cpu']:.0f} s")
    print(f"RSS MiB every 5 s: {[round(m) for m in memory[::5]]}")
    print(f"RSS: highest of the first third {early:.0f} MiB, of the last 10 s {late:.0f} MiB")
    assert "Traceback" not in log_text, log_text[-5000:]
    assert (found["gaps"], found["diverged"]) == (0, 0)
    assert late < early * 1.1
    assert done["lag_ms"]["p99"] < 100
