"""What the queue gets from the local pool: results, errors, progress, logs, limits."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_export.errors import ExportError, InternalError, SourceUnreadable, WorkerLost
from jupyter_export.hardware.leases import Leases
from jupyter_export.hardware.needs import Need
from jupyter_export.settings import Settings
from jupyter_export.workers.executor import Executor, GpuShare, Lane, Task
from jupyter_export.workers.pool import LocalPool

TASKS_FOLDER = Path(__file__).resolve().parents[1] / "faults"

MakePool = Callable[..., LocalPool]


def ignore(message: dict[str, Any]) -> None:
    pass


@pytest.fixture
async def make_pool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[MakePool]:
    monkeypatch.setenv("PYTHONPATH", str(TASKS_FOLDER))
    pools: list[LocalPool] = []

    def make(size: int = 1, *, settings: dict[str, Any] | None = None, **options: Any) -> LocalPool:
        chosen = Settings(data_dir=str(tmp_path), **(settings or {}))
        pools.append(LocalPool(chosen, size, tasks="worker_tasks", **options))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()
        assert pool.pids == frozenset()


async def test_a_result_arrives_and_the_next_task_uses_the_same_process(
    make_pool: MakePool,
) -> None:
    pool: Executor = make_pool()
    first = await pool.run(Task(name="echo", params={"a": [1, "ü", None]}), ignore)
    second = await pool.run(Task(name="echo", params={}), ignore)
    assert first["got"] == {"a": [1, "ü", None]}
    assert first["pid"] == second["pid"] != os.getpid()


async def test_a_worker_serves_one_gpu_lease_and_no_other_until_it_ends(
    make_pool: MakePool, tmp_path: Path
) -> None:
    leases = Leases(tmp_path)
    taken = [leases.acquire(Need(vram_mib=1), lambda standing: "GPU-1") for _ in range(2)]
    shares = [
        GpuShare(lease=str(lease.path), device="GPU-1")
        for lease in taken
        if lease is not None and lease.path is not None
    ]
    pool = make_pool(4)

    async def pid(gpu: GpuShare | None = None) -> int:
        return int((await pool.run(Task(name="echo", params={}, gpu=gpu), ignore))["pid"])

    clean = await pid()
    first = await pid(shares[0])
    assert first == clean, "a worker that was on no GPU yet can take up any lease"
    second = await pid(shares[1])
    assert second != first, "a worker with memory on a GPU took up a second lease"
    assert await pid(shares[0]) == first
    assert await pid() not in {first, second}, "it would hold the lease for longer than needed"
    await pool.run(Task(name="load_torch", params={}), ignore)
    third = GpuShare(lease="no file", device="GPU-1")
    used = {first, second, await pid()}
    assert await pid(third) not in used, "one that has loaded torch goes on seeing what it saw"
    # The server gives its leases back, or dies: those of the workers go on.
    for lease in taken:
        assert lease is not None
        os.close(lease._descriptor)
    assert len(leases.standing().held) == 2
    await pool.retire(shares[0].lease)
    assert first not in pool.pids
    assert [held.id + ".lease" for held in leases.standing().held] == [Path(shares[1].lease).name]
    os.kill(second, signal.SIGKILL)
    while second in pool.pids:
        await asyncio.sleep(0.01)
    assert leases.standing().held == ()


async def test_a_message_of_many_megabytes_goes_both_ways(make_pool: MakePool) -> None:
    params = {"plan": ["x" * 1000] * 12_000}
    result = await make_pool().run(Task(name="echo", params=params), ignore)
    assert result["got"] == params


async def test_an_error_arrives_as_the_task_raised_it(make_pool: MakePool) -> None:
    with pytest.raises(SourceUnreadable) as caught:
        await make_pool().run(Task(name="damaged", params={}), ignore)
    assert caught.value.detail == "It is damaged."
    assert caught.value.field == "sources[0].path"
    assert caught.value.extra == {"frame": 7}


@pytest.mark.parametrize(
    ("name", "said"),
    [("bug", "KeyError"), ("leave", "SystemExit"), ("no_json", "TypeError"), ("nosuch", "nosuch")],
)
async def test_a_bug_gives_one_line_its_trace_the_log_and_a_fresh_worker_the_next_task(
    make_pool: MakePool, tmp_path: Path, name: str, said: str
) -> None:
    pool, log = make_pool(), tmp_path / "job.log"
    before = await pool.run(Task(name="echo", params={}), ignore)
    with pytest.raises(InternalError, match=said) as caught:
        await pool.run(Task(name=name, params={}, log=str(log)), ignore)
    assert "\n" not in str(caught.value)
    assert "Traceback" in log.read_text()
    after = await pool.run(Task(name="echo", params={}), ignore)
    assert after["pid"] != before["pid"]


async def test_a_worker_short_of_memory_says_so_and_lives_on_in_a_successor(
    make_pool: MakePool,
) -> None:
    pool = make_pool(settings={"worker_memory_limit": 2 * 2**30})
    with pytest.raises(ExportError, match="not enough memory"):
        await pool.run(Task(name="swallow_memory", params={"bytes": 4 * 2**30}), ignore)
    result = await pool.run(Task(name="swallow_memory", params={"bytes": 1000}), ignore)
    assert result == {"size": 1000}


async def test_the_first_and_the_latest_progress_arrive_and_a_flood_in_between_does_not(
    make_pool: MakePool, tmp_path: Path
) -> None:
    until, seen = tmp_path / "go", []

    def note(message: dict[str, Any]) -> None:
        seen.append(message)
        if message.get("frames") == 99_999:
            until.touch()

    task = Task(name="count", params={"numbers": 100_000, "until": str(until)})
    assert await make_pool().run(task, note) == {"counted": 100_000}
    frames = [message["frames"] for message in seen if message]
    assert frames == sorted(frames)
    assert frames[0] == 0
    assert frames[-1] == 99_999
    assert len(frames) < 1000


async def test_a_silent_task_still_gives_heartbeats(make_pool: MakePool) -> None:
    beats: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    run = asyncio.create_task(make_pool().run(Task(name="deaf", params={}), beats.put_nowait))
    empty = 0
    while empty < 3:
        empty += not await beats.get()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_a_progress_callback_that_fails_does_not_fail_the_task(make_pool: MakePool) -> None:
    def fail(message: dict[str, Any]) -> None:
        raise RuntimeError("a bug of the listener")

    result = await make_pool().run(Task(name="count", params={"numbers": 3}), fail)
    assert result == {"counted": 3}


async def test_whatever_a_library_writes_lands_in_its_jobs_log_alone(
    make_pool: MakePool,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    pool, first, second = make_pool(), tmp_path / "first.log", tmp_path / "second.log"
    first.write_text("from the attempt before\n")
    await pool.run(Task(name="chatter", params={}, log=str(first)), ignore)
    await pool.run(Task(name="chatter", params={}), ignore)
    await pool.run(Task(name="echo", params={}, log=str(second)), ignore)
    lines = first.read_text().splitlines()
    assert lines[0] == "from the attempt before"
    assert sorted(lines[1:]) == sorted(
        ["raw one", "raw two", "python one", "python two", "c stdio", "a program"]
    )
    assert second.read_text() == ""
    await pool.close()
    captured = capfd.readouterr()
    assert "raw" not in captured.out + captured.err


async def test_a_log_that_cannot_be_written_does_not_fail_the_task(
    make_pool: MakePool, tmp_path: Path
) -> None:
    log = str(tmp_path / "nosuch" / "job.log")
    assert await make_pool().run(Task(name="chatter", params={}, log=log), ignore) == {}


async def test_no_token_reaches_a_worker(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {
        "JUPYTERHUB_API_TOKEN": "s3cret-1",
        "JUPYTERHUB_USER": "s3cret-2",
        "JPY_API_TOKEN": "s3cret-3",
        "JUPYTER_TOKEN": "s3cret-4",
        "GITHUB_TOKEN": "s3cret-5",
        "PGPASSWORD": "s3cret-6",
        "MY_SECRET_THING": "s3cret-7",
        "AWS_ACCESS_KEY_ID": "s3cret-8",
        "OPENAI_API_KEY": "s3cret-9",
        "DATABASE_URL": "postgresql://me:s3cret-10@db/x",
        "GOOGLE_APPLICATION_CREDENTIALS": "s3cret-11",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/driver")
    seen = await make_pool().run(Task(name="look_around", params={}), ignore)
    assert "s3cret" not in str(seen["environment"])
    assert seen["environment"]["LD_LIBRARY_PATH"] == "/opt/driver"


async def test_a_users_module_in_the_working_directory_does_not_replace_ours(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "queue.py").write_text("raise RuntimeError('a notebook beside the server')")
    monkeypatch.chdir(tmp_path)
    seen = await make_pool().run(Task(name="look_around", params={}), ignore)
    assert "" not in seen["path"]
    assert str(tmp_path) not in seen["path"]


@pytest.mark.skipif(sys.platform != "linux", reason="scheduling classes are Linux's")
@pytest.mark.parametrize(("name", "scheduling"), [("idle", "SCHED_IDLE"), ("batch", "SCHED_BATCH")])
async def test_export_workers_let_the_notebook_go_first(
    make_pool: MakePool, name: str, scheduling: str
) -> None:
    pool = make_pool(settings={"worker_niceness": 13, "worker_scheduling": name})
    seen = await pool.run(Task(name="look_around", params={}), ignore)
    assert seen["niceness"] == 13
    assert set(seen["scheduling"]) == {getattr(os, scheduling)}
    assert seen["sigint"], "a terminal's Ctrl-C would end the work under the server"
    task = Task(name="look_around", params={}, lane=Lane.INTERACTIVE)
    seen = await pool.run(task, ignore)
    assert seen["niceness"] == 13
    assert set(seen["scheduling"]) == {os.SCHED_OTHER}


async def test_what_a_person_waits_for_does_not_wait_for_exports(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool, until = make_pool(2), tmp_path / "go"
    long = Task(name="count", params={"numbers": 1, "until": str(until)})
    busy = [asyncio.create_task(pool.run(long, ignore)) for _ in range(5)]
    quick = Task(name="echo", params={"quick": True}, lane=Lane.INTERACTIVE)
    assert (await pool.run(quick, ignore))["got"] == {"quick": True}
    assert not any(task.done() for task in busy)
    assert len(pool.pids) == 3, "five exports share two workers; the person has one"
    until.touch()
    assert await asyncio.gather(*busy) == [{"counted": 1}] * 5


async def test_waiting_tasks_are_taken_in_the_order_in_which_they_came(
    make_pool: MakePool,
) -> None:
    pool, order = make_pool(1), []

    async def one(number: int) -> None:
        await pool.run(Task(name="echo", params={}), ignore)
        order.append(number)

    await asyncio.gather(*(one(number) for number in range(8)))
    assert order == list(range(8))


async def test_a_warm_pool_has_its_workers_before_the_first_task(make_pool: MakePool) -> None:
    pool = make_pool(3)
    await pool.start()
    warm = pool.pids
    assert len(warm) == 2
    result = await pool.run(Task(name="echo", params={}), ignore)
    assert result["pid"] in warm


async def test_a_worker_without_work_ends_and_a_new_one_takes_the_next_task(
    make_pool: MakePool,
) -> None:
    pool = make_pool(settings={"worker_idle_seconds": 1.0})
    first = await pool.run(Task(name="echo", params={}), ignore)
    while pool.pids:
        await asyncio.sleep(0.05)
    second = await pool.run(Task(name="echo", params={}), ignore)
    assert first["pid"] != second["pid"]


async def test_a_worker_that_has_grown_is_replaced(make_pool: MakePool) -> None:
    pool = make_pool(idle_bytes=100 * 2**20)
    small = await pool.run(Task(name="hold_memory", params={"bytes": 10}), ignore)
    same = await pool.run(Task(name="hold_memory", params={"bytes": 200 * 2**20}), ignore)
    other = await pool.run(Task(name="echo", params={}), ignore)
    assert small["pid"] == same["pid"] != other["pid"]


async def test_tasks_that_cannot_be_loaded_say_why(make_pool: MakePool, tmp_path: Path) -> None:
    pool = LocalPool(Settings(data_dir=str(tmp_path)), 1, tasks="no_such_module")
    try:
        with pytest.raises(WorkerLost, match="No module named 'no_such_module'"):
            await pool.run(Task(name="echo", params={}), ignore)
        with pytest.raises(WorkerLost):
            await pool.start()
    finally:
        await pool.close()


async def test_a_closed_pool_refuses_new_work_and_ends_what_ran_and_what_waited(
    make_pool: MakePool,
) -> None:
    pool = make_pool(1)
    started = asyncio.Event()
    running = asyncio.create_task(
        pool.run(Task(name="deaf", params={}), lambda message: started.set())
    )
    waiting = asyncio.create_task(pool.run(Task(name="echo", params={}), ignore))
    await started.wait()
    await pool.close()
    for work in (running, waiting, pool.run(Task(name="echo", params={}), ignore)):
        with pytest.raises(WorkerLost, match=r"pool (was|is) closed"):
            await work
    assert pool.pids == frozenset()
