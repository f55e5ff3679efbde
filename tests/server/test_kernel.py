"""A notebook's kernel, started by the server itself, exports without being told where that is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from server_support import RunningServer, notebook_kernel

CLIP = "subtitles_mov_text.mp4"


@pytest.fixture
def kernel(server: RunningServer) -> Iterator[BlockingKernelClient]:
    """The kernel of a notebook in a folder below the root."""
    server.add(CLIP, to="film/take.mp4")
    with notebook_kernel(server, "film/cut.ipynb") as client:
        yield client


def run(kernel: BlockingKernelClient, code: str) -> str:
    """What `code` writes; its error is the test's."""
    said: list[str] = []

    def hear(message: dict[str, object]) -> None:
        content = message["content"]
        assert isinstance(content, dict)
        if message["msg_type"] == "stream":
            said.append(content["text"])
        elif message["msg_type"] == "error":
            said.append("\n".join(content["traceback"]))
        elif message["msg_type"] in {"execute_result", "display_data", "comm_msg"}:
            # A widget, such as the progress bar, changes by messages, and pads with U+2007.
            said.append(json.dumps(content["data"], ensure_ascii=False).replace("\u2007", " "))

    reply = kernel.execute_interactive(code, output_hook=hear, timeout=90)
    assert reply["content"]["status"] == "ok", "".join(said)
    return "".join(said)


def test_a_cell_exports_a_file_beside_its_notebook(
    server: RunningServer, kernel: BlockingKernelClient
) -> None:
    run(kernel, "import jupyter_export as jx\nclient = jx.connect()")
    assert server.url in run(kernel, "client")
    said = run(
        kernel,
        "job = client.submit(jx.clip('take.mp4', 0, 1, output='scene.mp4', quality='fast'))\n"
        "job.wait()",
    )
    assert "20/20 frames" in said, "the bar was not shown"
    assert "text/html" in said and "film/scene.mp4" in said
    assert (server.root / "film" / "scene.mp4").is_file()
    job = server.http.get("jobs", params={"project": "film/cut.ipynb"}).json()["jobs"][0]
    assert job["output"] == "film/scene.mp4"
