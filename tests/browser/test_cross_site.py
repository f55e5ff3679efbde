"""Pages of other sites, in a real browser where the user is logged in: they reach nothing."""

from __future__ import annotations

import functools
import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser_support import Handler
from playwright.sync_api import BrowserContext
from server_support import TOKEN, RunningServer, clip, eventually

CLIP = "subtitles_mov_text.mp4"

ATTACK = """async ([base, id, spec]) => {
  const at = path => base + 'jupyter-export/' + path;
  const told = {};
  const attempt = async (name, path, options) => {
    try {
      const answer = await fetch(at(path), {credentials: 'include', ...options});
      told[name] = answer.type === 'opaque' ? 'opaque' : `${answer.status} ${await answer.text()}`;
    } catch (error) { told[name] = 'blocked'; }
  };
  const text = {'Content-Type': 'text/plain'};
  await attempt('read', 'jobs');
  await attempt('read blindly', 'jobs', {mode: 'no-cors'});
  await attempt('refresh', 'hardware?refresh=true', {mode: 'no-cors'});
  await attempt('submit as text', 'jobs', {method: 'POST', mode: 'no-cors', body: spec});
  await attempt('submit', 'jobs', {method: 'POST', body: spec,
    headers: {'Content-Type': 'application/json'}});
  await attempt('cancel', `jobs/${id}/cancel`, {method: 'POST', mode: 'no-cors'});
  await attempt('delete', `jobs/${id}`, {method: 'DELETE'});
  await attempt('resume', 'queue/resume', {method: 'POST', mode: 'no-cors', headers: text});
  await attempt('limits', 'limits', {method: 'PATCH', body: '{"max_concurrent_exports": 9}'});
  told.picture = await new Promise(resolve => {
    const image = new Image();
    image.onload = () => resolve('shown');
    image.onerror = () => resolve('refused');
    image.src = at(`jobs/${id}/thumbnail`);
  });
  told.script = await new Promise(resolve => {
    const script = document.createElement('script');
    script.onload = () => resolve('run');
    script.onerror = () => resolve('refused');
    script.src = at('jobs');
    document.body.append(script);
  });
  told.feed = await new Promise(resolve => {
    const socket = new WebSocket(at('feed').replace('http', 'ws'), 'v1.feed.jupyter-export');
    socket.onopen = () => socket.send('{"type": "hello", "epoch": null, "since": null}');
    socket.onmessage = event => resolve(event.data);
    socket.onclose = event => resolve(`closed ${event.code}`);
  });
  return told;
}"""

FORM = """([action, body]) => {
  const form = document.createElement('form');
  form.method = 'POST';
  form.enctype = 'text/plain';
  form.action = action;
  const field = document.createElement('input');
  field.name = body;
  form.append(field);
  document.body.append(form);
  form.submit();
}"""


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    server = RunningServer(tmp_path_factory.mktemp("victim"))
    server.add(CLIP)
    server.post("queue/pause").raise_for_status()
    server.job_id = server.submit(clip(CLIP, "victim.mp4"))["id"]  # type: ignore[attr-defined]
    yield server
    server.stop()


@pytest.fixture
def evil(tmp_path: Path) -> Iterator[int]:
    """The port of another web site."""
    handler = functools.partial(Handler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def logged_in(victim: RunningServer, context: BrowserContext) -> BrowserContext:
    page = context.new_page()
    page.goto(f"{victim.url}login?token={TOKEN}")
    own: Any = page.evaluate(
        "async base => (await (await fetch(base + 'jupyter-export/jobs')).json()).jobs.length",
        victim.url,
    )
    assert own >= 1, "a page of the server itself must see the jobs"
    return context


def standing(victim: RunningServer) -> dict[str, Any]:
    return {
        "jobs": victim.http.get("jobs").json(),
        "queue": victim.http.get("queue").json(),
        "limits": victim.http.get("limits").json(),
        "probed": victim.http.get("hardware").json()["probed_at"],
    }


def refused_with_cookie(victim: RunningServer, since: int) -> list[str]:
    """The requests that came with the user's cookie (the log names the user) and were refused."""
    with victim.log.open() as log:
        log.seek(since)
        return re.findall(r" 40[34] (\w+ /base/jupyter-export/\S*) \(\w+@", log.read())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["neighbour", "stranger"])
def test_no_page_of_another_origin_reads_or_changes_anything(
    victim: RunningServer, logged_in: BrowserContext, evil: int, host: str
) -> None:
    """Another port of the same host is the same *site*: there the cookie comes along."""
    before = standing(victim)
    since = victim.log.stat().st_size
    page = logged_in.new_page()
    page.goto(f"http://{host}:{evil}/")
    body = json.dumps({"spec": clip(CLIP, "evil.mp4")})
    told = page.evaluate(ATTACK, [victim.url, victim.job_id, body])  # type: ignore[attr-defined]
    for name, answer in told.items():
        harmless = answer in {"blocked", "opaque", "refused"} or answer.startswith("closed")
        assert harmless, (name, answer)
    if host == "127.0.0.1":
        hits = refused_with_cookie(victim, since)
        assert len(hits) >= 6, f"no cookie came along, so this was no attack: {hits}"
        assert {hit.split()[0] for hit in hits} >= {"GET", "POST"}
    assert standing(victim) == before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["neighbour", "stranger"])
def test_no_form_of_another_site_changes_anything(
    victim: RunningServer, logged_in: BrowserContext, evil: int, host: str
) -> None:
    """Whole pages go to the server with its cookie, also from sites that are strangers."""
    before = standing(victim)
    body = json.dumps({"spec": clip(CLIP, "form.mp4")})[:-1] + ', "x'
    for path in (
        "jobs",
        f"jobs/{victim.job_id}/cancel",  # type: ignore[attr-defined]
        "queue/resume",
    ):
        page = logged_in.new_page()
        page.goto(f"http://{host}:{evil}/")
        since = victim.log.stat().st_size
        with page.expect_response(lambda it: "/jupyter-export/" in it.url) as answer:
            page.evaluate(FORM, [f"{victim.url}jupyter-export/{path}", body])
        assert answer.value.status in {403, 404}, (path, answer.value.status)
        # Without a cookie this would have been no attack. The log follows the answer.
        eventually(lambda since=since: refused_with_cookie(victim, since), seconds=20)
    assert standing(victim) == before


def test_a_link_of_another_site_starts_no_work(
    victim: RunningServer, logged_in: BrowserContext, evil: int
) -> None:
    before = standing(victim)
    since = victim.log.stat().st_size
    page = logged_in.new_page()
    page.goto(f"http://localhost:{evil}/")
    with page.expect_response(lambda it: "/jupyter-export/" in it.url) as answer:
        page.evaluate(
            "url => { location.href = url; }", f"{victim.url}jupyter-export/hardware?refresh=true"
        )
    assert answer.value.status == 403
    assert refused_with_cookie(victim, since), "no cookie came along, so this was no attack"
    assert standing(victim) == before
    assert urlsplit(victim.url).hostname == "127.0.0.1"
