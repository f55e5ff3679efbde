"""Workers that die, hang, will not stop, or lose their server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jupyter_export.errors import SourceUnreadable, WorkerLost
from jupyter_export.hardware.child import scrubbed_environment
from jupyter_export.settings import Settings
from jupyter_export.workers.executor import Lane, Task
from jupyter_export.workers.pool import LocalPool

HERE = Path(__file__).resolve().parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def ignore(message: dict[str, Any]) -> None:
    pass


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children() -> set[int]:
    found: set[int] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in file.read_text().split()}
    return found


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
async def pool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[LocalPool]:
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    # In the normal class: on a busy machine an idle-class worker may be silent for that long.
    settings = Settings(data_dir=str(tmp_path), worker_scheduling="normal")
    made = LocalPool(settings, 1, tasks="worker_tasks", silence_seconds=4.0)
    yield made
    await made.close()
    assert made.pids == frozenset()


async def start(pool: LocalPool, name: str, **more: Any) -> tuple[asyncio.Task[Any], int]:
    """Start a task that reports its pid; gives it once it has."""
    pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def note(message: dict[str, Any]) -> None:
        if "pid" in message and not pid.done():
            pid.set_result(message["pid"])

    run = asyncio.create_task(pool.run(Task(name=name, params={}, **more), note))
    await asyncio.wait({run, pid}, return_when=asyncio.FIRST_COMPLETED)
    return run, await pid


async def test_a_task_that_listens_is_cancelled_and_its_worker_goes_on(pool: LocalPool) -> None:
    run, pid = await start(pool, "until_cancelled")
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (await pool.run(Task(name="echo", params={}), ignore))["pid"] == pid


@pytest.mark.parametrize("name", ["deaf", "deaf_and_stubborn"])
async def test_a_task_that_does_not_listen_has_ended_when_its_cancellation_returns(
    pool: LocalPool, name: str
) -> None:
    run, pid = await start(pool, name)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert not alive(pid)
    assert (await pool.run(Task(name="echo", params={"next": 1}), ignore))["got"] == {"next": 1}


async def test_an_impatient_second_cancel_does_not_let_the_work_go_on_unwatched(
    pool: LocalPool,
) -> None:
    run, pid = await start(pool, "deaf")
    for _ in range(3):
        run.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await run
    assert not alive(pid)


async def test_a_task_cancelled_before_its_worker_has_booted_leaves_nothing_behind(
    pool: LocalPool,
) -> None:
    run = asyncio.create_task(pool.run(Task(name="deaf", params={}), ignore))
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (await pool.run(Task(name="echo", params={}), ignore))["got"] == {}


async def test_a_task_cancelled_while_it_waits_never_starts(pool: LocalPool) -> None:
    first, _ = await start(pool, "until_cancelled")
    seen: list[dict[str, Any]] = []
    second = asyncio.create_task(pool.run(Task(name="echo", params={}), seen.append))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert seen == []


async def test_a_killed_worker_is_reported_with_its_signal_and_last_words(
    pool: LocalPool, tmp_path: Path
) -> None:
    log = tmp_path / "job.log"
    log.write_text("a line of an earlier attempt\n")
    task = Task(name="crash", params={"signal": "SIGKILL"}, log=str(log))
    with pytest.raises(WorkerLost) as caught:
        await pool.run(task, ignore)
    assert "signal 9, SIGKILL" in caught.value.detail
    assert "malloc of size 12345 failed" in caught.value.detail
    assert caught.value.transient
    assert (await pool.run(Task(name="echo", params={}), ignore))["got"] == {}


async def test_the_last_words_are_not_those_of_an_earlier_attempt(
    pool: LocalPool, tmp_path: Path
) -> None:
    log = tmp_path / "job.log"
    log.write_text("a line of an earlier attempt\n")
    run, pid = await start(pool, "deaf", log=str(log))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerLost) as caught:
        await run
    assert "earlier attempt" not in caught.value.detail


async def test_a_codec_that_crashes_leaves_its_trace_in_the_log(
    pool: LocalPool, tmp_path: Path
) -> None:
    log = tmp_path / "job.log"
    with pytest.raises(WorkerLost, match=r"SIGSEGV.*Fatal Python error: Segmentation fault"):
        await pool.run(Task(name="segfault", params={}, log=str(log)), ignore)
    assert "in segfault" in log.read_text()


async def test_a_worker_that_died_while_idle_costs_the_next_task_nothing(pool: LocalPool) -> None:
    first = await pool.run(Task(name="echo", params={}), ignore)
    os.kill(first["pid"], signal.SIGKILL)
    while alive(first["pid"]):
        time.sleep(0.001)  # on purpose not a moment for the event loop to notice
    second = await pool.run(Task(name="echo", params={"still": "here"}), ignore)
    assert second["got"] == {"still": "here"}


async def test_a_stopped_worker_is_noticed_and_ended(pool: LocalPool) -> None:
    run, pid = await start(pool, "stop_itself")
    with pytest.raises(WorkerLost, match="stopped answering for 4 s"):
        await run
    assert not alive(pid)
    assert (await pool.run(Task(name="echo", params={}), ignore))["got"] == {}


async def test_a_task_that_takes_no_step_is_ended_although_its_worker_answers(
    pool: LocalPool,
) -> None:
    pool._settings.worker_stuck_seconds = 2.0
    run, pid = await start(pool, "deaf")
    with pytest.raises(WorkerLost, match="got no further for 2 s"):
        await run
    assert not alive(pid)
    assert (await pool.run(Task(name="echo", params={}), ignore))["got"] == {}


async def test_a_task_that_takes_steps_is_left_alone_although_it_reports_nothing(
    pool: LocalPool,
) -> None:
    pool._settings.worker_stuck_seconds = 3.0
    run, _ = await start(pool, "until_cancelled")
    await asyncio.wait({run}, timeout=6.0)
    assert not run.done()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_a_worker_stopped_while_idle_costs_the_next_task_nothing(pool: LocalPool) -> None:
    first = await pool.run(Task(name="echo", params={}), ignore)
    os.kill(first["pid"], signal.SIGSTOP)
    second = await pool.run(Task(name="echo", params={"still": "here"}), ignore)
    assert second["got"] == {"still": "here"}
    assert not alive(first["pid"])


async def test_closing_ends_even_a_stopped_worker(tmp_path: Path, pool: LocalPool) -> None:
    run, pid = await start(pool, "until_cancelled")
    os.kill(pid, signal.SIGSTOP)
    await pool.close()
    with pytest.raises(WorkerLost):
        await run
    assert not alive(pid)


async def test_a_large_message_to_a_stopped_worker_does_not_block_the_server(
    pool: LocalPool,
) -> None:
    first = await pool.run(Task(name="echo", params={}), ignore)
    os.kill(first["pid"], signal.SIGSTOP)
    run = asyncio.create_task(pool.run(Task(name="echo", params={"x": "y" * 10**7}), ignore))
    ticks = 0
    while not run.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 10
    assert len((await run)["got"]["x"]) == 10**7


async def test_fifty_tasks_leave_no_process_no_thread_and_no_descriptor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    # The loop's own threads, for calls that block, are as many as there were at once: one here.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))

    async def use(rounds: int) -> None:
        pool = LocalPool(Settings(data_dir=str(tmp_path)), 2, tasks="worker_tasks")
        log = str(tmp_path / "job.log")
        for number in range(rounds):
            if number % 10 == 4:
                run, _ = await start(pool, "until_cancelled", log=log)
                run.cancel()
            elif number in {8, 18, 28}:
                run = asyncio.create_task(
                    pool.run(Task(name="crash", params={"signal": "SIGKILL"}, log=log), ignore)
                )
            else:
                run = asyncio.create_task(pool.run(Task(name="echo", params={}, log=log), ignore))
            with contextlib.suppress(asyncio.CancelledError, WorkerLost):
                await run
        seen = await pool.run(Task(name="look_around", params={}), ignore)
        inside.append((seen["descriptors"], seen["threads"]))
        await pool.close()

    inside: list[tuple[int, int]] = []

    async def held() -> tuple[int, int, set[int]]:
        # The last thing that a thread does is to report its process's end; then it ends itself.
        for thread in threading.enumerate():
            if thread.name.startswith(("from-", "to-")):
                await asyncio.to_thread(thread.join, 10)
        return descriptors(), threading.active_count(), children()

    await use(10)
    before = await held()
    await use(50)
    assert await held() == before
    assert inside[0] == inside[1], "a worker itself must not gather descriptors or threads"


SERVER = """
import asyncio, json, sys
from jupyter_export.settings import Settings
from jupyter_export.workers.executor import Lane, Task
from jupyter_export.workers.pool import LocalPool

async def main():
    pool = LocalPool(Settings(data_dir=sys.argv[1]), 2, tasks="worker_tasks")
    pids = set()
    def note(message):
        if "pid" in message:
            pids.add(message["pid"])
            if len(pids) == 4:
                print(json.dumps(sorted(pids)), flush=True)
    def run(name, lane):
        return pool.run(Task(name=name, params={}, lane=lane), note)
    idle = await pool.run(Task(name="echo", params={}, lane=Lane.INTERACTIVE), note)
    pids.add(idle["pid"])
    await asyncio.gather(
        run("deaf", Lane.EXPORT), run("deaf_and_stubborn", Lane.EXPORT),
        other.run(Task(name="until_cancelled", params={}), note),
    )

other = LocalPool(Settings(data_dir=sys.argv[1]), 1, tasks="worker_tasks")
asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_no_worker_outlives_a_server_however_it_ends(tmp_path: Path, end: str) -> None:
    environment = {**scrubbed_environment(), "PYTHONPATH": _import_path()}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as server:
        assert server.stdout is not None
        pids = json.loads(server.stdout.readline())
        assert len(pids) == 4
        assert all(alive(pid) for pid in pids)
        server.send_signal(getattr(signal, end))
        server.wait()
    while any(alive(pid) for pid in pids):
        time.sleep(0.01)


@pytest.fixture
def bare_worker() -> Iterator[Callable[[int], subprocess.Popen[bytes]]]:
    """Starts a worker without a pool, told that its parent is the given process."""
    started: list[subprocess.Popen[bytes]] = []

    def start(parent: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "jupyter_export.workers.main", f"--parent={parent}"]
        worker = subprocess.Popen(
            [*command, "--tasks=worker_tasks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**scrubbed_environment(), "PYTHONPATH": _import_path()},
        )
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.kill()
        worker.communicate()


def test_a_worker_ends_with_its_input_even_in_the_middle_of_a_task(
    bare_worker: Callable[[int], subprocess.Popen[bytes]],
) -> None:
    # This is what serves where the kernel does not tell a process of its parent's end.
    worker = bare_worker(os.getpid())
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(b'{"run": "1", "task": "deaf", "params": {}, "log": null}\n')
    worker.stdin.flush()
    while b'"progress"' not in worker.stdout.readline():
        pass
    worker.stdin.close()
    worker.stdin = None
    assert worker.wait(30) == 0


def test_a_worker_whose_server_died_during_its_start_does_not_stay(
    bare_worker: Callable[[int], subprocess.Popen[bytes]],
) -> None:
    # The parent it is told of is not the one it has: as if that had died meanwhile.
    assert bare_worker(999_999_999).wait(30) == 0


async def test_a_terminals_ctrl_c_leaves_the_workers_to_the_server(pool: LocalPool) -> None:
    run, pid = await start(pool, "until_cancelled", lane=Lane.INTERACTIVE)
    os.kill(pid, signal.SIGINT)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    task = Task(name="echo", params={}, lane=Lane.INTERACTIVE)
    assert (await pool.run(task, ignore))["pid"] == pid


def _import_path() -> str:
    return os.pathsep.join([str(HERE), scrubbed_environment().get("PYTHONPATH", "")])


async def test_what_ffmpeg_says_about_a_damaged_file_is_in_the_jobs_log(tmp_path: Path) -> None:
    whole = HERE.parent / "media_files" / "timecode_720p30.mp4"
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:100_000])
    log = tmp_path / "job.log"
    spec = {"kind": "clip", "sources": [{"path": "cut.mp4"}], "output": "out.mp4"}
    params = {"root": str(tmp_path), "spec": spec, "allow_hidden": False}
    pool = LocalPool(Settings(data_dir=str(tmp_path / "data")), 1)
    try:
        with pytest.raises(SourceUnreadable):
            await pool.run(Task(name="inspect", params=params, log=str(log)), ignore)
    finally:
        await pool.close()
    assert "[mov,mp4" in log.read_text()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's memory can be kept")
async def test_freed_memory_is_kept_for_the_next_task_and_given_back_at_rest(
    pool: LocalPool,
) -> None:
    await pool.run(Task(name="echo", params={}), ignore)
    [before] = pool.memory()
    await pool.run(Task(name="paint", params={}), ignore)
    [kept] = pool.memory()
    assert kept - before > 250 * 2**20
    deadline = time.monotonic() + 30
    while pool.memory()[0] - before > 50 * 2**20:
        assert time.monotonic() < deadline, pool.memory()
        await asyncio.sleep(0.1)
    assert (await pool.run(Task(name="echo", params={"still": 1}), ignore))["got"] == {"still": 1}
