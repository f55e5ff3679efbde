"""A browser's own <video> plays what we export, from the first frame to the last."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from support import clip_spec, export_here, framing_spec

PLAY = """async (url) => {
  const video = document.createElement('video');
  video.muted = true;
  document.body.append(video);
  const told = new Promise((resolve) => {
    video.onended = () => resolve('ended');
    video.onerror = () => resolve(`error ${video.error.code}: ${video.error.message}`);
  });
  video.src = url;
  video.playbackRate = 4;
  await video.play().catch((error) => error);
  const end = await told;
  const seek = (time) => new Promise((resolve) => {
    video.onseeked = () => resolve(video.currentTime);
    video.currentTime = time;
  });
  const sought = end === 'ended' ? await seek(video.duration / 2) : null;
  const quality = video.getVideoPlaybackQuality();
  return {end, duration: video.duration, width: video.videoWidth, height: video.videoHeight,
          corrupted: quality.corruptedVideoFrames, sought};
}"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves byte ranges, as video players ask for them."""

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<body></body>")
            return
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        first, last = 0, len(data) - 1
        if asked := self.headers.get("Range"):
            a, _, b = asked.removeprefix("bytes=").partition("-")
            first, last = int(a), int(b) if b else last
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        try:
            self.wfile.write(data[first : last + 1])
        except (BrokenPipeError, ConnectionResetError):
            pass  # the player has seen enough


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(Handler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


SPECS = {
    "a clip in three segments, sound copied": clip_spec("timecode_720p30.mp4", "o.mp4", 3.1, 18.2),
    "a moving crop": framing_spec(
        "bunny_720p25.mp4", "o.mp4", [(0, 0, 0, 405, 720), (5, 800, 0, 405, 720)], (404, 720)
    ),
    "4:4:4 and MP3 in": clip_spec("cockatoo_yuv444p.mp4", "o.mp4", 2, 9),
    "VP8 and Vorbis in": clip_spec("bunny_vp8_vorbis.webm", "o.mp4", 20, 26, quality="fast"),
    "no sound": clip_spec("bikes_no_audio.mp4", "o.mp4"),
}


@pytest.mark.parametrize("name", SPECS)
def test_the_video_element_plays_and_seeks_an_export(
    name: str, browser: Browser, site: str, root: Path, tmp_path: Path
) -> None:
    done = export_here(SPECS[name], root, tmp_path)
    page = browser.new_page()
    page.goto(site)
    told = page.evaluate(PLAY, f"{site}o.mp4")
    page.close()
    assert told["end"] == "ended", told
    assert told["duration"] == pytest.approx(done.result["duration"], abs=0.05)
    assert told["sought"] == pytest.approx(done.result["duration"] / 2, abs=0.05)
    assert told["corrupted"] == 0
    assert told["width"] and told["height"]
