"""The line to a Dask cluster's scheduler: opened with TLS, kept, and opened again when lost."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import inspect
import logging
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ClusterUnreachable
from ..settings import Settings

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Connection"]

log = logging.getLogger(__name__)

#: Between tries to connect: at first and at most, each with full jitter.
FIRST_SECONDS = 0.5
LAST_SECONDS = 15.0
#: How long one try may take.
CONNECT_SECONDS = 10.0
#: How often the cluster is asked how large it is; no answer within twice this is a lost scheduler.
LOOK_SECONDS = 2.0
ANSWER_SECONDS = 10.0
#: How long the end of a connection may take, each time it is asked for.
CLOSE_SECONDS = 2.0
CLOSE_TRIES = 3
#: What is encrypted; a gateway's proxy is by the site's own set-up.
_ENCRYPTED = ("tls://", "wss://", "gateway://")
_CLOSED = "the connection was closed"


class Connection:
    """The client of the cluster that `settings` name. Lives in one event loop.

    `on_change` is called when the connection comes or goes, and when the cluster's size changes;
    `on_event` with what workers tell on `topic`.
    """

    def __init__(
        self,
        settings: Settings,
        on_change: Callable[[], None],
        on_event: Callable[[dict[str, Any]], None],
    ) -> None:
        # The same after a restart: segments that went on meanwhile tell it.
        owner = f"{socket.gethostname()}\n{settings.data_path.absolute()}"
        self.topic = f"jupyter_export/{hashlib.sha256(owner.encode()).hexdigest()[:16]}"
        self._settings = settings
        self._on_change = on_change
        self._on_event = on_event
        self._client: Client | None = None
        self._connected = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._doubted = asyncio.Event()
        self._since = time.monotonic()
        """When it was lost, or first wanted."""
        self.problem = ""
        """Why there is none, as a sentence; empty while there is one."""
        self.threads: dict[str, int] = {}
        """How many tasks each worker does at once, by its address."""
        self._populated = time.monotonic()
        """When the cluster last had a worker."""

    @property
    def name(self) -> str:
        """What to call the cluster in front of a user."""
        return self._settings.dask_scheduler or self._settings.dask_cluster

    def start(self) -> None:
        """Begin to connect, and go on for as long as it takes."""
        self._since = self._populated = time.monotonic()
        self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Leave the cluster as it is."""
        keeping, self._keeping = self._keeping, None
        for _ in range(CLOSE_TRIES):
            if keeping is None or keeping.done():
                return
            # A client that is just connecting can swallow a cancellation.
            keeping.cancel()
            await asyncio.wait({keeping}, timeout=CLOSE_SECONDS)

    @property
    def connected(self) -> bool:
        """Whether the scheduler is there now."""
        return self._connected.is_set()

    @property
    def usable(self) -> bool:
        """Whether to count on it: it is there with workers, or has not been away for long."""
        now, patience = time.monotonic(), self._settings.dask_patience
        if not self._connected.is_set():
            return now < self._since + patience
        return bool(self.threads) or now < self._populated + patience

    @property
    def trouble(self) -> ClusterUnreachable:
        """Why it cannot be used."""
        if self.problem or not self._connected.is_set():
            return ClusterUnreachable(
                self.problem or f"The Dask cluster {self.name} does not answer.",
                "The server tries again by itself.",
            )
        return ClusterUnreachable(
            f"The Dask cluster {self.name} has no workers.", "It is asked again by and by."
        )

    async def client(self) -> Client:
        """The connected client; waits for it as long as it counts as usable.

        Raises:
            ClusterUnreachable: that was in vain.
        """
        while self._client is None or not self._connected.is_set():
            if not self.usable:
                raise self.trouble
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._connected.wait(), 0.5)
        return self._client

    def doubt(self, client: Client) -> None:
        """What was given to the scheduler is lost with this connection: make a new one."""
        if client is self._client and not self._doubted.is_set():
            self._doubted.set()
            # At once: nobody gets a broken client before the loop below has looked.
            self._lost(f"The Dask cluster {self.name} was lost ({_CLOSED}).")

    async def _keep(self) -> None:
        pause = FIRST_SECONDS
        while True:
            try:
                self._client = await self._opened()
            except ClusterUnreachable as error:
                self._lost(f"{error.detail} {error.advice}".strip())
            except (OSError, TimeoutError, ValueError, ImportError, RuntimeError) as error:
                self._lost(f"The Dask cluster {self.name} does not answer ({_line(error)}).")
            else:
                pause = FIRST_SECONDS
                try:
                    await self._watch(self._client)
                finally:
                    self._connected.clear()
                    client, self._client = self._client, None
                    await _closed(client)
            await asyncio.sleep(random.uniform(0.1, pause))
            pause = min(LAST_SECONDS, 2 * pause)

    async def _opened(self) -> Client:
        # It takes a second, which the server's event loop has not got.
        try:
            distributed = await asyncio.to_thread(importlib.import_module, "distributed")
            await asyncio.to_thread(importlib.import_module, ".host", __package__)
        except ModuleNotFoundError as error:
            raise ClusterUnreachable(
                f"Dask is not installed for the server ({error}).",
                "Install jupyter-export[dask].",
            ) from None
        address, security = await self._target(distributed)
        client: Client = distributed.Client(
            address,
            security=security,
            asynchronous=True,
            set_as_default=False,
            timeout=CONNECT_SECONDS,
            name="jupyter_export",
        )
        try:
            async with asyncio.timeout(2 * CONNECT_SECONDS):
                opened: Client = await client
                return opened
        except BaseException:
            await _closed(client)
            raise

    async def _target(self, distributed: Any) -> tuple[str, Any]:
        settings = self._settings
        files = (settings.dask_tls_ca, settings.dask_tls_cert, settings.dask_tls_key)
        for name, file in zip(("ca", "cert", "key"), files, strict=True):
            if file and not await asyncio.to_thread(Path(file).is_file):
                raise ClusterUnreachable(
                    f"There is no file {file}.", f"Check the setting dask_tls_{name}."
                )
        options = {
            f"tls_{option}": file
            for option, file in zip(("ca_file", "client_cert", "client_key"), files, strict=True)
            if file
        }
        encrypted = not settings.dask_allow_unencrypted
        if settings.dask_cluster:
            made = await self._made(settings.dask_cluster)
            address = made if isinstance(made, str) else made.scheduler_address
            own = getattr(made, "security", None)
        else:
            address, own = settings.dask_scheduler, None
        if encrypted and not address.startswith(_ENCRYPTED):
            raise ClusterUnreachable(
                f"The connection to the Dask cluster {address} would not be encrypted.",
                "Give the cluster TLS and an address that begins with tls://; where nobody else "
                "reaches its network, dask_allow_unencrypted lets exports use it as it is.",
            )
        if own is not None and not options:
            return address, own
        return address, distributed.Security(require_encryption=encrypted or None, **options)

    async def _made(self, factory: str) -> Any:
        """What the administrator's function gives: a cluster, or an address."""
        module, _, function = factory.partition(":")
        try:
            found = getattr(await asyncio.to_thread(importlib.import_module, module), function)
            made = found()
            return await made if inspect.isawaitable(made) else made
        except Exception as error:
            log.exception("action=make-cluster factory=%s", factory)
            raise ClusterUnreachable(
                f"{factory} gives no Dask cluster ({_line(error)}).",
                "Check the setting dask_cluster.",
            ) from error

    async def _watch(self, client: Client) -> None:
        """Returns when the scheduler is lost."""
        known = ""
        self._doubted.clear()
        client.subscribe_topic(self.topic, self._hear)
        while True:
            try:
                if client.status != "running" or self._doubted.is_set():
                    raise OSError(_CLOSED)
                async with asyncio.timeout(ANSWER_SECONDS):
                    # Restarted at the same address, it knows nothing of us.
                    assert client.scheduler is not None
                    scheduler = (await client.scheduler.identity(n_workers=0))["id"]
                    if scheduler != (known := known or scheduler):
                        raise OSError("it was restarted")
                    threads = dict(await client.nthreads())
                if self._doubted.is_set():
                    raise OSError(_CLOSED)
            except (OSError, TimeoutError, ValueError, RuntimeError) as error:
                self._lost(f"The Dask cluster {self.name} was lost ({_line(error)}).")
                return
            if threads:
                self._populated = time.monotonic()
            if not self._connected.is_set() or threads != self.threads:
                log.info("cluster=%s action=seen workers=%d", self.name, len(threads))
                self.problem, self.threads = "", threads
                self._connected.set()
                self._on_change()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._doubted.wait(), LOOK_SECONDS)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        self._on_event(event[1])

    def _lost(self, problem: str) -> None:
        if self._connected.is_set():
            self._since = time.monotonic()
            self._connected.clear()
        if problem != self.problem:
            log.warning("cluster=%s action=lost %s", self.name, problem)
        self.problem = problem
        self._on_change()


async def _closed(client: Client | None) -> None:
    if client is not None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await client.close()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
