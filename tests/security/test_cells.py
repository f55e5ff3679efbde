"""What a worker has of the machine: limits, an environment without secrets, and a jail."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attack_support import GOOD
from server_support import MEDIA, RunningServer, clip, eventually

from jupyter_export.errors import ExportError, TooMuchWork, WorkerLost
from jupyter_export.settings import Settings
from jupyter_export.workers import jail
from jupyter_export.workers.executor import GpuShare, Lane, Task
from jupyter_export.workers.pool import Grounds, LocalPool

HERE = Path(__file__).resolve().parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def ignore(message: dict[str, Any]) -> None:
    pass


def workers(server: RunningServer) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parent = f"\nPPid:\t{server.process.pid}\n" in status.read_text()
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent and b"jupyter_export.workers.main" in command:
            found.append(int(status.parent.name))
    return found


def limits(pid: int) -> dict[str, str]:
    """The soft limits of a process, as the kernel tells them."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:47].strip() for line in lines}


SECRETS = {
    "JUPYTERHUB_API_TOKEN": "hub-secret-1",
    "JPY_API_TOKEN": "hub-secret-2",
    "JUPYTERHUB_CLIENT_ID": "hub-secret-3",
    "JUPYTER_TOKEN": "server-secret-4",
    "AWS_SECRET_ACCESS_KEY": "cloud-secret-5",
    "DATABASE_URL": "postgres://user:password-6@host/db",
    "MY_API_KEY": "key-secret-7",
    "SSH_AUTH_SOCK": "/tmp/agent-8",
}


def test_workers_have_the_kernels_limits_and_none_of_the_servers_secrets(
    own_server: Callable[..., RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    cpu = 1234
    server = own_server(
        **{"ExportApp.worker_cpu_seconds": cpu, "ExportApp.worker_file_limit": 5 * 10**9}
    )
    # The settings of these tests take JUPYTER* out for the server, too: put them where it is.
    environment = Path(f"/proc/{server.process.pid}/environ").read_bytes()
    assert b"cloud-secret-5" in environment and b"password-6" in environment
    job = server.submit(clip(server.add(GOOD), "o.mp4"))
    assert server.until(job["id"], "completed", "failed")["error"] is None
    found = workers(server)
    assert len(found) >= 2
    memory = max(16 * 2**30, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    worked = 0
    for pid in found:
        has = limits(pid)
        assert has["Max address space"] == str(memory)
        assert has["Max file size"] == str(5 * 10**9)
        assert has["Max core file size"] == "0"
        if has["Max cpu time"] != "unlimited":  # it is set when a task begins
            worked += 1
            assert cpu < int(has["Max cpu time"]) < cpu + 60
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        for value in (*SECRETS.values(), server.token):
            assert value.encode() not in environment
    assert worked >= 2


def test_the_hubs_own_variables_do_not_reach_a_worker(
    own_server: Callable[..., RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own_server()
    server.stop()
    server.environment |= SECRETS
    server.start()
    environment = Path(f"/proc/{server.process.pid}/environ").read_bytes()
    assert b"hub-secret-1" in environment
    eventually(lambda: len(workers(server)) >= 2)
    for pid in workers(server):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"PATH=" in environment
        for value in SECRETS.values():
            assert value.encode() not in environment


@pytest.fixture
async def make_pool(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Callable[..., LocalPool]]:
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    made: list[LocalPool] = []

    def make(**settings: Any) -> LocalPool:
        (tmp_path / "root").mkdir(exist_ok=True)
        (tmp_path / "models").mkdir(exist_ok=True)
        chosen = Settings(
            data_dir=str(tmp_path / "data"),
            models_dir=str(tmp_path / "models"),
            worker_scheduling="normal",
            worker_niceness=0,
            **settings,
        )
        grounds = Grounds(
            sources=tmp_path / "root", outputs=tmp_path / "root", logs=tmp_path / "logs"
        )
        made.append(LocalPool(chosen, 2, grounds=grounds, tasks="cell_tasks"))
        return made[-1]

    yield make
    for pool in made:
        await pool.close()


async def test_a_task_that_never_ends_is_ended_by_the_kernel_and_said_so(
    make_pool: Callable[..., LocalPool],
) -> None:
    pool = make_pool(worker_cpu_seconds=1)
    with pytest.raises(TooMuchWork, match="more processor time") as caught:
        await pool.run(Task(name="spin", params={}), ignore)
    assert "worker_cpu_seconds" in caught.value.advice
    assert not caught.value.transient, "again, it would do the same"
    # The limit is for each task: one worker does many.
    pids = {
        (await pool.run(Task(name="work", params={"seconds": 0.4}), ignore))["pid"]
        for _ in range(3)
    }
    assert len(pids) == 1


async def test_a_file_that_asks_for_too_much_memory_is_told_so(
    make_pool: Callable[..., LocalPool],
) -> None:
    pool = make_pool(worker_memory_limit=3 * 2**30)
    with pytest.raises(ExportError, match="not enough memory"):
        await pool.run(Task(name="eat", params={"bytes": 8 * 2**30}), ignore)


async def test_a_worker_of_a_gpu_may_have_all_addresses_that_cuda_wants(
    make_pool: Callable[..., LocalPool],
) -> None:
    pool = make_pool(worker_memory_limit=3 * 2**30)
    share = GpuShare(lease="none", device="machine")
    pid = (await pool.run(Task(name="work", params={"seconds": 0}, gpu=share), ignore))["pid"]
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    expected = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    assert limits(pid)["Max address space"] == expected


async def test_no_file_grows_beyond_the_limit(
    make_pool: Callable[..., LocalPool], tmp_path: Path
) -> None:
    pool = make_pool(worker_file_limit=10**6)
    big = tmp_path / "data" / "segments" / "big"
    done = await pool.run(Task(name="fill", params={"path": str(big), "bytes": 3 * 10**6}), ignore)
    assert done["error"] == 27  # EFBIG
    assert big.stat().st_size == 10**6


needs_landlock = pytest.mark.skipif(bool(jail.problem()), reason=jail.problem() or "it is here")


@pytest.fixture
def neighbourhood(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What lies around a worker: places it should reach, and others."""
    for folder in ("root/sub", "outside", "models", "data/segments", "logs"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name in (
        "root/film",
        "root/sub/film",
        "outside/secret",
        "models/m.pth",
        "data/jobs.sqlite",
    ):
        (tmp_path / name).write_text("content")
    (tmp_path / "root/way-out").symlink_to(tmp_path / "outside")
    yield {name: str(tmp_path / name) for name in (
        *("root/film", "root/sub/film", "root/new", "root/sub/new", "root/way-out/secret"),
        *("outside/secret", "outside/new", "models/m.pth", "models/new", "data/jobs.sqlite"),
        *("data/new", "data/segments/new", "logs/new"),
    )}  # fmt: skip


@needs_landlock
async def test_a_worker_reads_and_writes_what_its_work_needs_and_nothing_else(
    make_pool: Callable[..., LocalPool], neighbourhood: dict[str, str]
) -> None:
    free = make_pool(worker_jail="off")
    naive = await free.run(Task(name="touch_all", params={"paths": neighbourhood}), ignore)
    assert all(naive["read"].values()) and all(naive["written"].values()), naive
    for name in ("root/new", "root/sub/new", "outside/new", "data/new", "models/new"):
        Path(neighbourhood[name]).unlink()
    there = {name: Path(path) for name, path in neighbourhood.items()}
    before = {name: path.exists() and path.read_text() for name, path in there.items()}

    pool = make_pool(worker_jail="on")
    for lane in Lane:
        task = Task(name="touch_all", params={"paths": neighbourhood}, lane=lane)
        done = await pool.run(task, ignore)
        assert {n for n, ok in done["read"].items() if ok} == {
            *("root/film", "root/sub/film", "models/m.pth", "data/segments/new", "logs/new"),
        }
        assert {n for n, ok in done["written"].items() if ok} == {"data/segments/new", "logs/new"}
    task = Task(name="touch_all", params={"paths": neighbourhood}, writes_output=True)
    done = await pool.run(task, ignore)
    writable = {n for n, ok in done["written"].items() if ok}
    assert writable == {
        *("root/film", "root/sub/film", "root/new", "root/sub/new"),
        *("data/segments/new", "logs/new"),
    }
    for name in ("outside/secret", "outside/new", "data/jobs.sqlite", "data/new", "models/m.pth"):
        assert (there[name].exists() and there[name].read_text()) == before[name]


@needs_landlock
async def test_a_worker_calls_nobody_and_touches_no_other_process(
    make_pool: Callable[..., LocalPool], listener: Any, tmp_path: Path
) -> None:
    # In this process's environment as it began, which is what /proc shows.
    params = {"port": listener.port, "victim": os.getpid(), "socket": str(tmp_path / "s")}
    with socket.socket(socket.AF_UNIX) as local:
        local.bind(params["socket"])
        local.listen()
        naive = await make_pool(worker_jail="off").run(Task(name="reach", params=params), ignore)
        assert set(naive.values()) == {""}, naive
        assert listener.visits == 1
        for mode in ("on", "auto"):
            pool = make_pool(worker_jail=mode)
            for writes in (False, True):
                task = Task(name="reach", params=params, writes_output=writes)
                done = await pool.run(task, ignore)
                known = platform.machine() in ("x86_64", "aarch64")
                if not known:
                    done |= {"udp": "PermissionError", "unix": "PermissionError"}
                assert set(done.values()) == {"PermissionError"}, done
    assert listener.visits == 1


@needs_landlock
async def test_a_folder_that_was_removed_meanwhile_is_made_again(
    make_pool: Callable[..., LocalPool], tmp_path: Path
) -> None:
    """The cache is safe to delete: a worker that is locked in with the old one is not used."""
    pool = make_pool(worker_jail="on")
    target = {"new": str(tmp_path / "data/segments/new")}
    for _ in range(3):
        done = await pool.run(Task(name="touch_all", params={"paths": target}), ignore)
        assert done["written"] == {"new": True}
        shutil.rmtree(tmp_path / "data")


async def test_where_workers_must_be_locked_in_but_cannot_be_nothing_is_exported(
    make_pool: Callable[..., LocalPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The kernel is asked in the server; here it says what one without Landlock says.
    monkeypatch.setattr("jupyter_export.workers.pool.problem", lambda: "this kernel is too old")
    with pytest.raises(ExportError, match="to be locked in, but this kernel is too old") as caught:
        await make_pool(worker_jail="on").run(Task(name="work", params={"seconds": 0}), ignore)
    assert not isinstance(caught.value, WorkerLost)
    done = await make_pool(worker_jail="auto").run(Task(name="work", params={"seconds": 0}), ignore)
    assert done["pid"]


@needs_landlock
def test_everything_works_from_within_a_jail(own_server: Callable[..., RunningServer]) -> None:
    """Rendering, copying, sound, fonts, pictures and previews, all locked in."""
    server = own_server(**{"ExportApp.worker_jail": "on"})
    name = server.add("bunny_720p25.mp4")
    shutil.copy(MEDIA / GOOD, server.root / GOOD)
    text = {"type": "annotation", "kind": "text", "text": "Grüße 😀"}
    jobs = [
        server.submit(spec)
        for spec in (
            clip(name, "rendered.mp4"),
            clip(name, "copied.mp4", encoding={}, sources=[{"path": name}]),
            clip(name, "moving.gif", encoding={"size": [160, 90]}),
            clip(name, "text.mkv", kind="annotate", effects=[text]),
            clip(name, "lossless.mkv", encoding={"quality": "lossless", "size": [160, 90]}),
        )
    ]
    for job in jobs:
        done = server.until(job["id"], "completed", "failed")
        assert done["error"] is None, done
        assert server.http.get(f"jobs/{job['id']}/thumbnail").status_code == 200
        assert server.http.get(f"jobs/{job['id']}/poster").status_code == 200
    preview = {"spec": clip(name, "o.mp4", kind="annotate", effects=[text]), "time": 0}
    assert server.post("preview", preview).status_code == 200
    found = workers(server)
    assert found
    for pid in found:
        status = Path(f"/proc/{pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
