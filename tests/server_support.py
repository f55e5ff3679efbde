"""A real Jupyter server with the extension, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from jupyter_client.blocking.client import BlockingKernelClient

TOKEN = "a-token-for-tests"
MEDIA = Path(__file__).parent / "media_files"
REPOSITORY = Path(__file__).parents[1]


class Server:
    """A server to talk to, whoever runs it."""

    root: Path
    http: httpx.Client
    """With the base URL of the extension."""

    def add(self, name: str, to: str = "") -> str:
        """Copy a clip into the root; returns its path relative to it."""
        target = self.root / (to or name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(MEDIA / name, target)
        return to or name

    def post(self, path: str, body: Any = None, **request: Any) -> httpx.Response:
        """POST with a JSON body."""
        return self.http.post(path, json=body, **request)

    def submit(self, spec: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Submit a job that must be taken."""
        response = self.post("jobs", {"spec": spec, **more})
        assert response.status_code == 201, response.text
        job: dict[str, Any] = response.json()
        return job

    def job(self, id: str) -> dict[str, Any]:
        """The job as the server tells it now."""
        job: dict[str, Any] = self.http.get(f"jobs/{id}").raise_for_status().json()
        return job

    def until(self, id: str, *states: str, seconds: float = 90) -> dict[str, Any]:
        """The job, once it is in one of `states`."""
        eventually(
            lambda: self.job(id)["state"] in states,
            seconds=seconds,
            why=lambda: json.dumps(self.job(id), indent=1),
        )
        return self.job(id)


class RunningServer(Server):
    """A server that can be stopped and started again on the same root and store."""

    def __init__(
        self,
        folder: Path,
        search: Sequence[str] = (),
        beside: RunningServer | None = None,
        environment: Mapping[str, str] | None = None,
        python: str | Path = sys.executable,
        **settings: Any,
    ) -> None:
        """`search` has further folders to import from; `beside` another server on one store;
        `python` is that of another environment."""
        self.python = python
        self.folder = folder
        self.root = beside.root if beside else folder / "root"
        self.root.mkdir(parents=True, exist_ok=beside is not None)
        folder.mkdir(exist_ok=True)
        self.settings = settings
        self.log = folder / "server.log"
        self.token = TOKEN
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/base/"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY"))},
            "HOME": str(folder / "home"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str((beside.folder if beside else folder) / "data"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "JUPYTER_NO_CONFIG": "",
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *search]),
            **(environment or {}),
        }
        self._port = port
        self.start()

    def start(self) -> None:
        """Start the process and wait until it answers."""
        began = time.monotonic()
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self._port,
            "ServerApp.port_retries": 0,
            "ServerApp.base_url": "/base/",
            "ServerApp.root_dir": self.root,
            "ServerApp.allow_root": True,
            "ServerApp.open_browser": False,
            "ServerApp.reraise_server_extension_failures": True,
            "ServerApp.jpserver_extensions": {"jupyter_export": True},
            "IdentityProvider.token": TOKEN,
            **self.settings,
        }
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [
                    self.python,
                    "-m",
                    "jupyter_server",
                    *(f"--{k}={v}" for k, v in options.items() if v is not None),
                ],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.http = httpx.Client(
            base_url=f"{self.url}jupyter-export/",
            headers={"Authorization": f"token {TOKEN}"},
            timeout=30,
            trust_env=False,
        )
        eventually(self._answers, seconds=60, why=self.log.read_text)
        self.start_seconds = time.monotonic() - began

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.http.get("health").status_code in {200, 403, 404}
        except httpx.TransportError:
            return False

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End the process by a signal and wait until it is gone."""
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise


def eventually(
    check: Callable[[], bool], *, seconds: float = 30, why: Callable[[], str] = lambda: ""
) -> None:
    """Wait until `check` holds; the limit only ends a test that hangs."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"still not so after {seconds:g} s: {why()}"
        time.sleep(0.05)


def clip(source: str, output: str, **changes: Any) -> dict[str, Any]:
    """The spec of a short and fast export of `source`, which is rendered."""
    spec: dict[str, Any] = {
        "kind": "clip",
        "sources": [{"path": source, "start": 0.0, "end": 1.0}],
        "output": output,
        "encoding": {"quality": "fast", "smart": False},
    }
    return spec | changes


@contextlib.contextmanager
def notebook_kernel(server: RunningServer, path: str) -> Iterator[BlockingKernelClient]:
    """A client of the kernel that `server` starts for a notebook at `path`."""
    api = str(server.http.base_url.join("../api/"))
    wanted = {"path": path, "name": Path(path).name, "type": "notebook"}
    session = server.http.post(f"{api}sessions", json={**wanted, "kernel": {"name": "python3"}})
    id = session.raise_for_status().json()["kernel"]["id"]
    file = Path(server.environment["JUPYTER_RUNTIME_DIR"]) / f"kernel-{id}.json"
    eventually(file.exists)
    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield client
    client.stop_channels()
    server.http.delete(f"{api}kernels/{id}")
