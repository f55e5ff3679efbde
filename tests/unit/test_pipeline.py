"""One attempt at an export: its part file, its progress, its segments, its encoders."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from queue_support import FRAMES, FewEncoders, FileExecutor, Hold, until

from jupyter_export.errors import (
    DiskFull,
    EncoderFailed,
    ExportError,
    OutputError,
    SourceMissing,
    WorkerLost,
)
from jupyter_export.job import Progress
from jupyter_export.queue.meter import Meter
from jupyter_export.queue.order import EncoderChooser, Order, Outline, Produced
from jupyter_export.queue.pipeline import produce
from jupyter_export.queue.publish import part_path, publish, sweep_parts
from jupyter_export.spec import clip
from jupyter_export.workers.executor import Task


class Attempt:
    """An order, and what was heard while it was carried out."""

    def __init__(self, folder: Path, **order: Any) -> None:
        (folder / "source.mp4").write_text("not empty")
        self.output = folder / "out.mp4"
        self.order = Order(
            spec=clip("source.mp4", output="out.mp4"),
            root=folder,
            part=part_path(self.output, "job", 1),
            cache=folder / "segments",
            **order,
        )
        self.progress: list[Progress] = []
        self.outlines: list[Outline] = []

    async def run(self, executor: FileExecutor, encoders: EncoderChooser | None = None) -> Produced:
        async def outlined(outline: Outline) -> None:
            self.outlines.append(outline)

        return await produce(
            self.order, executor, encoders or FewEncoders(), self.progress.append, outlined
        )

    def leftovers(self) -> list[str]:
        return [path.name for path in self.output.parent.glob(".*.part")]

    def check_progress(self) -> None:
        """It never goes back."""
        for before, after in zip(self.progress, self.progress[1:], strict=False):
            assert after.frames >= before.frames
            assert after.percent >= before.percent
            assert after.percent <= 100


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path)


def failing(name: str, error: BaseException, *, encoder: str | None = None, index: int = -1) -> Any:
    """A hook that fails in a task of this name, encoder and segment."""

    async def hook(task: Task) -> None:
        used = task.params.get("encoder") or (task.params.get("plan") or {}).get("encoder")
        if (
            task.name == name
            and encoder in (None, used)
            and index in (-1, task.params.get("index"))
        ):
            raise error

    return hook


async def test_part_file_holds_every_segment_in_order_and_its_hash_is_right(
    attempt: Attempt,
) -> None:
    executor = FileExecutor(segments=4)
    produced = await attempt.run(executor)
    text = produced.part.read_text()
    assert produced.part == attempt.order.part
    assert text.count("\n") == produced.frames == 4 * FRAMES
    assert produced.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert produced.bytes == len(text)
    assert executor.names() == ["plan", *["render"] * 4, "audio", "assemble"]
    assert produced.outline.segments.to_json() == {
        "copied": 0,
        "rendered": 4,
        "reused": 0,
        "total": 4,
    }
    assert not attempt.output.exists()


async def test_second_attempt_reuses_what_the_first_one_rendered(attempt: Attempt) -> None:
    executor = FileExecutor(segments=4)
    executor.before = failing("render", WorkerLost("Killed."), index=3)
    with pytest.raises(WorkerLost):
        await attempt.run(executor)
    executor.before = None
    produced = await attempt.run(executor)
    assert (produced.outline.segments.reused, produced.outline.segments.rendered) == (3, 1)


async def test_progress_never_goes_back_and_tells_each_phase(attempt: Attempt) -> None:
    await attempt.run(FileExecutor(segments=5))
    attempt.check_progress()
    phases = list(dict.fromkeys(progress.phase for progress in attempt.progress))
    assert phases == ["planning", "rendering", "assembling", "publishing"]
    last = attempt.progress[-1]
    assert (last.frames, last.total_frames) == (50, 50)
    assert 99 <= last.percent <= 100


async def test_waiting_task_does_not_silence_the_attempt(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_export.queue.pipeline.HEARTBEAT_SECONDS", 0.11)
    executor = FileExecutor()
    executor.before = hold = Hold("plan")
    work = asyncio.create_task(attempt.run(executor))
    await hold.reached.wait()
    heard = len(attempt.progress)
    await until(lambda: len(attempt.progress) > heard + 2)
    hold.go.set()
    await work


async def test_no_more_segments_than_the_width_render_at_once(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, width=3)
    executor = FileExecutor(segments=8)
    await attempt.run(executor)
    assert executor.most_busy == 3
    attempt.check_progress()


@pytest.mark.parametrize("name", ["plan", "render", "audio", "assemble"])
async def test_error_of_any_step_comes_out_and_leaves_no_part_file(
    attempt: Attempt, name: str
) -> None:
    executor = FileExecutor()
    hook = failing(name, DiskFull("There is no space left."))
    executor.before, executor.halfway = (None, hook) if name == "assemble" else (hook, None)
    with pytest.raises(DiskFull):
        await attempt.run(executor)
    assert attempt.leftovers() == []


async def test_missing_source_is_told_as_the_worker_told_it(attempt: Attempt) -> None:
    (attempt.order.root / "source.mp4").unlink()
    with pytest.raises(SourceMissing, match="Check its name"):
        await attempt.run(FileExecutor())


async def test_one_failing_segment_stops_the_others(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, width=2)
    executor = FileExecutor(segments=6)
    hold = Hold("render")

    async def hook(task: Task) -> None:
        if task.name == "render" and task.params["index"] == 1:
            await hold.reached.wait()
            raise DiskFull("There is no space left.")
        if task.name == "render":
            await hold(task)

    executor.halfway = hook
    with pytest.raises(DiskFull):
        await attempt.run(executor)
    assert [task.params["index"] for task in executor.stopped] == [0]
    assert executor.names().count("render") == 2
    assert executor.busy == 0


async def test_plain_error_is_told_before_a_worker_lost_at_the_same_time(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, width=2)
    executor = FileExecutor()

    async def hook(task: Task) -> None:
        if task.name == "render":
            try:
                await asyncio.sleep(0 if task.params["index"] else 60)
            except asyncio.CancelledError:
                raise DiskFull("There is no space left.") from None
            raise WorkerLost("Killed.")

    executor.before = hook
    with pytest.raises(DiskFull):
        await attempt.run(executor)


@pytest.mark.parametrize("name", ["plan", "render", "assemble"])
async def test_cancel_in_any_step_leaves_no_part_file_and_nothing_running(
    attempt: Attempt, name: str
) -> None:
    executor = FileExecutor()
    hold = Hold(name)
    executor.before, executor.halfway = (hold, None) if name == "plan" else (None, hold)
    work = asyncio.create_task(attempt.run(executor))
    await hold.reached.wait()
    if name == "assemble":
        assert attempt.leftovers()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert attempt.leftovers() == []
    assert executor.busy == 0


async def test_failing_hardware_encoder_makes_the_whole_job_software_and_says_so(
    attempt: Attempt,
) -> None:
    executor = FileExecutor(segments=3)
    error = EncoderFailed("The session was lost.", encoder="h264_nvenc")
    executor.halfway = failing("render", error, encoder="h264_nvenc", index=2)
    produced = await attempt.run(executor, FewEncoders("h264_nvenc", "h264_qsv", "libx264"))
    lines = produced.part.read_text().splitlines()
    assert {line.split()[-1] for line in lines} == {"libx264"}
    note = "h264_nvenc failed (The session was lost); went on in software (libx264)"
    assert produced.outline.notes == (note,)
    assert produced.outline.encoder["name"] == "libx264"
    assert "h264_nvenc failed (The session was lost)" in produced.outline.encoder["reason"]
    assert attempt.outlines[0].encoder["name"] == "h264_nvenc"
    attempt.check_progress()


async def test_encoder_asked_for_by_name_also_falls_back(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    spec = clip("source.mp4", output="out.mp4", encoder="h264_nvenc")
    attempt.order = Order(**{**vars(attempt.order), "spec": spec})
    executor = FileExecutor()
    executor.before = failing("plan", EncoderFailed("No."), encoder="h264_nvenc")
    produced = await attempt.run(executor, FewEncoders("h264_nvenc", "libx264"))
    assert produced.outline.encoder["name"] == "libx264"


async def test_failing_software_encoder_is_an_error(attempt: Attempt) -> None:
    executor = FileExecutor()
    executor.before = failing("render", EncoderFailed("It stopped."))
    with pytest.raises(EncoderFailed):
        await attempt.run(executor)
    assert executor.names().count("plan") == 1


async def test_attempt_that_avoids_hardware_says_why(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, avoid_hardware="was in use when workers died")
    executor = FileExecutor()
    produced = await attempt.run(executor, FewEncoders("h264_nvenc", "libx264"))
    assert produced.outline.encoder["name"] == "libx264"
    assert "workers died" in produced.outline.notes[0]
    assert executor.names().count("plan") == 1


async def test_outlines_name_every_file_that_the_attempt_needs(attempt: Attempt) -> None:
    await attempt.run(FileExecutor(segments=2))
    cached = {path.stem for path in attempt.order.cache.iterdir()}
    assert cached < attempt.outlines[0].keep
    assert len(attempt.outlines[0].keep) == 3  # and the audio
    assert [o.segments.rendered for o in attempt.outlines] == [0, 1, 2]


async def test_observer_that_objects_ends_the_attempt(attempt: Attempt) -> None:
    async def object_to(outline: Outline) -> None:
        if outline.segments.rendered:
            raise ExportError("replaced")

    executor = FileExecutor()
    with pytest.raises(ExportError, match="replaced"):
        await produce(attempt.order, executor, FewEncoders(), lambda p: None, object_to)
    assert executor.names() == ["plan", "render"]


# Publishing


async def test_publish_replaces_the_old_output_whole(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_text("old")
    part = part_path(output, "job", 1)
    part.write_text("new")
    await publish(part, output)
    assert output.read_text() == "new"
    assert not part.exists()


async def test_rename_is_made_to_survive_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mp4"
    part = part_path(output, "job", 1)
    part.write_text("new")
    synced: list[tuple[bool, bool]] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), output.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    await publish(part, output)
    assert synced == [(True, True)]


async def test_publish_that_cannot_be_done_says_so_and_keeps_the_old_output(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_text("old")
    with pytest.raises(OutputError, match=r"'out\.mp4' cannot be put in its place"):
        await publish(part_path(output, "job", 1), output)
    assert output.read_text() == "old"


async def test_sweep_takes_the_parts_of_one_job_only(tmp_path: Path) -> None:
    output = tmp_path / "a[1]*.mp4"
    mine = [part_path(output, "job", attempt) for attempt in (1, 2, 3)]
    others = [part_path(output, "other", 1), part_path(tmp_path / "a1x.mp4", "job", 1)]
    for path in [output, *mine, *others]:
        path.write_text("")
    await sweep_parts(output, "job", keep=mine[2])
    assert sorted(tmp_path.iterdir()) == sorted([output, mine[2], *others])


# The meter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_speed_is_that_of_the_last_seconds_and_gives_the_time_left() -> None:
    clock, heard = Clock(), list[Progress]()
    meter = Meter(heard.append, clock)
    meter.phase("planning")
    clock.now += 10
    meter.planned(1000)
    for frame in range(1, 101):  # 10 frames a second
        clock.now += 0.1
        meter.rendering(0, frame)
    assert heard[-1].fps == pytest.approx(10, rel=0.05)
    assert heard[-1].eta_s == pytest.approx(90, rel=0.05)
    for frame in range(101, 301):  # 50 frames a second
        clock.now += 0.02
        meter.rendering(0, frame)
    assert heard[-1].fps == pytest.approx(50, rel=0.05)


def test_reused_segments_count_as_done_but_not_as_speed() -> None:
    clock, heard = Clock(), list[Progress]()
    meter = Meter(heard.append, clock)
    meter.planned(1000)
    for segment in range(5):
        clock.now += 0.2
        meter.finished(segment, 100, reused=True)
    assert heard[-1].frames == 500
    assert heard[-1].fps is None
    for frame in range(1, 31):
        clock.now += 0.1
        meter.rendering(5, frame)
    assert heard[-1].fps == pytest.approx(10, rel=0.35)
    assert heard[-1].percent == pytest.approx(96 * 530 / 1000, abs=0.5)


def test_hanging_task_lets_the_speed_fall_to_zero_and_the_time_left_unknown() -> None:
    clock, heard = Clock(), list[Progress]()
    meter = Meter(heard.append, clock)
    meter.planned(100)
    for frame in range(1, 51):
        clock.now += 0.1
        meter.rendering(0, frame)
    for _ in range(5):
        clock.now += 1
        meter.refresh()
    assert heard[-1].fps == 0
    assert heard[-1].eta_s is None


def test_reports_come_at_most_ten_times_a_second_but_for_new_phases() -> None:
    clock, heard = Clock(), list[Progress]()
    meter = Meter(heard.append, clock)
    meter.planned(10_000)
    for frame in range(1, 1001):
        clock.now += 0.001
        meter.rendering(0, frame)
    assert len(heard) <= 12
    meter.phase("assembling")
    assert heard[-1].phase == "assembling"


def test_second_plan_of_an_attempt_does_not_set_progress_back() -> None:
    clock, heard = Clock(), list[Progress]()
    meter = Meter(heard.append, clock)
    meter.planned(100)
    clock.now += 1
    meter.rendering(0, 60)
    meter.planned(100)
    clock.now += 1
    meter.rendering(0, 10)
    assert (heard[-1].frames, heard[-1].percent) == (60, pytest.approx(57.6))
    clock.now += 1
    meter.rendering(0, 90)
    assert heard[-1].frames == 90
