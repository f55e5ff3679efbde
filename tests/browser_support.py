"""A real Chromium, and a web page whose <video> element plays files."""

from __future__ import annotations

import contextlib
import http.server
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """An installed Chromium or Chrome, else Playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


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


SHOW = """async (url) => {
  const image = document.createElement('img');
  image.src = url;
  document.body.append(image);
  await image.decode();
  const response = await fetch(url);
  const decoder = new ImageDecoder({data: response.body, type: `image/${url.split('.').pop()}`});
  await decoder.completed;
  const track = decoder.tracks.selectedTrack;
  let microseconds = 0;
  for (let i = 0; i < track.frameCount; i++) {
    microseconds += (await decoder.decode({frameIndex: i})).image.duration;
  }
  return {width: image.naturalWidth, height: image.naturalHeight, frames: track.frameCount,
          seconds: microseconds / 1e6, loops: track.repetitionCount === Infinity};
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
        # The player hangs up once it has seen enough.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(data[first : last + 1])


def play(browser: Browser, site: str, name: str) -> dict[str, Any]:
    """What the browser says of playing the file to its end and seeking to its middle."""
    page = browser.new_page()
    page.goto(site)
    told: dict[str, Any] = page.evaluate(PLAY, f"{site}{name}")
    page.close()
    return told


def show(browser: Browser, site: str, name: str) -> dict[str, Any]:
    """What the browser says of the file in an ``<img>``, and of what it decodes of it."""
    page = browser.new_page()
    page.goto(site)
    told: dict[str, Any] = page.evaluate(SHOW, f"{site}{name}")
    page.close()
    return told
