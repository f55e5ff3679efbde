"""A real Dask cluster on this machine: a scheduler and workers, each a process, all over TLS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme
from server_support import eventually

from jupyter_export.points import Point

REPOSITORY = Path(__file__).parents[1]
#: Whatever else runs on the machine of the tests does not go first.
HURRIED = {"worker_scheduling": "normal", "worker_niceness": 0}
TASK_FOLDERS = [str(REPOSITORY / "tests" / name) for name in ("faults", "cluster", "benchmarks")]


class Certificates:
    """An authority, and one certificate of it for server, scheduler and workers."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca, self.cert, self.key = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1", "localhost")
        authority.cert_pem.write_to_path(str(self.ca))
        issued.cert_chain_pems[0].write_to_path(str(self.cert))
        issued.private_key_pem.write_to_path(str(self.key))

    @property
    def settings(self) -> dict[str, str]:
        """For the server."""
        return {
            "dask_tls_ca": str(self.ca),
            "dask_tls_cert": str(self.cert),
            "dask_tls_key": str(self.key),
        }

    @property
    def options(self) -> list[str]:
        """For Dask's programs."""
        return [f"--tls-ca-file={self.ca}", f"--tls-cert={self.cert}", f"--tls-key={self.key}"]


class Cluster:
    """A scheduler and workers; `kill` and `add` what you like."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 2,
        threads: int = 1,
        resources: str = "",
        nanny: bool = False,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.certificates = Certificates(folder / "tls")
        self.workers: list[subprocess.Popen[bytes]] = []
        self._threads = threads
        self._resources = resources
        self._nanny = nanny
        self.points = folder / "points"
        self.points.mkdir()
        self._environment = {"JUPYTER_EXPORT_POINTS": str(self.points), **(environment or {})}
        self._scheduler: subprocess.Popen[bytes] | None = None
        self._port = 0
        self.start_scheduler()
        for _ in range(workers):
            self.add()
        self.until_workers(workers)

    @property
    def address(self) -> str:
        return f"tls://127.0.0.1:{self._port}"

    @property
    def settings(self) -> dict[str, Any]:
        """For a server that sends everything here."""
        return {
            "dask_scheduler": self.address,
            "dask_least_frames": 0,
            # Both workers render at once, however few cores there are.
            "encoding_cores": 4,
            **HURRIED,
            **self.certificates.settings,
        }

    def client(self) -> Any:
        """A client beside the server's."""
        from distributed import Client, Security

        security = Security(
            tls_ca_file=str(self.certificates.ca),
            tls_client_cert=str(self.certificates.cert),
            tls_client_key=str(self.certificates.key),
            require_encryption=True,
        )
        return Client(self.address, security=security, asynchronous=True, set_as_default=False)

    @property
    def scheduler_pid(self) -> int:
        assert self._scheduler is not None
        return self._scheduler.pid

    @property
    def log(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile no segment is finished: what renders one stays just before that, however fast
        the machine is."""
        gate = self.points / Point.SEGMENT_WRITTEN
        gate.write_text("held")
        try:
            yield
        finally:
            gate.unlink()

    def start_scheduler(self) -> None:
        """Start it, at the same address as before if it was there before."""
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        self._scheduler = self._start(
            "scheduler",
            "--host=127.0.0.1",
            f"--port={self._port}",
            f"--scheduler-file={file}",
            "--protocol=tls",
            "--no-dashboard",
        )
        eventually(lambda: file.exists() and bool(file.read_text()), seconds=60, why=self._log)
        eventually(lambda: _json(file) is not None, seconds=10)
        address = (_json(file) or {})["address"]
        assert address.startswith("tls://"), address
        self._port = int(address.rpartition(":")[2])

    def kill_scheduler(self) -> None:
        """At once."""
        assert self._scheduler is not None
        self._scheduler.kill()
        self._scheduler.wait()

    def add(
        self, environment: dict[str, str] | None = None, *, core: int | None = None
    ) -> subprocess.Popen[bytes]:
        """One more worker, on any core or this one alone; `until_workers` waits for it."""
        number = len(self.workers)
        worker = self._start(
            "worker",
            self.address,
            "--host=127.0.0.1",
            "--nworkers=1",
            f"--nthreads={self._threads}",
            "--nanny" if self._nanny else "--no-nanny",
            "--no-dashboard",
            "--memory-limit=0",
            "--death-timeout=60",
            f"--local-directory={self.folder / f'scratch-{number}'}",
            *([f"--resources={self._resources}"] if self._resources else []),
            number=number,
            environment=environment,
            core=core,
        )
        self.workers.append(worker)
        return worker

    def kill(self, index: int) -> None:
        """End a worker at once."""
        self.workers[index].kill()
        self.workers[index].wait()

    def until_workers(self, number: int) -> None:
        """Wait until so many workers are there."""
        logs = [self.folder / f"worker-{i}.log" for i in range(len(self.workers))]

        def there() -> bool:
            alive = [
                log
                for log, worker in zip(logs, self.workers, strict=True)
                if worker.poll() is None and "Registered to" in log.read_text()
            ]
            return len(alive) >= number

        eventually(there, seconds=60, why=self._log)

    def close(self) -> None:
        """End all."""
        everything = [*self.workers, *([self._scheduler] if self._scheduler else [])]
        for process in everything:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL if not self._nanny else signal.SIGTERM)
        for process in everything:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _log(self) -> str:
        return self.log

    def _start(
        self,
        what: str,
        *options: str,
        number: int | None = None,
        environment: dict[str, str] | None = None,
        core: int | None = None,
    ) -> subprocess.Popen[bytes]:
        name = what if number is None else f"{what}-{number}"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER")}
        command: Sequence[str] = [
            *([] if core is None else ["taskset", "--cpu-list", str(core)]),
            sys.executable,
            "-m",
            f"distributed.cli.dask_{what}",
            *self.certificates.options,
            *options,
        ]
        with (self.folder / f"{name}.log").open("a") as log:
            return subprocess.Popen(
                command,
                env={
                    **inherited,
                    "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *TASK_FOLDERS]),
                    "PYTHONWARNINGS": "ignore",
                    "HOME": str(self.folder),
                    **self._environment,
                    **(environment or {}),
                },
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def _json(path: Path) -> dict[str, Any] | None:
    try:
        value: dict[str, Any] = json.loads(path.read_text())
        return value
    except (OSError, ValueError):
        return None
