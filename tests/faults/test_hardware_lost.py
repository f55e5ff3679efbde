"""A hardware encoder that was there and is gone: the export goes on in software and says so.

No machine of ours has NVENC. The report on disk is made to claim that it works; what fails then is
the real encoder of the real FFmpeg, which finds no driver.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server_support import RunningServer, eventually
from support import complaints, decode

CLIP = "timecode_720p30.mp4"
SPEC: dict[str, Any] = {
    "kind": "clip",
    "sources": [{"path": CLIP, "end": 6}],
    "output": "o.mp4",
    "encoding": {"quality": "fast", "smart": False},
}

#: Loaded by every Python process of the test's server, workers too. Under the name of h264_nvenc
#: the first two segments are encoded with libx264; from then on the real h264_nvenc is asked.
STAND_IN = """
import importlib.abc, importlib.machinery, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "jupyter_export.media.render":
            return None
        sys.meta_path.remove(self)
        import jupyter_export.media.encode as encode
        real, done = encode.encode_segment, []

        def encode_segment(frames, target, *, encoder, **more):
            if encoder.name == "h264_nvenc" and len(done) < 2:
                done.append(target)
                options = {"preset": "ultrafast"}
                encoder = encoder.model_copy(update={"name": "libx264", "options": options})
            return real(frames, target, encoder=encoder, **more)

        encode.encode_segment = encode_segment
        return None

sys.meta_path.insert(0, Finder())
"""


@pytest.fixture
def server(own_server: Callable[..., RunningServer]) -> RunningServer:
    """A server whose hardware report claims NVENC; not running."""
    server = own_server(**{"ExportApp.segment_seconds": 1})
    server.add(CLIP)
    server.http.get("hardware").raise_for_status()
    eventually(lambda: next(server.folder.rglob("hardware.json"), None) is not None)
    server.stop()
    report = next(server.folder.rglob("hardware.json"))
    value = json.loads(report.read_text())
    for encoder in value["report"]["encoders"]:
        if encoder["name"] == "h264_nvenc":
            assert encoder["usable"] is False
            encoder |= {"usable": True, "reason": "", "tried": True}
    report.write_text(json.dumps(value))
    return server


def test_an_encoder_that_does_not_open_gives_way_to_software(server: RunningServer) -> None:
    server.start()
    job = server.until(server.submit(SPEC)["id"], "completed")
    _check_story(server, job)
    assert job["attempt"] == 1, "a fallback is no retry"


def test_an_encoder_that_fails_in_the_middle_gives_way_to_software(
    server: RunningServer, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(STAND_IN)
    server.environment["PYTHONPATH"] += f":{tmp_path}"
    server.start()
    id = server.submit(SPEC)["id"]
    job = server.until(id, "completed")
    _check_story(server, job)
    log = server.http.get(f"jobs/{id}/log").text
    assert "h264_nvenc failed" in log
    # Every frame was encoded again: two encoders' segments do not share a track.
    assert job["segments"]["rendered"] == job["segments"]["total"]
    assert job["segments"]["reused"] == 0
    assert len(list(server.folder.rglob("*.seg"))) > job["segments"]["total"]


def _check_story(server: RunningServer, job: dict[str, Any]) -> None:
    assert job["encoder"]["name"] == "libx264"
    assert "h264_nvenc failed" in job["encoder"]["reason"]
    assert any("h264_nvenc failed" in note and "libx264" in note for note in job["notes"])
    assert len(decode(server.root / "o.mp4").times) == 180
    assert complaints(server.root / "o.mp4") == ""
