"""The parts of the cluster's side that are functions of values: maps, turns, the cost model."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from jupyter_export.cluster.mapping import PathMap, resources_of
from jupyter_export.cluster.model import Costs, Work, simulate, throughput
from jupyter_export.cluster.turns import Turns
from jupyter_export.errors import ClusterUnreachable


def test_the_longest_folder_that_fits_is_translated_and_others_are_not() -> None:
    paths = PathMap(["/home=/mnt/home", "/home/ann/films = /films", "/data=/"])
    assert paths.there("/home/bob/a.mp4") == "/mnt/home/bob/a.mp4"
    assert paths.there("/home/ann/films/a.mp4") == "/films/a.mp4"
    assert paths.there("/homes/a.mp4") == "/homes/a.mp4"
    assert paths.there("/data/a.mp4") == "/a.mp4"


@pytest.mark.parametrize("entry", ["/here", "here=/there", "/here=there", "=", ""])
def test_a_pair_of_folders_that_is_none_is_refused_by_name(entry: str) -> None:
    with pytest.raises(ClusterUnreachable, match="dask_paths"):
        PathMap([entry])


def test_a_segment_takes_the_resources_of_all_that_it_uses() -> None:
    entries = ["nvenc:NVENC=1", "gpu:GPU=1", "gpu:VRAM=2.5", "cpu:SLOT=1"]
    assert resources_of(entries, {"nvenc", "gpu"}) == {"NVENC": 1, "GPU": 1, "VRAM": 2.5}
    assert resources_of(entries, {"cpu"}) == {"SLOT": 1}


@pytest.mark.parametrize("entry", ["GPU=1", "tpu:X=1", "gpu:GPU", "gpu:=1", "gpu:GPU=-1"])
def test_a_resource_that_is_none_is_refused_by_name(entry: str) -> None:
    with pytest.raises(ClusterUnreachable, match="dask_resources"):
        resources_of([entry], ())


async def test_a_large_export_does_not_keep_a_small_one_waiting() -> None:
    turns, order = Turns(lambda: 2), []

    async def segment(job: str) -> None:
        async with turns.turn(job):
            order.append(job)
            assert turns.active <= 2
            await asyncio.sleep(0.001)

    works = [asyncio.create_task(segment("large")) for _ in range(20)]
    await asyncio.sleep(0)
    works += [asyncio.create_task(segment("small")) for _ in range(4)]
    await asyncio.gather(*works)
    assert order[10:].count("small") == 0, "the small one waited for the large one to end"
    assert turns.active == 0


async def test_who_gives_up_waiting_takes_no_place() -> None:
    limit = 0
    turns = Turns(lambda: limit)
    works = [asyncio.create_task(_pass(turns, job)) for job in "aab"]
    await asyncio.sleep(0)
    works[0].cancel()
    await asyncio.wait({works[0]})
    limit = 1
    turns.look()
    await asyncio.gather(*works[1:])
    assert turns.active == 0


async def test_a_thousand_places_leave_the_event_loop_time_for_others() -> None:
    turns, between, most = Turns(lambda: 1000), 0, 0

    async def segment() -> None:
        nonlocal between, most
        async with turns.turn("large"):
            between += 1
            most = max(most, between)
            await asyncio.sleep(3600)

    works = [asyncio.create_task(segment()) for _ in range(1000)]
    while turns.active < 1000:
        await asyncio.sleep(0)
        between = 0
    for work in works:
        work.cancel()
    await asyncio.wait(works)
    assert most <= 16, "so many set off without anybody else having had a turn"
    assert turns.active == 0


async def _pass(turns: Turns, job: str) -> None:
    async with turns.turn(job):
        await asyncio.sleep(0)


FREE = Costs(
    server=0.0,
    server_event=0.0,
    scheduler=0.0,
    scheduler_event=0.0,
    worker=0.0,
    bandwidth=1e12,
)
FILM = Work(segments=[8.0] * 12, frames=12 * 240, read=5e6, written=3e6)


def test_without_costs_workers_share_the_segments_evenly() -> None:
    assert simulate(FILM, FREE, 1).seconds == pytest.approx(96)
    assert simulate(FILM, FREE, 2).seconds == pytest.approx(48)
    assert simulate(FILM, FREE, 5).seconds == pytest.approx(24), "12 segments on 5 are three rounds"
    assert simulate(FILM, FREE, 100).seconds == pytest.approx(8)
    assert simulate(FILM, FREE, 100).bound == "segments"


@pytest.mark.parametrize(
    ("change", "bound"),
    [
        ({"server": 1.0}, "server"),
        ({"server_event": 0.02}, "server"),
        ({"scheduler": 1.0}, "scheduler"),
        ({"bandwidth": 8e6}, "storage"),
    ],
)
def test_the_narrowest_part_is_named_and_more_workers_do_not_help(
    change: dict[str, float], bound: str
) -> None:
    costs = replace(FREE, **change)
    few, many = throughput(FILM, costs, 2), throughput(FILM, costs, 1000)
    assert (few.bound, many.bound) == ("workers", bound)
    assert many.frames_per_second == throughput(FILM, costs, 500).frames_per_second
    assert simulate(FILM, costs, 1000).seconds > simulate(FILM, FREE, 1000).seconds


def test_servers_of_their_own_carry_more_than_one() -> None:
    costs = replace(FREE, server=1.0)
    one = throughput(FILM, costs, 1000)
    ten = throughput(FILM, replace(costs, servers=10), 1000)
    assert ten.frames_per_second == pytest.approx(10 * one.frames_per_second)
