"""What a user meets at the queue's door: refusals, lists, logs, keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from queue_support import FewEncoders, FileExecutor, Hold, settings, until

from jupyter_export.errors import (
    DuplicateJob,
    EncoderUnavailable,
    IllegalMove,
    JobNotFound,
    OutputError,
    OutputInUse,
    PathError,
    QueueBusy,
    SourceMissing,
    SourceUnreadable,
    SpecError,
    StoreDamaged,
    WorkerLost,
)
from jupyter_export.queue import admission
from jupyter_export.queue.lock import SchedulerLock
from jupyter_export.queue.logs import TAIL_BYTES
from jupyter_export.queue.service import Exports, store_folder
from jupyter_export.spec import clip
from jupyter_export.workers.executor import Lane, Task


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "source.mp4").write_text("not empty")
    return root


@pytest.fixture
def executor() -> FileExecutor:
    return FileExecutor()


@pytest.fixture
async def exports(tmp_path: Path, root: Path, executor: FileExecutor) -> AsyncIterator[Exports]:
    """A queue that starts nothing until it is resumed."""
    exports = Exports(settings(tmp_path), root, executor, FewEncoders())
    await exports.start()
    await exports.set_queue("pause")
    yield exports
    await exports.stop()


async def submit(exports: Exports, output: str = "out.mp4", **fields: Any) -> dict[str, Any]:
    job, _ = await exports.submit(clip("source.mp4", output=output, **fields))
    return job


async def completed(exports: Exports, id: str) -> bool:
    return bool((await exports.get(id))["state"] == "completed")


async def test_new_job_has_the_whole_json_form(exports: Exports) -> None:
    job = await submit(exports, "sub/out.mp4", project="p")
    assert set(job) >= {
        *("id", "kind", "project", "state", "output", "priority", "queue_position"),
        *("waiting_for", "progress", "segments", "encoder", "error", "attempt"),
        *("created_at", "started_at", "finished_at", "spec"),
    }
    assert (job["state"], job["output"], job["project"]) == ("queued", "sub/out.mp4", "p")
    assert (job["queue_position"], job["progress"]["percent"]) == (1, 0)
    assert job["spec"]["sources"][0]["path"] == "source.mp4"
    assert job["created_at"].endswith("Z")


async def test_two_spellings_of_one_output_are_one_output(exports: Exports, root: Path) -> None:
    first = await submit(exports, "sub/out.mp4")
    (root / "link").symlink_to(root / "sub")
    for spelling in ("sub//out.mp4", "./sub/out.mp4", "link/out.mp4"):
        with pytest.raises(OutputInUse) as refused:
            await submit(exports, spelling)
        assert refused.value.extra["job"] == first["id"]
    assert refused.value.extra["progress"]["percent"] == 0


async def test_refusal_of_a_duplicate_tells_how_far_the_first_one_is(
    exports: Exports, executor: FileExecutor
) -> None:
    executor.halfway = hold = Hold()
    await exports.set_queue("resume")
    first = await submit(exports, "1.mp4", project="p")
    await hold.reached.wait()
    with pytest.raises(DuplicateJob) as refused:
        await submit(exports, "2.mp4", project="p")
    problem = refused.value.to_problem()
    assert (problem["status"], problem["job"]) == (409, first["id"])
    assert problem["progress"]["phase"] == "rendering"
    second, created = await exports.submit(
        clip("source.mp4", output="2.mp4", project="p"), allow_duplicate=True
    )
    assert created
    assert second["id"] != first["id"]
    hold.go.set()


async def test_output_that_is_its_own_source_is_refused(exports: Exports, root: Path) -> None:
    (root / "hard.mp4").hardlink_to(root / "source.mp4")
    for output in ("source.mp4", "hard.mp4"):
        with pytest.raises(PathError, match="is a source") as refused:
            await submit(exports, output)
        assert refused.value.field == "output"


@pytest.mark.parametrize(
    ("source", "output", "error", "field"),
    [
        ("missing.mp4", "out.mp4", SourceMissing, "sources[0].path"),
        ("../x.mp4", "out.mp4", PathError, "sources[0].path"),
        ("empty.mp4", "out.mp4", SourceUnreadable, "sources[0].path"),
        ("source.mp4", "/tmp/out.mp4", PathError, "output"),
        ("source.mp4", ".hidden.mp4", PathError, "output"),
        ("source.mp4", "nowhere/out.mp4", OutputError, "output"),
    ],
)
async def test_bad_path_is_refused_with_its_field_and_no_job_is_made(
    exports: Exports, root: Path, source: str, output: str, error: type, field: str
) -> None:
    (root / "empty.mp4").touch()
    with pytest.raises(error) as refused:
        await exports.submit(clip(source, output=output))
    assert refused.value.field == field
    assert await exports.list() == []


async def test_source_that_the_worker_cannot_read_is_refused(
    exports: Exports, executor: FileExecutor
) -> None:
    async def hook(task: Task) -> None:
        raise SourceUnreadable("It is no video.", field="sources[0].path")

    executor.before = hook
    with pytest.raises(SourceUnreadable, match="no video"):
        await submit(exports)
    assert await exports.list() == []
    assert [task.lane for task in executor.tasks] == [Lane.INTERACTIVE]


async def test_source_that_takes_too_long_to_inspect_is_accepted_unseen(
    exports: Exports, executor: FileExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "INSPECT_SECONDS", 0.05)
    executor.before = Hold("inspect")
    assert (await submit(exports))["state"] == "queued"
    assert [task.name for task in executor.stopped] == ["inspect"]


async def test_source_that_kills_the_inspecting_worker_is_left_to_the_jobs_own_limits(
    exports: Exports, executor: FileExecutor
) -> None:
    async def hook(task: Task) -> None:
        raise WorkerLost("It was killed by signal 11.")

    executor.before = hook
    assert (await submit(exports))["state"] == "queued"


async def test_encoder_that_cannot_be_used_is_refused_at_once(exports: Exports) -> None:
    with pytest.raises(EncoderUnavailable, match="h264_nvenc cannot be used here"):
        await submit(exports, encoder="h264_nvenc")
    assert await exports.list() == []


async def test_same_key_gives_the_first_job_although_its_source_is_gone(
    exports: Exports, root: Path
) -> None:
    spec = clip("source.mp4", output="out.mp4")
    first, created = await exports.submit(spec, idempotency_key="k")
    assert created
    (root / "source.mp4").unlink()
    again, created = await exports.submit(spec, idempotency_key="k")
    assert (again["id"], created) == (first["id"], False)
    with pytest.raises(SpecError, match=first["id"]) as refused:
        await exports.submit(clip("source.mp4", output="x.mp4"), idempotency_key="k")
    assert refused.value.field == "Idempotency-Key"


async def test_same_key_submitted_at_the_same_moment_makes_one_job(exports: Exports) -> None:
    spec = clip("source.mp4", output="out.mp4")
    answers = await asyncio.gather(*(exports.submit(spec, idempotency_key="k") for _ in range(5)))
    assert len({job["id"] for job, _ in answers}) == 1
    assert [created for _, created in answers].count(True) == 1


async def test_lists_filters_and_projects_agree(exports: Exports) -> None:
    a = await submit(exports, "a.mp4", project="p")
    b = await submit(exports, "b.mp4", project="q")
    c = await submit(exports, "c.mp4")
    await exports.cancel(a["id"])
    assert [j["id"] for j in await exports.list()] == [c["id"], b["id"], a["id"]]
    assert [j["id"] for j in await exports.list(before=c["id"], limit=1)] == [b["id"]]
    assert [j["id"] for j in await exports.list(state="cancelled")] == [a["id"]]  # type: ignore[arg-type]
    assert [j["id"] for j in await exports.active(project="q")] == [b["id"]]
    assert [j["id"] for j in await exports.recent()] == [a["id"]]
    assert await exports.recent(project="q") == []
    assert [(p["name"], p["state"]) for p in await exports.projects()] == [
        ("p", "cancelled"),
        ("q", "queued"),
    ]


async def test_delete_takes_the_job_and_its_log_but_not_the_output(
    exports: Exports, root: Path
) -> None:
    await exports.set_queue("resume")
    id = (await submit(exports))["id"]
    await until(lambda: completed(exports, id))
    (log,) = exports.folder.glob("logs/*.log")
    await exports.delete(id)
    assert not log.exists()
    assert (root / "out.mp4").exists()
    for call in (exports.get, exports.log, exports.delete, exports.cancel):
        with pytest.raises(JobNotFound):
            await call(id)


async def test_log_tells_what_happened_and_which_encoder_and_why(exports: Exports) -> None:
    await exports.set_queue("resume")
    id = (await submit(exports))["id"]
    await until(lambda: completed(exports, id))
    log = await exports.log(id)
    words = [line.split()[2] for line in log.splitlines()]
    assert words == ["submitted", "started", "planned", "publishing", "completed"]
    assert "encoder=libx264" in log
    assert "first usable" in log


async def test_long_log_is_shown_from_its_end_in_whole_lines(
    exports: Exports, executor: FileExecutor
) -> None:
    async def write(task: Task) -> None:
        if task.log is not None and task.name == "plan":
            with Path(task.log).open("a", encoding="utf-8") as file:
                file.writelines(f"printed by a library, line {n} é\n" for n in range(20_000))

    executor.before = write
    await exports.set_queue("resume")
    id = (await submit(exports))["id"]
    await until(lambda: completed(exports, id))
    log = await exports.log(id)
    assert len(log.encode()) <= TAIL_BYTES
    assert log.startswith("printed by a library, line ")
    assert "line 19999" in log
    assert log.splitlines()[-1].split()[2] == "completed"


async def test_pause_and_resume_of_a_queued_job(exports: Exports) -> None:
    id = (await submit(exports))["id"]
    paused = await exports.pause(id)
    assert (paused["paused"], paused["queue_position"]) == (True, None)
    await exports.set_queue("resume")
    assert (await exports.get(id))["state"] == "queued"
    await exports.resume(id)
    await until(lambda: completed(exports, id))
    with pytest.raises(IllegalMove, match="completed"):
        await exports.pause(id)


async def test_unknown_queue_action_is_refused(exports: Exports) -> None:
    with pytest.raises(SpecError, match="pause, resume or drain"):
        await exports.set_queue("explode")


async def test_too_many_waiting_jobs_are_refused(
    tmp_path: Path, root: Path, exports: Exports
) -> None:
    exports.settings.max_queued = 2
    await submit(exports, "1.mp4")
    await submit(exports, "2.mp4")
    with pytest.raises(QueueBusy, match="2 exports wait"):
        await submit(exports, "3.mp4")


async def test_queue_that_is_not_started_says_so(tmp_path: Path, root: Path) -> None:
    exports = Exports(settings(tmp_path), root, FileExecutor(), FewEncoders())
    with pytest.raises(QueueBusy, match="not open"):
        await exports.list()


async def test_damaged_store_is_kept_aside_and_told_until_somebody_removes_it(
    tmp_path: Path, root: Path
) -> None:
    folder = store_folder(tmp_path / "data", root)
    folder.mkdir(parents=True)
    garbage = b"garbage " * 1000
    (folder / "jobs.sqlite").write_bytes(garbage)
    for _ in range(2):
        exports = Exports(settings(tmp_path), root, FileExecutor(), FewEncoders())
        await exports.start()
        (aside,) = folder.glob("jobs.sqlite.damaged-*")
        assert aside.read_bytes() == garbage
        notice = (await exports.queue_state())["notice"]
        assert aside.name in notice and "submitted again" in notice
        assert (await exports.health())["queue"]["notice"] == notice
        assert (await exports.snapshot(1, str))[2]["notice"] == notice
        await exports.submit(clip("source.mp4", output="a.mp4"), idempotency_key="one")
        await exports.stop()
    aside.unlink()
    exports = Exports(settings(tmp_path), root, FileExecutor(), FewEncoders())
    await exports.start()
    assert (await exports.queue_state())["notice"] is None
    await exports.stop()


async def test_damaged_store_that_another_server_works_with_is_left_to_it(
    tmp_path: Path, root: Path
) -> None:
    folder = store_folder(tmp_path / "data", root)
    folder.mkdir(parents=True)
    (folder / "jobs.sqlite").write_bytes(b"garbage " * 1000)
    leader = SchedulerLock(folder / "scheduler.lock")
    assert leader.acquire()
    second = Exports(settings(tmp_path), root, FileExecutor(), FewEncoders())
    with pytest.raises(StoreDamaged, match="damaged"):
        await second.start()
    assert not list(folder.glob("*damaged*"))
    await second.stop()
    leader.release()


async def test_damage_met_at_work_is_looked_for_at_the_next_start_however_large_the_store(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_export.queue.schema.CHECKED_BYTES", 0)
    exports = Exports(settings(tmp_path), root, FileExecutor(), FewEncoders())
    await exports.start()
    await exports.set_queue("pause")
    for number in range(40):
        await exports.submit(clip("source.mp4", output=f"{number}.mp4"))
    await exports.stop()
    path = exports.folder / "jobs.sqlite"
    data = bytearray(path.read_bytes())
    for page in range(len(data) // 4096 - 8, len(data) // 4096):
        data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(data)

    exports = Exports(settings(tmp_path), root, FileExecutor(), FewEncoders())
    await exports.start()  # nothing is checked: the damage is met by whoever reads it
    with pytest.raises(StoreDamaged):
        await exports.list()
        await exports.events_since(0, 1000)
    await exports.stop()
    exports = Exports(settings(tmp_path), root, FileExecutor(), FewEncoders())
    await exports.start()
    assert len(list(exports.folder.glob("jobs.sqlite.damaged-*"))) == 1
    assert await exports.list() == []
    await exports.stop()


async def test_each_root_and_each_named_server_has_a_store_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    folder = store_folder(tmp_path, tmp_path / "a", "")
    assert store_folder(tmp_path, tmp_path / "a", "gpu") != folder
    assert store_folder(tmp_path, tmp_path / "b", "") != folder
    assert store_folder(tmp_path, tmp_path / "a" / ".." / "a", "").name == folder.name


async def test_listener_that_fails_does_not_stop_the_others(exports: Exports) -> None:
    heard: list[dict[str, Any]] = []

    def fail(message: dict[str, Any]) -> None:
        raise RuntimeError("a bug in a listener")

    exports.listeners += [fail, heard.append]
    await exports.set_queue("resume")
    id = (await submit(exports))["id"]
    await until(lambda: completed(exports, id))
    assert heard[-1]["event"] == "completed"
    assert [m["queue"] for m in heard if m["type"] == "event" and m["event"] == "queue"] == [
        "running"
    ]
