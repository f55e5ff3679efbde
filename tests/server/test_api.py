"""The Python API as a notebook uses it: no address, no token, no browser."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from server_support import RunningServer
from tqdm.std import tqdm

import jupyter_export as jx
from jupyter_export.errors import Cancelled, IllegalMove, SourceMissing
from jupyter_export.job import State
from jupyter_export.notebook import default

CLIP = "subtitles_mov_text.mp4"


@pytest.fixture
def here(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder below the root, in a process that finds its server by itself."""
    folder = server.root / "work"
    server.add(CLIP, to=f"work/{CLIP}")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("JUPYTER_EXPORT_URL", server.url)
    monkeypatch.setenv("JUPYTER_EXPORT_TOKEN", server.token)
    monkeypatch.setattr(default, "_client", None)
    yield folder
    server.post("queue/resume")
    if default._client is not None:
        default._client.close()


def short(output: str, end: float = 0.5, **encoding: Any) -> jx.ExportSpec:
    return jx.clip(CLIP, 0, end, output=output, quality="fast", smart=False, **encoding)


def test_an_export_needs_no_more_than_its_words(here: Path) -> None:
    job = jx.export(short("a.mp4"))
    with pytest.raises(IllegalMove, match="Call wait"):
        jx.export(short("later.mp4", 2)).result  # noqa: B018
    result = job.wait(progress=False).result
    assert result.path == here / "a.mp4"
    assert Path(result).read_bytes() == result.read()
    assert result.frames == 10
    assert job.progress["percent"] == 100


def test_a_finished_film_plays_in_its_cell_and_is_saved_with_it(here: Path) -> None:
    result = jx.export(short("film.mp4")).wait(progress=False).result
    shown = result._repr_html_()
    assert "<video controls" in shown
    assert "data:video/mp4;base64," in shown
    assert "data:image/jpeg;base64," in shown
    gif = jx.export(jx.clip(CLIP, 0, 0.5, output="film.gif")).wait(progress=False).result
    assert "<img" in gif._repr_html_() and "data:image/gif;base64," in gif._repr_html_()


def test_a_large_film_is_not_saved_but_shown_from_its_server(
    here: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = jx.export(short("large.mp4")).wait(progress=False).result
    monkeypatch.setattr("jupyter_export.notebook.result.EMBEDDED_BYTES", 0)
    shown = result._repr_html_()
    assert f'src="/base/jupyter-export/jobs/{result.job}/file"' in shown
    assert server.token not in shown


async def test_a_job_can_be_awaited_while_others_work(here: Path) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.01)

    heart = asyncio.create_task(beat())
    first, second = await asyncio.gather(
        _awaited(jx.export(short("x.mp4"))), _awaited(jx.export(short("y.mp4")))
    )
    heart.cancel()
    assert first.state is second.state is State.COMPLETED
    assert beats > 10


async def _awaited(job: jx.JobHandle) -> jx.JobHandle:
    return await job


async def test_awaiting_a_cancelled_job_says_so(here: Path, server: RunningServer) -> None:
    server.post("queue/pause").raise_for_status()
    job = jx.export(short("never.mp4"))
    job.cancel()
    with pytest.raises(Cancelled):
        await job


def test_many_keep_their_order_and_collect_their_errors(here: Path) -> None:
    specs = [short("1.mp4"), jx.clip("missing.mp4"), short("3.mp4")]
    batch = jx.export_all(specs)
    assert [job.output for job in batch] == ["work/1.mp4", "work/3.mp4"]
    with pytest.raises(ExceptionGroup, match="1 of 3 exports") as failed:
        batch.wait(progress=False)
    (error,) = failed.value.exceptions
    assert isinstance(error, SourceMissing)
    assert "number 1" in error.__notes__[0]
    assert [None if r is None else r.path.name for r in batch.results] == ["1.mp4", None, "3.mp4"]
    assert list(batch.errors) == [1]
    assert "2 completed, 1 refused" in repr(batch)
    assert "missing.mp4" in batch._repr_html_()


def test_progress_goes_where_any_tqdm_goes(here: Path) -> None:
    shown = io.StringIO()

    def bar(*args: Any, **more: Any) -> tqdm[Any]:
        return tqdm(*args, **{**more, "file": shown, "dynamic_ncols": False, "ncols": 80})

    jx.export(short("bar.mp4")).wait(progress=bar)
    assert "10/10 frames" in shown.getvalue()
    batch = jx.export_all([short("m1.mp4"), short("m2.mp4")]).wait(progress=bar)
    assert "2/2" in shown.getvalue()
    assert len(list(tqdm(batch.as_completed(), total=len(batch), file=shown))) == 2


def test_many_exports_without_a_project_never_hold_each_other_up(
    here: Path, server: RunningServer
) -> None:
    server.post("queue/pause").raise_for_status()
    from_python = [jx.export(short(f"n{i}.mp4")) for i in range(5)]
    over_rest = [
        server.submit(
            short(f"work/r{i}.mp4").model_dump(mode="json")
            | {"sources": [{"path": f"work/{CLIP}", "start": 0, "end": 0.5}]}
        )
        for i in range(5)
    ]
    server.post("queue/resume").raise_for_status()
    for id in [job.id for job in from_python] + [job["id"] for job in over_rest]:
        server.until(id, "completed")


def test_a_server_that_moved_is_found_again(
    here: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    jx.estimate(short("a.mp4"))
    known = default._client
    assert known is not None
    with known:
        monkeypatch.setattr(known._connection, "_http", _Gone(known._connection._http))
        assert jx.estimate(short("a.mp4")).frames == 10
    assert default._client is not known


class _Gone:
    def __init__(self, real: httpx.Client) -> None:
        self.close = real.close

    def request(self, *args: Any, **more: Any) -> Any:
        raise httpx.ConnectError("it is gone")


def test_a_notebook_without_a_browser_is_saved_with_what_came_of_it(
    here: Path, server: RunningServer
) -> None:
    import nbformat
    from nbclient import NotebookClient

    cells = [
        "import jupyter_export as jx",
        f"jx.export(jx.clip({CLIP!r}, 0, 1, output='saved.mp4', quality='fast')).wait()",
        "jx.estimate(jx.clip('subtitles_mov_text.mp4', 0, 1))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(here)}}
    )
    client.execute(env=_kernel_environment(server))
    saved = json.loads(nbformat.writes(notebook))
    printed, shown = "", {}
    for output in saved["cells"][1]["outputs"]:
        printed += "".join(output.get("text", ""))
        shown |= output.get("data", {})
    assert "work/saved.mp4: 100 %" in printed, "plain lines, no widget"
    assert "application/vnd.jupyter.widget-view+json" not in shown
    row = "".join(shown["text/html"])
    assert "work/saved.mp4" in row and "completed" in row and "20 frames" in row
    assert "".join(shown["text/plain"]).startswith("<export ")
    assert shown["application/vnd.jupyter-export.job+json"]["job"]
    (told,) = saved["cells"][2]["outputs"]
    assert "about" in "".join(told["data"]["text/html"])


def _kernel_environment(server: RunningServer) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("JPY")}
    known = {"JUPYTER_EXPORT_URL": server.url, "JUPYTER_EXPORT_TOKEN": server.token}
    return {**kept, **known, "PYTHONPATH": server.environment["PYTHONPATH"]}
