"""A kernel without a Jupyter server, as VS Code and Colab start it, exports all the same."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager
from server_support import MEDIA, REPOSITORY, eventually

CLIP = "subtitles_mov_text.mp4"
Cell = Callable[[str], str]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of somebody who has no Jupyter server."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY"))}
    places = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    return kept | places | {"HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}


def servers(environment: dict[str, str]) -> list[dict[str, Any]]:
    """Those that have left their address."""
    folder = Path(environment["JUPYTER_RUNTIME_DIR"])
    return [json.loads(file.read_text()) for file in folder.glob("jpserver-*.json")]


@pytest.fixture
def kernels(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[[], Any]]:
    """Starts kernels in a folder with a film; each is a function that runs a cell."""
    folder = tmp_path / "films"
    folder.mkdir()
    shutil.copy(MEDIA / CLIP, folder / "take.mp4")
    with contextlib.ExitStack() as stack:

        @contextlib.contextmanager
        def start() -> Iterator[Cell]:
            manager = KernelManager()
            manager.start_kernel(env=environment, cwd=str(folder))
            client = manager.client()
            client.start_channels()
            try:
                client.wait_for_ready(timeout=60)

                def run(code: str) -> str:
                    said: list[str] = []

                    def hear(message: dict[str, Any]) -> None:
                        content = message["content"]
                        if message["msg_type"] == "stream":
                            said.append(content["text"])
                        elif message["msg_type"] == "error":
                            said.append(f"{content['ename']}: {content['evalue']}")
                        elif message["msg_type"] == "execute_result":
                            said.append(content["data"]["text/plain"])

                    client.execute_interactive(code, output_hook=hear, timeout=180)
                    return "".join(said)

                yield run
            finally:
                client.stop_channels()
                manager.shutdown_kernel(now=True)

        yield lambda: stack.enter_context(start())
    for server in servers(environment):
        with contextlib.suppress(ProcessLookupError):
            os.kill(server["pid"], signal.SIGKILL)


EXPORT = "job = jx.export(jx.clip('take.mp4', 0, 1, output={!r}, quality='fast', smart=False))"


def test_a_kernel_starts_a_server_of_its_own_which_outlives_it(
    kernels: Callable[[], Cell], environment: dict[str, str], tmp_path: Path
) -> None:
    run = kernels()
    run("import jupyter_export as jx")
    # Where there is none, the error says how to get one.
    assert "jx.serve()" in run(EXPORT.format("none.mp4"))
    assert run("jx.serve('nowhere')").startswith("SpecError: There is no folder nowhere.")
    assert run("client = jx.serve()") == ""
    run(EXPORT.format("made.mp4"))
    assert run("job.wait(progress=False).result.frames") == "20"
    assert (tmp_path / "films/made.mp4").stat().st_size > 1000
    assert run("jx.clip('take.mp4').preview(0.5).size").startswith("(")
    # Asked again, it is the same one.
    assert run("jx.serve().url == client.url") == "True"
    (server,) = servers(environment)
    assert server["root_dir"] == str(tmp_path / "films")
    assert server["url"].startswith(("http://localhost", "http://127.0.0.1"))
    # An interrupt, which goes to all of a kernel's processes, is the cell's own.
    interrupt = "import os, signal; os.killpg(os.getpgid(0), signal.SIGINT)"
    assert "KeyboardInterrupt" in run(interrupt)
    run(EXPORT.format("later.mp4"))
    os.killpg(int(run("os.getpgid(0)")), signal.SIGKILL)

    other = kernels()
    other("import jupyter_export as jx")
    assert other("jx.serve().url") == repr(server["url"])
    assert other("len(jx.connect().jobs())") == "2"
    eventually((tmp_path / "films/later.mp4").exists)


def test_a_server_that_ended_is_started_again_with_all_of_its_exports(
    kernels: Callable[[], Cell], environment: dict[str, str]
) -> None:
    run = kernels()
    run("import jupyter_export as jx\njx.serve()")
    run(EXPORT.format("before.mp4"))
    assert run("job.wait(progress=False).state.value") == "'completed'"
    (server,) = servers(environment)
    os.kill(server["pid"], signal.SIGKILL)
    said = run("jx.connect().jobs()")
    eventually(lambda: "jx.serve()" in run("jx.connect().jobs()"), why=lambda: said)
    run("jx.serve()")
    assert run("[job.output for job in jx.connect().jobs()]") == "['before.mp4']"


def test_a_server_that_cannot_start_says_why(
    kernels: Callable[[], Cell], environment: dict[str, str]
) -> None:
    run = kernels()
    run("import os; os.environ['JUPYTER_EXPORT_MAX_CONCURRENT_EXPORTS'] = 'many'")
    said = run("import jupyter_export as jx\njx.serve()")
    assert said.startswith("ServerUnreachable: The server of exports did not start:")
    assert "max_concurrent_exports" in said.lower() and "Its log is" in said
