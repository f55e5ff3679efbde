"""The queue at work: what runs, stops, fails, comes back, and is still there after a restart."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from queue_support import FRAMES, FewEncoders, FileExecutor, Hold, make_job, settings, until

from jupyter_export.errors import (
    DiskFull,
    EncoderBusy,
    EncoderFailed,
    ExportError,
    IllegalMove,
    WorkerLost,
)
from jupyter_export.job import FINISHED, SegmentCounts
from jupyter_export.queue.lock import SchedulerLock
from jupyter_export.queue.service import Exports
from jupyter_export.queue.store import Store
from jupyter_export.spec import ExportSpec, clip
from jupyter_export.workers.executor import Task

Job = dict[str, Any]


class Site:
    """One or more servers on one root folder and one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.root.mkdir()
        for name in ("source.mp4", "other.mp4"):
            (self.root / name).write_text(f"the content of {name}")
        self.servers: list[Exports] = []

    async def start(
        self, executor: FileExecutor, encoders: FewEncoders | None = None, **values: Any
    ) -> Exports:
        exports = Exports(
            settings(self.folder, **values), self.root, executor, encoders or FewEncoders()
        )
        await exports.start()
        self.servers.append(exports)
        return exports

    async def stop(self, exports: Exports) -> None:
        self.servers.remove(exports)
        await exports.stop()

    def store(self) -> Store:
        (path,) = (self.folder / "data").rglob("jobs.sqlite")
        return Store(path)

    def parts(self) -> list[str]:
        return sorted(path.name for path in self.root.glob(".*.part"))

    def segments(self) -> int:
        return len(list((self.folder / "data" / "segments").glob("*.seg")))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path)
    yield site
    for exports in site.servers:
        await exports.stop()


def spec(output: str = "out.mp4", **fields: Any) -> ExportSpec:
    return clip("source.mp4", output=output, **fields)


async def submit(exports: Exports, output: str = "out.mp4", **fields: Any) -> str:
    options = {k: fields.pop(k) for k in ("priority", "allow_duplicate") if k in fields}
    job, created = await exports.submit(spec(output, **fields), **options)
    assert created
    return str(job["id"])


async def ended(exports: Exports, id: str) -> Job:
    async def finished() -> Job | None:
        job = await exports.get(id)
        return job if job["state"] in FINISHED else None

    job: Job = await until(finished)
    return job


async def state(exports: Exports, id: str, wanted: str) -> Job:
    async def reached() -> Job | None:
        job = await exports.get(id)
        return job if job["state"] == wanted else None

    job: Job = await until(reached)
    return job


def failing(times: int, error: Callable[[], ExportError], name: str = "render") -> Any:
    """A hook that fails so many times."""
    left = [times]

    async def hook(task: Task) -> None:
        if task.name == name and left[0]:
            left[0] -= 1
            raise error()

    return hook


# From submit to the finished file


async def test_submitted_export_is_published_whole_and_completed(site: Site) -> None:
    exports = await site.start(FileExecutor(segments=3))
    job = await ended(exports, await submit(exports, project="p"))
    output = (site.root / "out.mp4").read_bytes()
    assert job["state"] == "completed"
    assert job["result"]["sha256"] == hashlib.sha256(output).hexdigest()
    assert output.count(b"\n") == job["result"]["frames"] == 3 * FRAMES
    assert job["progress"]["percent"] == 100
    assert job["segments"] == {"copied": 0, "rendered": 3, "reused": 0, "total": 3}
    assert job["encoder"] == {"name": "libx264", "reason": "libx264: first usable"}
    assert (job["attempt"], job["error"], job["queue_position"]) == (1, None, None)
    assert site.parts() == []
    assert (await exports.projects())[0]["complete"]


async def test_running_job_shows_its_live_progress_and_listeners_hear_it(site: Site) -> None:
    executor = FileExecutor(segments=2)
    executor.halfway = hold = Hold()
    exports = await site.start(executor)
    heard: list[dict[str, Any]] = []
    exports.listeners.append(heard.append)
    id = await submit(exports)
    await hold.reached.wait()
    await until(lambda: any(m["type"] == "progress" and m["progress"]["frames"] for m in heard))
    progress = (await exports.get(id))["progress"]
    assert (progress["phase"], progress["total_frames"]) == ("rendering", 2 * FRAMES)
    assert 0 < progress["frames"] < 2 * FRAMES
    assert 0 < progress["percent"] < 100
    hold.go.set()
    await ended(exports, id)
    events = [m for m in heard if m["type"] == "event"]
    assert [m["event"] for m in events if m["event"] != "advanced"] == [
        "submitted",
        "started",
        "planned",
        "publishing",
        "completed",
    ]
    numbers = [m["seq"] for m in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert events[-1]["job"]["progress"]["percent"] == 100


async def test_no_more_than_the_limit_run_and_the_next_one_knows_its_place(site: Site) -> None:
    executor = FileExecutor()
    executor.halfway = hold = Hold()
    exports = await site.start(executor, max_concurrent_exports=2)
    ids = [await submit(exports, f"{n}.mp4") for n in range(4)]
    await until(lambda: executor.names().count("render") == 2)
    jobs = [await exports.get(id) for id in ids]
    assert [job["state"] for job in jobs] == ["running", "running", "queued", "queued"]
    assert [job["queue_position"] for job in jobs] == [None, None, 1, 2]
    assert jobs[2]["waiting_for"] == "a free place: 2 of 2 run"
    hold.go.set()
    for id in ids:
        assert (await ended(exports, id))["state"] == "completed"
    assert executor.most_busy == 2


async def test_priority_changed_while_queued_changes_who_is_next(site: Site) -> None:
    executor = FileExecutor(segments=1)
    executor.halfway = hold = Hold()
    exports = await site.start(executor, max_concurrent_exports=1)
    first, second, third = [await submit(exports, f"{n}.mp4") for n in range(3)]
    await hold.reached.wait()
    assert (await exports.set_priority(third, 5))["queue_position"] == 1
    assert (await exports.get(second))["queue_position"] == 2
    hold.go.set()
    finished = [await ended(exports, id) for id in (first, second, third)]
    assert finished[2]["started_at"] < finished[1]["started_at"]


# Cancel and pause


async def test_cancel_of_a_running_job_ends_it_and_leaves_no_part_and_the_old_output(
    site: Site,
) -> None:
    (site.root / "out.mp4").write_text("old")
    executor = FileExecutor()
    executor.halfway = hold = Hold("assemble")
    exports = await site.start(executor)
    id = await submit(exports)
    await hold.reached.wait()
    assert site.parts()
    assert (await exports.cancel(id))["cancel_requested"]
    job = await ended(exports, id)
    assert (job["state"], job["cancel_requested"]) == ("cancelled", False)
    assert site.parts() == []
    assert (site.root / "out.mp4").read_text() == "old"
    assert executor.busy == 0


async def test_cancel_of_a_queued_job_is_done_at_once(site: Site) -> None:
    executor = FileExecutor()
    exports = await site.start(executor)
    await exports.set_queue("pause")
    id = await submit(exports)
    assert (await exports.cancel(id))["state"] == "cancelled"
    await exports.set_queue("resume")
    assert (await ended(exports, await submit(exports)))["state"] == "completed"
    assert (await exports.get(id))["attempt"] == 0


async def test_cancel_right_after_submit_never_hangs(site: Site) -> None:
    exports = await site.start(FileExecutor(), max_concurrent_exports=3)
    for turn in range(30):
        id = await submit(exports, f"{turn}.mp4")
        for _ in range(turn):
            await asyncio.sleep(0)
        try:
            await exports.cancel(id)
        except IllegalMove:
            assert (await ended(exports, id))["state"] == "completed"
        else:
            assert (await ended(exports, id))["state"] == "cancelled"
            assert not (site.root / f"{turn}.mp4").exists()
    assert site.parts() == []


async def test_cancel_at_the_moment_of_the_claim_is_not_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Store.claim

    def claim_and_cancel(self: Store, id: str, attempt: int) -> Any:
        job = claim(self, id, attempt)
        self.cancel(id)
        return job

    monkeypatch.setattr(Store, "claim", claim_and_cancel)
    executor = FileExecutor()
    executor.before = Hold("plan")
    exports = await site.start(executor)
    job = await ended(exports, await submit(exports))
    assert (job["state"], job["attempt"]) == ("cancelled", 1)


async def test_paused_job_gives_up_its_place_and_goes_on_from_its_segments(site: Site) -> None:
    executor = FileExecutor(segments=3)
    hold = Hold()

    async def hook(task: Task) -> None:
        if task.name == "render" and task.params["index"] == 2:
            await hold(task)

    executor.halfway = hook
    exports = await site.start(executor, max_concurrent_exports=1)
    id = await submit(exports)
    await hold.reached.wait()
    await exports.pause(id)
    job = await state(exports, id, "queued")
    assert (job["paused"], job["queue_position"]) == (True, None)
    assert site.segments() == 2
    hold.go.set()
    other = await submit(exports, "other.mp4", end=0.5)
    assert (await ended(exports, other))["state"] == "completed"
    assert (await exports.get(id))["state"] == "queued"
    await exports.resume(id)
    job = await ended(exports, id)
    assert (job["state"], job["attempt"]) == ("completed", 2)
    assert job["segments"] == {"copied": 0, "rendered": 1, "reused": 2, "total": 3}


@pytest.mark.parametrize("action", ["pause", "drain"])
async def test_stopped_queue_finishes_what_runs_and_stays_stopped_over_a_restart(
    site: Site, action: str
) -> None:
    executor = FileExecutor()
    executor.halfway = hold = Hold()
    exports = await site.start(executor, max_concurrent_exports=1)
    running, waiting = await submit(exports, "1.mp4"), await submit(exports, "2.mp4")
    await hold.reached.wait()
    told = await exports.set_queue(action)
    assert told == {
        "state": {"pause": "paused", "drain": "draining"}[action],
        "running": 1,
        "queued": 1,
        "limit": 1,
        "notice": None,
    }
    hold.go.set()
    assert (await ended(exports, running))["state"] == "completed"
    await site.stop(exports)
    exports = await site.start(executor)
    job = await exports.get(waiting)
    assert (job["state"], job["queue_position"]) == ("queued", 1)
    assert "queue" in job["waiting_for"]
    await exports.set_queue("resume")
    assert (await ended(exports, waiting))["state"] == "completed"


# Failures


async def test_passing_error_is_tried_again_from_the_finished_segments(site: Site) -> None:
    executor = FileExecutor(segments=2)
    executor.before = failing(2, lambda: EncoderFailed("It stopped."), "assemble")
    exports = await site.start(executor, max_attempts=3)
    job = await ended(exports, await submit(exports))
    assert (job["state"], job["attempt"], job["error"]) == ("completed", 3, None)
    assert job["segments"]["reused"] == 2


async def test_error_that_does_not_pass_by_itself_fails_after_the_last_try(site: Site) -> None:
    executor = FileExecutor()
    executor.before = failing(99, lambda: EncoderFailed("It stopped.", "Do this."))
    exports = await site.start(executor, max_attempts=2)
    job = await ended(exports, await submit(exports))
    assert (job["state"], job["attempt"]) == ("failed", 2)
    assert job["error"]["type"] == "encoder-failed"
    assert (job["error"]["detail"], job["error"]["advice"]) == ("It stopped.", "Do this.")
    assert site.parts() == []


async def test_waiting_retry_shows_its_error_and_its_time_and_can_be_hurried(site: Site) -> None:
    executor = FileExecutor()
    executor.before = failing(1, lambda: EncoderFailed("It stopped."))
    exports = await site.start(executor, retry_base_seconds=1e6)
    id = await submit(exports)
    job = await state(exports, id, "queued")
    job = await until(lambda: waiting_for_retry(exports, id))
    assert job["error"]["detail"] == "It stopped."
    assert job["waiting_for"].startswith("its next try at")
    await exports.retry(id)
    assert (await ended(exports, id))["state"] == "completed"


async def test_part_file_that_a_dead_attempt_left_late_is_gone_in_the_end(site: Site) -> None:
    executor = FileExecutor()
    executor.before = failing(1, lambda: EncoderFailed("It stopped."))
    exports = await site.start(executor, retry_base_seconds=1e6)
    id = await submit(exports)
    await until(lambda: waiting_for_retry(exports, id))
    (site.root / f".out.mp4.{id}.1.part").write_text("half of it")
    await exports.retry(id)
    assert (await ended(exports, id))["state"] == "completed"
    assert site.parts() == []


async def waiting_for_retry(exports: Exports, id: str) -> Job | None:
    job = await exports.get(id)
    return job if job["not_before"] else None


async def test_full_disk_fails_at_once_and_a_retry_by_hand_goes_on(site: Site) -> None:
    executor = FileExecutor(segments=3)
    executor.halfway = failing(1, lambda: DiskFull("There is no space left."), "assemble")
    exports = await site.start(executor)
    id = await submit(exports)
    job = await ended(exports, id)
    assert (job["state"], job["attempt"], job["error"]["type"]) == ("failed", 1, "disk-full")
    assert site.parts() == []
    job = await exports.retry(id)
    assert job["error"] is None
    job = await ended(exports, id)
    assert (job["state"], job["segments"]["reused"]) == ("completed", 3)


async def test_three_lost_workers_fail_the_job_whatever_other_tries_are_left(site: Site) -> None:
    executor = FileExecutor()
    executor.before = failing(99, lambda: WorkerLost("It was killed by signal 11."))
    exports = await site.start(executor, max_attempts=10, max_lost_workers=3)
    job = await ended(exports, await submit(exports))
    assert (job["state"], job["attempt"]) == ("failed", 3)
    assert job["error"]["type"] == "worker-lost"
    assert "3 worker processes died" in job["error"]["detail"]


async def test_last_try_after_lost_workers_avoids_the_hardware_encoder(site: Site) -> None:
    async def hook(task: Task) -> None:
        if task.name == "render" and task.params["plan"]["encoder"] == "h264_nvenc":
            raise WorkerLost("It was killed by signal 11.")

    executor = FileExecutor()
    executor.before = hook
    encoders = FewEncoders("h264_nvenc", "libx264")
    exports = await site.start(executor, encoders)
    job = await ended(exports, await submit(exports))
    assert (job["state"], job["attempt"], job["encoder"]["name"]) == ("completed", 3, "libx264")
    assert "h264_nvenc" in job["notes"][0]
    assert encoders.suspected == ["h264_nvenc"] * 2, "its driver may be what killed them"


async def test_failing_hardware_encoder_shows_on_the_finished_job(site: Site) -> None:
    async def hook(task: Task) -> None:
        if task.name == "render" and task.params["plan"]["encoder"] == "h264_nvenc":
            raise EncoderFailed("The session was lost.")

    executor = FileExecutor()
    executor.halfway = hook
    encoders = FewEncoders("h264_nvenc", "libx264")
    exports = await site.start(executor, encoders)
    job = await ended(exports, await submit(exports))
    assert (job["state"], job["attempt"], job["encoder"]["name"]) == ("completed", 1, "libx264")
    assert encoders.suspected == ["h264_nvenc"], "the next job is to know better"
    note = "h264_nvenc failed (The session was lost); went on in software (libx264)"
    assert job["notes"] == [note]


async def test_busy_encoder_is_waited_for_however_often_and_the_finished_job_tells(
    site: Site,
) -> None:
    executor, tries = FileExecutor(), 0

    async def before(task: Task) -> None:
        nonlocal tries
        if task.name == "render" and task.params["index"] == 1:
            tries += 1
            if tries <= 6:
                raise EncoderBusy("h264_nvenc cannot open another session: all in use.", "Wait.")

    executor.before = before
    encoders = FewEncoders("h264_nvenc", "libx264")
    exports = await site.start(executor, encoders, max_attempts=2, max_lost_workers=2)
    seen = []
    exports.listeners.append(lambda message: seen.append(message.get("job")))
    id = await submit(exports)
    job = await ended(exports, id)
    assert (job["state"], job["error"]) == ("completed", None)
    assert job["encoder"]["name"] == "h264_nvenc"
    assert job["attempt"] == 7
    assert [note for note in job["notes"] if "all in use" in note] == [
        "Waited for hardware: h264_nvenc cannot open another session: all in use."
    ]
    waiting = [j for j in seen if isinstance(j, dict) and j["state"] == "queued" and j["error"]]
    assert waiting and all(j["error"]["type"] == "encoder-busy" for j in waiting)
    assert encoders.suspected == [], "busy is not broken"


async def test_bug_in_a_step_fails_the_job_and_the_log_has_the_traceback(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    executor = FileExecutor()

    async def hook(task: Task) -> None:
        if task.name == "render":
            raise ZeroDivisionError("a bug")

    executor.before = hook
    exports = await site.start(executor)
    id = await submit(exports)
    job = await ended(exports, id)
    assert (job["state"], job["error"]["type"]) == ("failed", "internal-error")
    log = await exports.log(id)
    assert "Traceback" in log
    assert "ZeroDivisionError: a bug" in log


async def test_source_removed_while_queued_fails_with_its_name(site: Site) -> None:
    exports = await site.start(FileExecutor())
    await exports.set_queue("pause")
    id = await submit(exports)
    (site.root / "source.mp4").unlink()
    await exports.set_queue("resume")
    job = await ended(exports, id)
    assert (job["state"], job["error"]["type"]) == ("failed", "source-missing")


async def test_output_folder_that_became_a_link_out_of_the_root_is_refused(site: Site) -> None:
    (site.root / "sub").mkdir()
    exports = await site.start(FileExecutor())
    await exports.set_queue("pause")
    id = await submit(exports, "sub/out.mp4")
    (site.root / "sub").rmdir()
    (site.folder / "outside").mkdir()
    (site.root / "sub").symlink_to(site.folder / "outside")
    await exports.set_queue("resume")
    job = await ended(exports, id)
    assert (job["state"], job["error"]["type"]) == ("failed", "path-error")
    assert list((site.folder / "outside").iterdir()) == []


# Replaced attempts, stops, restarts, several servers


async def test_attempt_that_was_replaced_does_not_publish(site: Site) -> None:
    executor = FileExecutor()
    executor.halfway = hold = Hold("assemble")
    exports = await site.start(executor)
    id = await submit(exports)
    await hold.reached.wait()
    store = site.store()
    store.set_paused(id, False)
    assert store.requeue(id, 1) is not None
    assert store.claim(id, 1) is not None  # attempt 2, somewhere else
    hold.go.set()
    await until(lambda: executor.busy == 0 and not site.parts())
    job = await exports.get(id)
    assert (job["state"], job["attempt"]) == ("running", 2)
    assert not (site.root / "out.mp4").exists()
    store.close()


async def test_stopped_server_puts_its_jobs_back_at_no_cost_and_goes_on_later(site: Site) -> None:
    executor = FileExecutor(segments=3)
    hold = Hold()

    async def hook(task: Task) -> None:
        if task.name == "render" and task.params["index"] == 2:
            await hold(task)

    executor.halfway = hook
    exports = await site.start(executor, max_attempts=1, max_lost_workers=1)
    id = await submit(exports)
    await hold.reached.wait()
    await site.stop(exports)
    assert executor.busy == 0
    assert not executor.closed
    store = site.store()
    job = store.get(id)
    assert (job.state, job.failures, job.lost_workers) == ("queued", 0, 0)
    store.close()
    hold.go.set()
    exports = await site.start(executor)
    done = await ended(exports, id)
    assert (done["state"], done["attempt"]) == ("completed", 2)
    assert done["segments"] == {"copied": 0, "rendered": 1, "reused": 2, "total": 3}


async def test_worker_that_ignores_the_stop_is_ended_and_its_job_is_put_back(site: Site) -> None:
    class Stubborn(FileExecutor):
        """Its worker ends only when the executor is closed."""

        async def run(self, task: Task, on_progress: Any) -> dict[str, Any]:
            if task.name == "render":
                reached.set()
                while not self.closed:
                    try:
                        await asyncio.sleep(0.01)
                    except asyncio.CancelledError:
                        continue
                raise WorkerLost("The pool was closed.")
            return await super().run(task, on_progress)

    reached = asyncio.Event()
    exports = await site.start(Stubborn(), stop_grace_seconds=0.05, max_lost_workers=1)
    id = await submit(exports)
    await reached.wait()
    await site.stop(exports)
    store = site.store()
    assert (store.get(id).state, store.get(id).lost_workers) == ("queued", 0)
    store.close()


async def test_second_server_follows_shows_and_submits_and_takes_over(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_export.queue.scheduler.RETRY_SECONDS", 0.05)
    monkeypatch.setattr("jupyter_export.queue.database.LOOK_SECONDS", 0.05)
    executor, unused = FileExecutor(), FileExecutor()
    leader = await site.start(executor)
    follower = await site.start(unused)
    assert (await leader.health())["leading"]
    assert not (await follower.health())["leading"]
    heard: list[dict[str, Any]] = []
    follower.listeners.append(heard.append)

    id = await submit(follower)
    assert (await ended(follower, id))["state"] == "completed"
    assert "render" in executor.names()
    assert unused.names() == ["inspect"]
    await until(lambda: heard and heard[-1]["event"] == "completed")
    assert [m["seq"] for m in heard] == list(range(1, len(heard) + 1))

    executor.halfway = Hold()
    id = await submit(follower, "second.mp4", end=1.0)
    await executor.halfway.reached.wait()
    assert (await follower.get(id))["progress"]["phase"] == "rendering"
    await follower.cancel(id)
    assert (await ended(follower, id))["state"] == "cancelled"

    await site.stop(leader)
    id = await submit(follower, "third.mp4")
    assert (await ended(follower, id))["state"] == "completed"
    assert (await follower.health())["leading"]


async def test_lock_has_one_holder_and_is_free_after_release(tmp_path: Path) -> None:
    first, second = SchedulerLock(tmp_path / "lock"), SchedulerLock(tmp_path / "lock")
    assert first.acquire()
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()


# What a killed server leaves behind


class Crashed:
    """A store as a server leaves it that was killed in the middle of a job."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.output = site.root / "out.mp4"
        self.part = site.root / ".out.mp4.a.1.part"
        self.data = b"the finished file"
        self.result = {
            "bytes": len(self.data),
            "sha256": hashlib.sha256(self.data).hexdigest(),
            "frames": 1,
            "duration": 1.0,
        }

    async def running(self) -> Store:
        exports = await self.site.start(FileExecutor())  # makes the store where it belongs
        await self.site.stop(exports)
        store = self.site.store()
        store.submit(make_job("a", output="out.mp4"))
        assert store.claim("a", 0) is not None
        return store

    async def publishing(self) -> None:
        store = await self.running()
        job = store.begin_publishing(
            "a",
            1,
            part=str(self.part),
            result=self.result,
            segments=SegmentCounts(),
            notes=(),
        )
        assert job is not None
        store.close()


async def test_running_job_of_a_killed_server_runs_again_at_no_cost(site: Site) -> None:
    crashed = Crashed(site)
    (await crashed.running()).close()
    crashed.part.write_text("half of it")
    exports = await site.start(FileExecutor(), max_attempts=1)
    job = await ended(exports, "a")
    assert (job["state"], job["attempt"]) == ("completed", 2)
    assert site.parts() == []


async def test_job_cancelled_just_before_the_server_was_killed_stays_cancelled(site: Site) -> None:
    crashed = Crashed(site)
    store = await crashed.running()
    store.cancel("a")
    store.close()
    crashed.part.write_text("half of it")
    exports = await site.start(FileExecutor())
    assert (await ended(exports, "a"))["state"] == "cancelled"
    assert site.parts() == []
    assert not crashed.output.exists()


async def test_server_killed_before_the_rename_publishes_the_finished_file(site: Site) -> None:
    crashed = Crashed(site)
    await crashed.publishing()
    crashed.output.write_text("old")
    crashed.part.write_bytes(crashed.data)
    executor = FileExecutor()
    exports = await site.start(executor)
    job = await exports.get("a")
    assert (job["state"], job["attempt"]) == ("completed", 1)
    assert crashed.output.read_bytes() == crashed.data
    assert site.parts() == []
    assert executor.names() == []


async def test_server_killed_after_the_rename_sees_that_it_had_happened(site: Site) -> None:
    crashed = Crashed(site)
    await crashed.publishing()
    crashed.output.write_bytes(crashed.data)
    executor = FileExecutor()
    exports = await site.start(executor)
    assert (await exports.get("a"))["state"] == "completed"
    assert executor.names() == []


async def test_finished_file_that_was_lost_is_made_again(site: Site) -> None:
    crashed = Crashed(site)
    await crashed.publishing()
    crashed.output.write_bytes(b"x" * len(crashed.data))  # the old one, as it happens as long
    exports = await site.start(FileExecutor())
    job = await ended(exports, "a")
    assert (job["state"], job["attempt"]) == ("completed", 2)
    assert b"libx264" in crashed.output.read_bytes()


async def test_part_file_cut_short_by_a_power_cut_is_not_published(site: Site) -> None:
    crashed = Crashed(site)
    await crashed.publishing()
    crashed.part.write_bytes(crashed.data[:5])
    exports = await site.start(FileExecutor())
    job = await ended(exports, "a")
    assert (job["state"], job["attempt"]) == ("completed", 2)
    assert b"libx264" in crashed.output.read_bytes()
    assert site.parts() == []


async def test_recovery_leaves_the_parts_of_others_alone(site: Site) -> None:
    crashed = Crashed(site)
    (await crashed.running()).close()
    foreign = site.root / ".out.mp4.someone-else.1.part"
    foreign.write_text("")
    exports = await site.start(FileExecutor())
    await ended(exports, "a")
    assert site.parts() == [foreign.name]


# The store refuses for a while


async def test_outcome_that_the_store_cannot_record_is_recovered_not_forgotten(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("jupyter_export.queue.scheduler.RETRY_SECONDS", 0.05)
    refuse = [True]
    complete = Store.complete

    def full(self: Store, id: str, attempt: int) -> Any:
        if refuse:
            refuse.pop()
            raise DiskFull("There is no space left for the job database.")
        return complete(self, id, attempt)

    monkeypatch.setattr(Store, "complete", full)
    exports = await site.start(FileExecutor())
    with caplog.at_level(logging.ERROR):
        job = await ended(exports, await submit(exports))
    assert (job["state"], job["attempt"]) == ("completed", 1)
    assert any("cannot be recorded" in record.message for record in caplog.records)


# The cache of segments


async def test_cache_is_swept_after_a_job_but_keeps_what_paused_jobs_need(site: Site) -> None:
    swept: list[tuple[int, set[str]]] = []
    executor = FileExecutor(segments=2)
    executor.halfway = hold = Hold()
    exports = Exports(
        settings(site.folder, cache_bytes=123),
        site.root,
        executor,
        FewEncoders(),
        sweep=lambda folder, limit, days, keep: swept.append((limit, keep)),
    )
    await exports.start()
    site.servers.append(exports)
    paused = await submit(exports, "paused.mp4", end=0.5)
    await hold.reached.wait()
    await exports.pause(paused)
    await state(exports, paused, "queued")
    hold.go.set()
    await ended(exports, await submit(exports, "done.mp4"))
    await until(lambda: swept and swept[-1][0] == 123 and len(swept[-1][1]) == 3)
    needed = swept[-1][1]
    await exports.cancel(paused)
    await ended(exports, await submit(exports, "again.mp4", end=0.25))
    await until(lambda: not swept[-1][1] & needed)
