"""Small pictures of sources and finished files."""

from __future__ import annotations

import io
from itertools import islice
from pathlib import Path

import av
import numpy as np
from PIL import Image
from server_support import RunningServer, clip

CLIP = "bunny_720p25.mp4"


def picture(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG"
    return np.asarray(image, dtype=float)


def frames(path: Path) -> list[np.ndarray]:
    """The first frame and that after 2 s, as pictures show them."""
    with av.open(str(path)) as container:
        images = [frame.to_image() for frame in islice(container.decode(video=0), 0, 51, 50)]
    return [np.asarray(i.resize((320, 180), Image.Resampling.BICUBIC), dtype=float) for i in images]


def test_pictures_show_the_first_exported_frame(server: RunningServer) -> None:
    spec = clip(CLIP, "pictured.mp4", sources=[{"path": CLIP, "start": 2.0, "end": 3.0}])
    server.add(CLIP)
    server.post("queue/pause")
    id = server.submit(spec)["id"]
    assert server.http.get(f"jobs/{id}/poster").status_code == 409
    server.post("queue/resume")
    server.until(id, "completed")
    known = frames(server.root / CLIP)
    for which in ("thumbnail", "poster"):
        response = server.http.get(f"jobs/{id}/{which}")
        assert response.headers["content-type"] == "image/jpeg"
        shown = picture(response.content)
        assert shown.shape == (180, 320, 3)
        early, right = (np.abs(shown - frame).mean() for frame in known)
        assert right < early / 4, (which, right, early)
        again = server.http.get(
            f"jobs/{id}/{which}", headers={"If-None-Match": response.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")


def test_a_job_whose_files_have_gone_has_no_pictures(server: RunningServer) -> None:
    source = server.add("subtitles_mov_text.mp4", to="goes.mp4")
    id = server.submit(clip(source, "gone.mp4"))["id"]
    server.until(id, "completed")
    (server.root / source).unlink()
    (server.root / "gone.mp4").unlink()
    for which in ("thumbnail", "poster"):
        problem = server.http.get(f"jobs/{id}/{which}")
        assert problem.status_code == 422 and problem.json()["type"] == "source-missing"
    assert server.http.get("jobs/none/thumbnail").status_code == 404


def test_a_link_that_leads_out_of_the_root_is_not_pictured(
    server: RunningServer, tmp_path: Path
) -> None:
    source = server.add("subtitles_mov_text.mp4", to="swapped.mp4")
    id = server.submit(clip(source, "swapped_out.mp4"))["id"]
    server.until(id, "completed")
    outside = tmp_path / "outside.mp4"
    (server.root / source).rename(outside)
    (server.root / source).symlink_to(outside)
    assert server.http.get(f"jobs/{id}/thumbnail").json()["type"] == "path-error"
