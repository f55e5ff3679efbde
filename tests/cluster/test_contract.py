"""What the queue asks of every executor: the local pool, and a cluster of two workers with TLS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from dask_support import HURRIED, TASK_FOLDERS, Cluster
from server_support import eventually
from support import clip_spec, export_here

from jupyter_export.cluster.executor import DaskExecutor
from jupyter_export.errors import InternalError, SourceUnreadable, WorkerLost
from jupyter_export.settings import Settings
from jupyter_export.workers.executor import Executor, Remote, Task
from jupyter_export.workers.pool import LocalPool

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOFTWARE = Remote(encoder="libx264", hardware=False)


class Subject:
    """An executor, the work it is given, and what it said."""

    def __init__(self, executor: Executor, log: Path, *, remote: bool) -> None:
        self.executor = executor
        self.remote = remote
        self.log = log
        self.messages: list[dict[str, Any]] = []
        self.heard = asyncio.Event()

    def hear(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        if "pid" in message:
            self.heard.set()

    async def run(self, name: str, **params: Any) -> dict[str, Any]:
        task = Task(
            name=name,
            params=params,
            log=str(self.log),
            labels={"job": "a-job"},
            remote=SOFTWARE if self.remote else None,
        )
        return await self.executor.run(task, self.hear)

    async def begin(self, name: str, **params: Any) -> tuple[asyncio.Task[dict[str, Any]], int]:
        """Start a task that tells its process id; gives both."""
        self.heard.clear()
        work = asyncio.create_task(self.run(name, **params))
        await self.heard.wait()
        return work, next(m["pid"] for m in reversed(self.messages) if "pid" in m)


@pytest_asyncio.fixture(params=["local pool", "dask"], scope="module", loop_scope="module")
async def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Subject]:
    folder = tmp_path_factory.mktemp("contract")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(TASK_FOLDERS))
        patch.setenv("JUPYTERHUB_API_TOKEN", "s3cret-1")
        async with _subject(request, folder) as made:
            yield made


@pytest.fixture
def subject(shared: Subject, tmp_path: Path) -> Subject:
    """As the test before has left it, but for what it said."""
    shared.messages.clear()
    shared.log = tmp_path / "job.log"
    return shared


@contextlib.asynccontextmanager
async def _subject(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Subject]:
    remote = request.param == "dask"
    found: Cluster | None = request.getfixturevalue("cluster") if remote else None
    given = found.settings if found else HURRIED
    settings = Settings(data_dir=str(folder), **given)
    pool = LocalPool(settings, 2, tasks="contract_tasks")
    executor: Executor = pool
    if remote:
        executor = dask = DaskExecutor(settings, pool, tasks="contract_tasks")
        dask.start()
    try:
        yield Subject(executor, folder / "job.log", remote=remote)
    finally:
        await executor.close()
        assert pool.pids == frozenset()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_result_arrives_from_a_worker_process_of_our_own(subject: Subject) -> None:
    found = await subject.run("echo", a=[1, "ü", None])
    assert found["got"] == {"a": [1, "ü", None]}
    assert found["pid"] != os.getpid()


async def test_an_error_arrives_as_the_task_raised_it(subject: Subject) -> None:
    with pytest.raises(SourceUnreadable) as caught:
        await subject.run("damaged")
    assert (caught.value.detail, caught.value.field) == ("It is damaged.", "sources[0].path")
    assert caught.value.extra == {"frame": 7}


async def test_a_bug_gives_one_line_and_its_trace_the_log(subject: Subject) -> None:
    with pytest.raises(InternalError, match="KeyError"):
        await subject.run("bug")
    assert (await subject.run("echo"))["got"] == {}


async def test_progress_never_goes_back_and_the_latest_arrives(
    subject: Subject, tmp_path: Path
) -> None:
    until = tmp_path / "go"
    work = asyncio.create_task(subject.run("count", numbers=5000, until=str(until)))
    while not any(m.get("frames") == 4999 for m in subject.messages):
        await asyncio.sleep(0.01)
    until.touch()
    assert await work == {"counted": 5000}
    frames = [m["frames"] for m in subject.messages if "frames" in m]
    assert frames == sorted(frames)


async def test_a_silent_task_still_gives_heartbeats(subject: Subject) -> None:
    work, _ = await subject.begin("deaf")
    before = len(subject.messages)
    while len(subject.messages) < before + 3:
        await asyncio.sleep(0.05)
    assert not any(subject.messages[before:])
    work.cancel()
    await asyncio.wait({work})


@pytest.mark.parametrize("name", ["until_cancelled", "deaf", "deaf_and_stubborn"])
async def test_when_a_cancelled_task_comes_out_nothing_of_it_goes_on(
    subject: Subject, name: str
) -> None:
    work, pid = await subject.begin(name)
    work.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await work
    if name != "until_cancelled":  # the process itself is used again then
        assert not alive(pid)
    assert (await subject.run("echo"))["got"] == {}


async def test_a_task_that_is_cancelled_before_it_began_is_never_done(
    subject: Subject, tmp_path: Path
) -> None:
    waits = [
        asyncio.create_task(subject.run("count", numbers=1, until=str(tmp_path / "go")))
        for _ in range(2)
    ]
    while [m.get("frames") for m in subject.messages].count(0) < 2:
        await asyncio.sleep(0.01)
    late = asyncio.create_task(subject.run("touch", path=str(tmp_path / "late")))
    await asyncio.sleep(0.3)
    late.cancel()
    await asyncio.wait({late})
    (tmp_path / "go").touch()
    assert await asyncio.gather(*waits) == [{"counted": 1}] * 2
    await subject.run("echo")
    assert not (tmp_path / "late").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="signals as Linux has them")
async def test_a_task_that_kills_its_process_is_a_lost_worker_and_the_next_one_works(
    subject: Subject,
) -> None:
    with pytest.raises(WorkerLost, match=r"worker process.*signal 9.*malloc of size 12345 failed"):
        await subject.run("crash", signal="SIGKILL")
    assert (await subject.run("echo"))["got"] == {}


async def test_what_libraries_say_is_in_the_jobs_log(subject: Subject) -> None:
    await subject.run("chatter")
    assert "raw one" in subject.log.read_text()


async def test_no_token_of_the_server_reaches_a_worker(subject: Subject) -> None:
    seen = await subject.run("look_around")
    assert "s3cret" not in str(seen["environment"])


async def test_settings_of_the_server_reach_its_workers(subject: Subject) -> None:
    seen = await subject.run("look_around")
    assert seen["environment"]["JUPYTER_EXPORT_UPSCALE_BACKEND"] == "engine"
    assert seen["environment"]["JUPYTER_EXPORT_WORKER_NICENESS"] == str(seen["niceness"]) == "0"


async def test_many_tasks_at_once_all_come_back(subject: Subject) -> None:
    found = await asyncio.gather(*(subject.run("echo", n=n) for n in range(20)))
    assert [one["got"]["n"] for one in found] == list(range(20))


async def test_a_segment_has_the_same_bytes_wherever_it_is_rendered(
    subject: Subject, root: Path, tmp_path: Path
) -> None:
    spec = clip_spec("timecode_720p30.mp4", "out.mkv", 0.0, 1.5, quality="fast")
    expected = export_here(spec, root, tmp_path, segment_seconds=0.5)
    cache = tmp_path / "other"
    params = {"root": str(root), "spec": spec, "encoder": "libx264", "cache": str(cache)}
    planned = await subject.executor.run(
        Task(name="plan", params={**params, "segment_seconds": 0.5}), subject.hear
    )
    count = len(expected.rendered)
    segments = [{"plan": planned["plan"], "index": i, "cache": str(cache)} for i in range(count)]
    done = await asyncio.gather(*(subject.run("render", **one) for one in segments))
    assert sum(one["frames"] for one in done) == planned["total_frames"]
    for segment in planned["segments"]:
        mine, other = (folder / f"{segment['id']}.seg" for folder in (cache, tmp_path / "segments"))
        assert mine.read_bytes() == other.read_bytes()
    again = await subject.run("render", **segments[0])
    assert again == {"reused": True, "frames": done[0]["frames"], "notes": []}


async def test_closing_ends_what_runs_and_comes_last(subject: Subject) -> None:
    work, pid = await subject.begin("deaf")
    await subject.executor.close()
    with pytest.raises(WorkerLost):
        await work
    eventually(lambda: not alive(pid))
