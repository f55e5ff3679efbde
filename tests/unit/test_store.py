"""The job database: what it promises to two servers, to a stale attempt, and after a restart."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from queue_support import make_job

from jupyter_export.errors import (
    DiskFull,
    DuplicateJob,
    IllegalMove,
    JobNotFound,
    OutputError,
    OutputInUse,
    QueueBusy,
    QueueError,
    SpecError,
)
from jupyter_export.job import Job, SegmentCounts, State
from jupyter_export.queue import records, schema
from jupyter_export.queue.choice import QueueState
from jupyter_export.queue.disk import mount_type
from jupyter_export.queue.rows import row_of_job
from jupyter_export.queue.store import Store

RESULT = {"bytes": 3, "sha256": "abc", "frames": 30, "duration": 1.0}
ERROR = {"type": "worker-lost", "title": "t", "detail": "d", "advice": "a", "field": None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "jobs.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path)
    yield store
    store.close()


def submit(store: Store, id: str, **fields: Any) -> Job:
    job, created = store.submit(make_job(id, **fields))
    assert created
    return job


def run(store: Store, id: str) -> Job:
    """Claim a queued job."""
    job = store.claim(id, store.get(id).attempt)
    assert job is not None
    return job


def publish(store: Store, job: Job) -> Job | None:
    return store.begin_publishing(
        job.id,
        job.attempt,
        part=f"/tmp/{job.id}.part",
        result=RESULT,
        segments=SegmentCounts(rendered=2, total=2),
        notes=("a note",),
    )


def finish(store: Store, id: str) -> Job:
    job = run(store, id)
    assert publish(store, job) is not None
    completed = store.complete(id, job.attempt)
    assert completed is not None
    return completed


def in_threads(path: Path, work: Callable[[Store], Any], count: int = 2) -> list[Any]:
    """Run `work` at the same moment in several threads, each with a store of its own."""
    start = threading.Barrier(count)
    results: list[Any] = []

    def body() -> None:
        store = Store(path)
        try:
            start.wait()
            results.append(work(store))
        except Exception as error:
            results.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=body) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# One writer per output, one job per project and kind


def test_second_live_job_for_one_output_is_refused_and_names_the_first(store: Store) -> None:
    submit(store, "first", output="out.mp4")
    with pytest.raises(OutputInUse, match=r"first.*out\.mp4") as refused:
        store.submit(make_job("second", output="out.mp4"), allow_duplicate=True)
    assert refused.value.extra["job"] == "first"
    assert store.find("second") is None


@pytest.mark.parametrize("end", ["complete", "cancel", "fail"])
def test_output_is_free_again_when_its_job_has_ended(store: Store, end: str) -> None:
    submit(store, "first", output="out.mp4")
    if end == "complete":
        finish(store, "first")
    elif end == "cancel":
        store.cancel("first")
    else:
        job = run(store, "first")
        store.fail("first", job.attempt, error=ERROR, failures=1, lost_workers=0)
    submit(store, "second", output="out.mp4")


def test_two_servers_that_submit_one_output_at_once_make_one_job(path: Path, store: Store) -> None:
    for turn in range(10):
        results = in_threads(
            path,
            lambda s, turn=turn: s.submit(
                make_job(f"{turn}-{threading.get_ident()}", output=f"{turn}.mp4")
            ),
        )
        assert [isinstance(r, OutputInUse) for r in results].count(True) == 1
    assert len(store.active()) == 10


def test_project_with_a_live_job_of_the_kind_refuses_a_second_one(store: Store) -> None:
    submit(store, "first", project="p")
    with pytest.raises(DuplicateJob) as refused:
        store.submit(make_job("second", project="p"))
    assert refused.value.extra["job"] == "first"
    submit(store, "other-kind", project="p", kind="framing")
    submit(store, "other-project", project="q")
    submit(store, "none")
    submit(store, "none-either")
    assert store.submit(make_job("meant", project="p"), allow_duplicate=True)[1]


def test_more_jobs_than_may_wait_are_refused(store: Store) -> None:
    submit(store, "a")
    with pytest.raises(QueueBusy, match="1 exports wait"):
        store.submit(make_job("b"), max_queued=1)
    run(store, "a")
    assert store.submit(make_job("b"), max_queued=1)[1]


# Idempotency


def test_the_same_key_gives_the_same_job_even_after_it_has_finished(path: Path) -> None:
    store = Store(path)
    submit(store, "a", idempotency_key="k")
    finish(store, "a")
    store.close()
    store = Store(path)
    job, created = store.submit(make_job("b", output="a.mp4", idempotency_key="k"))
    assert (job.id, job.state, created) == ("a", State.COMPLETED, False)
    store.close()


def test_the_same_key_for_another_spec_is_refused(store: Store) -> None:
    submit(store, "a", idempotency_key="k")
    with pytest.raises(SpecError, match="job a"):
        store.submit(make_job("b", idempotency_key="k"))


# Claims and fencing


def test_two_servers_that_claim_one_job_at_once_run_it_once(path: Path, store: Store) -> None:
    for turn in range(10):
        submit(store, f"j{turn}")
        results = in_threads(path, lambda s, turn=turn: s.claim(f"j{turn}", 0))
        assert [r is None for r in results].count(True) == 1
        assert store.get(f"j{turn}").attempt == 1


def test_an_attempt_that_was_replaced_changes_nothing(store: Store) -> None:
    submit(store, "a")
    old = run(store, "a")
    store.requeue("a", old.attempt)
    new = run(store, "a")
    before, seq = store.get("a"), store.last_seq()

    counts = {"failures": 1, "lost_workers": 1}
    assert publish(store, old) is None
    assert store.complete("a", old.attempt) is None
    assert store.fail("a", old.attempt, error=ERROR, **counts) is None
    later = datetime.now(UTC)
    assert store.retry_later("a", old.attempt, error=ERROR, not_before=later, **counts) is None
    assert store.requeue("a", old.attempt) is None
    recorded = store.record(
        "a", old.attempt, "planned", encoder={}, segments=SegmentCounts(), total_frames=1, notes=()
    )
    assert recorded is None
    assert (store.get("a"), store.last_seq()) == (before, seq)

    assert publish(store, new) is not None
    assert store.claim("a", new.attempt) is None
    assert store.complete("a", new.attempt) is not None
    assert store.complete("a", new.attempt) is None


def test_a_job_is_published_only_from_running(store: Store) -> None:
    job = submit(store, "a")
    assert publish(store, job) is None
    assert store.complete("a", 0) is None


def test_a_new_attempt_begins_without_what_the_last_one_left(store: Store) -> None:
    submit(store, "a")
    job = run(store, "a")
    store.record(
        "a",
        1,
        "planned",
        encoder={"name": "h264_nvenc", "reason": "r"},
        segments=SegmentCounts(rendered=1, total=2),
        total_frames=30,
        notes=("n",),
    )
    later = datetime.now(UTC) - timedelta(seconds=1)
    store.retry_later("a", 1, error=ERROR, not_before=later, failures=1, lost_workers=0)
    assert store.get("a").error == ERROR
    job = run(store, "a")
    assert (job.attempt, job.failures) == (2, 1)
    assert (job.encoder, job.error, job.notes) == (None, None, ())
    assert job.segments == SegmentCounts()


def test_a_retry_does_not_start_before_its_time(store: Store) -> None:
    submit(store, "a")
    run(store, "a")
    later = datetime.now(UTC) + timedelta(minutes=9)
    store.retry_later("a", 1, error=ERROR, not_before=later, failures=1, lost_workers=0)
    assert store.claim("a", 1) is None
    store.retry("a")
    assert store.claim("a", 1) is not None


# Cancel, pause, retry, delete


def test_cancelled_job_is_never_published_although_its_file_is_finished(store: Store) -> None:
    submit(store, "a")
    job = run(store, "a")
    assert store.cancel("a").cancel_requested
    assert publish(store, job) is None
    after = store.requeue("a", job.attempt)
    assert after is not None
    assert (after.state, after.cancel_requested) == (State.CANCELLED, False)


def test_cancel_wins_over_a_failure_at_the_same_moment(store: Store) -> None:
    submit(store, "a")
    job = run(store, "a")
    store.cancel("a")
    after = store.retry_later(
        "a",
        job.attempt,
        error=ERROR,
        not_before=datetime.now(UTC),
        failures=1,
        lost_workers=0,
    )
    assert after is not None
    assert after.state is State.CANCELLED
    assert [e.type for e in store.events_since(0)][-1] == "cancelled"


def test_cancel_twice_is_one_cancel(store: Store) -> None:
    submit(store, "a")
    run(store, "a")
    store.cancel("a")
    seq = store.last_seq()
    assert store.cancel("a").cancel_requested
    assert store.last_seq() == seq


def test_what_is_being_published_or_finished_cannot_be_cancelled(store: Store) -> None:
    submit(store, "a")
    publish(store, run(store, "a"))
    with pytest.raises(IllegalMove, match="moving its finished file"):
        store.cancel("a")
    store.complete("a", 1)
    with pytest.raises(IllegalMove, match="completed"):
        store.cancel("a")


def test_paused_job_is_not_claimed_and_stays_paused_over_a_restart(path: Path) -> None:
    store = Store(path)
    submit(store, "a")
    store.set_paused("a", True)
    store.close()
    store = Store(path)
    assert store.get("a").paused
    assert store.claim("a", 0) is None
    store.set_paused("a", False)
    assert store.claim("a", 0) is not None
    store.close()


def test_pause_of_a_running_job_puts_it_back_without_a_failure(store: Store) -> None:
    submit(store, "a")
    job = run(store, "a")
    store.set_paused("a", True)
    after = store.requeue("a", job.attempt)
    assert after is not None
    assert (after.state, after.paused, after.failures) == (State.QUEUED, True, 0)


def test_finished_job_cannot_be_paused(store: Store) -> None:
    submit(store, "a")
    store.cancel("a")
    with pytest.raises(IllegalMove, match="cancelled and cannot be paused"):
        store.set_paused("a", True)


def test_retry_forgets_old_failures_but_not_the_attempt_number(store: Store) -> None:
    submit(store, "a")
    job = run(store, "a")
    store.fail("a", job.attempt, error=ERROR, failures=3, lost_workers=2)
    job = store.retry("a")
    assert (job.state, job.attempt) == (State.QUEUED, 1)
    assert (job.failures, job.lost_workers, job.error, job.finished_at) == (0, 0, None, None)


def test_retry_is_refused_while_another_job_owns_the_output(store: Store) -> None:
    submit(store, "a", output="out.mp4")
    store.cancel("a")
    submit(store, "b", output="out.mp4")
    with pytest.raises(OutputInUse) as refused:
        store.retry("a")
    assert refused.value.extra["job"] == "b"
    assert store.get("a").state is State.CANCELLED


def test_retry_is_refused_while_the_project_has_another_such_job(store: Store) -> None:
    submit(store, "a", project="p")
    store.cancel("a")
    submit(store, "b", project="p")
    with pytest.raises(DuplicateJob):
        store.retry("a")


@pytest.mark.parametrize("state", ["queued", "running", "completed"])
def test_only_what_failed_or_was_cancelled_can_be_retried(store: Store, state: str) -> None:
    submit(store, "a")
    if state == "running":
        run(store, "a")
    if state == "completed":
        finish(store, "a")
    with pytest.raises(IllegalMove, match=state):
        store.retry("a")


def test_live_job_cannot_be_deleted(store: Store) -> None:
    submit(store, "a")
    with pytest.raises(IllegalMove, match="Cancel it first"):
        store.delete("a")
    store.cancel("a")
    store.delete("a")
    for call in (store.get, store.delete, store.cancel, store.retry):
        with pytest.raises(JobNotFound, match="'a'"):
            call("a")


def test_priority_can_be_changed_only_while_queued(store: Store) -> None:
    submit(store, "a")
    assert store.set_priority("a", 5).priority == 5
    run(store, "a")
    with pytest.raises(IllegalMove, match="running"):
        store.set_priority("a", 6)


# The queue as a whole


@pytest.mark.parametrize("state", [QueueState.PAUSED, QueueState.DRAINING])
def test_stopped_queue_gives_out_no_job_and_stays_so_over_a_restart(
    path: Path, state: QueueState
) -> None:
    store = Store(path)
    submit(store, "a")
    assert store.set_queue(state)
    assert not store.set_queue(state)
    store.close()
    store = Store(path)
    assert store.queue_state() is state
    assert store.claim("a", 0) is None
    store.set_queue(QueueState.RUNNING)
    assert store.claim("a", 0) is not None
    store.close()


# Lists


def test_pages_show_each_job_once_newest_first(store: Store) -> None:
    for number in range(7):
        project = "even" if number % 2 == 0 else None
        submit(store, f"j{number}", project=project, kind=f"k{number}")
    seen: list[str] = []
    before = None
    while page := store.list(before=before, limit=3):
        seen += [job.id for job in page]
        before = page[-1].id
    assert seen == [f"j{n}" for n in range(6, -1, -1)]
    assert [job.id for job in store.list(project="even")] == ["j6", "j4", "j2", "j0"]
    store.cancel("j3")
    assert [job.id for job in store.list(state=State.CANCELLED)] == ["j3"]
    assert "j3" not in [job.id for job in store.active()]
    with pytest.raises(SpecError, match="nosuch"):
        store.list(before="nosuch")


def test_recent_lists_what_finished_not_what_was_submitted_lately(store: Store) -> None:
    for id in ("done", "waiting", "cancelled"):
        submit(store, id, created_at=datetime.now(UTC) - timedelta(days=9))
    finish(store, "done")
    store.cancel("cancelled")
    recent = store.recent(datetime.now(UTC) - timedelta(hours=1))
    assert [job.id for job in recent] == ["cancelled", "done"]
    assert store.recent(datetime.now(UTC) + timedelta(seconds=1)) == []


def test_project_is_complete_when_its_latest_job_is(store: Store) -> None:
    submit(store, "a", project="p")
    finish(store, "a")
    complete = {"name": "p", "jobs": 1, "state": "completed", "complete": True}
    assert store.projects() == [complete]
    submit(store, "b", project="p")
    submit(store, "c", project="q")
    assert store.projects()[0] == {"name": "p", "jobs": 2, "state": "queued", "complete": False}
    finish(store, "b")
    assert [p["complete"] for p in store.projects()] == [True, False]


# What is on disk


def test_everything_of_a_job_is_still_there_after_a_restart(path: Path) -> None:
    store = Store(path)
    job = make_job(
        "a",
        project="Projekt ä",
        priority=7,
        idempotency_key="k",
        encoder={"name": "libx264", "reason": "r"},
        error=ERROR,
        segments=SegmentCounts(copied=1, rendered=2, reused=3, total=6),
        total_frames=99,
        notes=("one", "two"),
        result=RESULT,
        not_before=datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        started_at=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    store.submit(job, allow_duplicate=True)
    epoch = store.epoch
    store.close()
    store = Store(path)
    assert store.get("a") == job.evolve(allow_duplicate=True)
    assert store.epoch == epoch
    store.close()


def test_another_database_has_another_epoch(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "1.sqlite"), Store(tmp_path / "2.sqlite")
    assert one.epoch != two.epoch
    one.close()
    two.close()


def test_event_log_tells_every_change_in_order_without_a_gap(store: Store) -> None:
    submit(store, "a")
    with pytest.raises(OutputInUse):
        store.submit(make_job("b", output="a.mp4"))
    store.set_priority("a", 3)
    finish(store, "a")
    store.set_queue(QueueState.PAUSED)
    events = store.events_since(0)
    assert [e.type for e in events] == [
        "submitted",
        "prioritised",
        "started",
        "publishing",
        "completed",
        "queue",
    ]
    assert [e.seq for e in events] == list(range(1, 7))
    assert [e.data["state"] for e in events[:-1]] == [
        "queued",
        "queued",
        "running",
        "publishing",
        "completed",
    ]
    assert events[4].data == store.get("a").to_json()
    assert events[2].data["result"] is None
    assert events[-1].to_json()["queue"] == "paused"
    assert [e.seq for e in store.events_since(2, limit=3)] == [3, 4, 5]


def test_events_of_a_deleted_job_stay_so_that_numbers_have_no_gap(store: Store) -> None:
    submit(store, "a")
    store.cancel("a")
    store.delete("a")
    events = store.events_since(0)
    assert [(e.seq, e.type) for e in events] == [(1, "submitted"), (2, "cancelled"), (3, "deleted")]
    assert events[-1].data["id"] == "a"


def test_old_events_are_forgotten_but_their_numbers_never_come_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "KEPT_EVENTS", 5)
    monkeypatch.setattr(records, "_TRIM_EVERY", 10)
    store = Store(path)
    submit(store, "a")
    for priority in range(1, 20):
        store.set_priority("a", priority)
    assert store.first_seq() == 16
    assert store.last_seq() == 20
    store.close()
    store = Store(path)
    store.set_priority("a", 0)
    assert store.last_seq() == 21
    store.close()


def test_garbage_instead_of_a_database_is_told_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database at all, but longer than a header " * 100)
    before = path.read_bytes()
    with pytest.raises(QueueError, match=r"jobs\.sqlite is damaged.*Restart the server"):
        Store(path)
    assert path.read_bytes() == before


def test_damage_in_the_middle_of_a_database_is_told(path: Path) -> None:
    store = Store(path)
    for number in range(50):
        submit(store, f"j{number}")
    store.close()
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // 4096):
        data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(data)
    with pytest.raises(QueueError, match="damaged"):
        Store(path)


def test_database_of_a_newer_version_is_refused_unchanged(path: Path) -> None:
    Store(path).close()
    connection = sqlite3.connect(path)
    connection.execute("update meta set value = '99' where key = 'schema'")
    connection.commit()
    connection.close()
    with pytest.raises(QueueError, match=r"newer version.*schema 99.*Upgrade"):
        Store(path)


def test_database_of_an_older_version_is_migrated_with_its_jobs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(path)
    submit(store, "a")
    store.close()

    def add_column(connection: sqlite3.Connection) -> None:
        connection.execute("alter table job add column colour text default 'blue'")

    monkeypatch.setattr(schema.queries(), "add_column", add_column, raising=False)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("add_column",)))
    store = Store(path)
    assert store.get("a").state is State.QUEUED
    store.close()
    Store(path).close()  # once only
    connection = sqlite3.connect(path)
    assert connection.execute("select colour from job").fetchone() == ("blue",)
    connection.close()


def test_database_of_the_first_version_learns_what_jobs_need_of_a_gpu(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        connection = schema.open_database(path)
    row = row_of_job(make_job("a"))
    del row["need"]
    columns, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    connection.execute(f"insert into job ({columns}) values ({values})", row)
    connection.close()
    store = Store(path)
    assert store.get("a").need is None
    assert [entry.need.gpu for entry in store.entries()] == [False]
    for mib in range(20):
        store.measured("model x", mib)
    store.measured("model y", 7)
    assert store.peaks("model x") == list(range(19, 11, -1)), "only the latest count"
    assert store.peaks("model y") == [7]
    store.close()


def test_migration_that_fails_leaves_the_database_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(path)
    submit(store, "a")
    store.close()

    def break_off(connection: sqlite3.Connection) -> None:
        connection.execute("drop table event")
        connection.execute("select nonsense")

    with monkeypatch.context() as patch:
        patch.setattr(schema.queries(), "break_off", break_off, raising=False)
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("break_off",)))
        with pytest.raises(QueueError):
            Store(path)
    store = Store(path)
    assert [e.type for e in store.events_since(0)] == ["submitted"]
    store.close()


def test_full_disk_refuses_the_change_and_keeps_what_was(store: Store) -> None:
    submit(store, "a")
    (pages,) = store._connection.execute("pragma page_count").fetchone()
    store._connection.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(DiskFull, match="no space"):
        for number in range(1000):
            submit(store, f"filler{number}")
    count = len(store.list(limit=2000))
    assert len(store.events_since(0)) == count
    store._connection.execute("pragma max_page_count = 100000")
    submit(store, "b")
    assert len(store.list(limit=2000)) == count + 1


def test_store_that_another_process_keeps_locked_is_busy(
    path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    store._connection.execute("pragma busy_timeout = 10")
    with pytest.raises(QueueBusy, match="locked"):
        submit(store, "a")
    other.execute("rollback")
    other.close()
    submit(store, "a")


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="JUPYTER_EXPORT_DATA_DIR"):
        Store(tmp_path / "file" / "jobs.sqlite")


def test_network_disk_gets_a_rollback_journal_and_a_local_one_a_write_ahead_log(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(path)
    assert store.journal_mode == "wal"
    submit(store, "a")
    store.close()
    monkeypatch.setattr(schema, "is_network", lambda folder: True)
    store = Store(path)
    assert store.journal_mode == "delete"
    assert store.get("a").state is State.QUEUED
    (synchronous,) = store._connection.execute("pragma synchronous").fetchone()
    assert synchronous == 2
    store.close()


def test_filesystem_type_is_that_of_the_innermost_and_latest_mount() -> None:
    mounts = [
        "/dev/vda / ext4 rw 0 0",
        "server:/home /home nfs4 rw 0 0",
        "tmpfs /home/me tmpfs rw 0 0",
        "/dev/vdb /home/me xfs rw 0 0",
        "//nas/share /mnt/my\\040share cifs rw 0 0",
        "broken",
    ]
    assert mount_type("/var/x", mounts) == "ext4"
    assert mount_type("/home/you", mounts) == "nfs4"
    assert mount_type("/home/me/x", mounts) == "xfs"
    assert mount_type("/home/meadow", mounts) == "nfs4"
    assert mount_type("/mnt/my share/x", mounts) == "cifs"
    assert mount_type("/x", []) == ""
