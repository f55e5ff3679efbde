"""Two users of one hub: each sees all of their own exports, and nothing of the other's."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import time
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from hub_support import RunningHub, User
from server_support import clip, eventually

SECRET_NAME = "a-film-nobody-else-knows-of"
SUBPROTOCOL = "v1.feed.jupyter-export"


def long_spec(user: User, film: Path, output: str) -> dict[str, Any]:
    """An export that takes a while."""
    source = user.root / f"{SECRET_NAME}.mp4"
    if not source.exists():
        shutil.copy(film, source)
        os.chown(source, user.account.uid, user.account.gid)
    encoding = {"quality": "quality", "smart": False}
    return {"kind": "clip", "sources": [{"path": source.name}]} | {
        "output": output,
        "encoding": encoding,
    }


def feed(user: User, origin: str = "", **headers: str) -> str:
    """What the feed says first, or how it refuses."""

    async def ask() -> str:
        url = user.url.replace("http", "ws", 1) + "jupyter-export/feed"
        try:
            async with websockets.connect(
                url,
                origin=websockets.Origin(origin) if origin else None,
                subprotocols=[websockets.Subprotocol(SUBPROTOCOL)],
                additional_headers=headers,
                proxy=None,
            ) as socket:
                await socket.send(json.dumps({"type": "hello", "epoch": None, "since": None}))
                return str(json.loads(await asyncio.wait_for(socket.recv(), 20))["type"])
        except websockets.InvalidStatus as error:
            return f"HTTP {error.response.status_code}"

    return asyncio.run(ask())


def cookies(browser: httpx.Client, user: User) -> tuple[str, str]:
    """The cookies that a browser sends to the user's server, as a header, and their XSRF token."""
    path = httpx.URL(user.url).path
    jar = [one for one in browser.cookies.jar if path.startswith(one.path)]
    (xsrf,) = [one.value for one in jar if one.name == "_xsrf" and one.path == path]
    return "; ".join(f"{one.name}={one.value}" for one in jar), xsrf or ""


def page_token(html: str) -> str:
    """The token that the page of JupyterLab carries for its own requests."""
    match = re.search(r'<script id="jupyter-config-data"[^>]*>(.*?)</script>', html, re.DOTALL)
    assert match
    return str(json.loads(unescape(match[1]))["token"])


def test_neither_token_nor_cookie_nor_page_of_one_user_opens_the_others_exports(
    hub: RunningHub, alice: User, bob: User
) -> None:
    alice.add("subtitles_mov_text.mp4")
    done = alice.submit(clip("subtitles_mov_text.mp4", f"{SECRET_NAME}-cut.mp4"))
    alice.until(done["id"], "completed")
    with hub.login(bob.account) as browser:
        page = browser.get(f"{bob.url}lab").raise_for_status().text
        cookie, xsrf = cookies(browser, bob)
    keys = {
        "nothing": {},
        "token": {"Authorization": f"token {bob.token}"},
        "page": {"Authorization": f"token {page_token(page)}"},
        "cookie": {"Cookie": cookie, "X-XSRFToken": xsrf, "Referer": f"{alice.url}lab"},
    }
    job = f"jupyter-export/jobs/{done['id']}"
    paths = ["jobs", "jobs/recent", "health", "hardware", "projects", "queue"]
    paths = [f"jupyter-export/{path}" for path in paths]
    paths += [job, f"{job}/log", f"{job}/poster", f"{job}/thumbnail", f"{job}/file", "metrics"]
    paths += [f"files/{SECRET_NAME}-cut.mp4", f"api/contents/{SECRET_NAME}-cut.mp4"]
    with httpx.Client(base_url=alice.url, trust_env=False, timeout=30) as stranger:
        for who, headers in keys.items():
            for path in paths:
                answer = stranger.get(path, headers=headers)
                # A browser is sent to the hub, to log in as somebody else.
                assert answer.status_code in {302, 403}, (who, path, answer.status_code)
                assert SECRET_NAME not in answer.text
            mine = f"jobs/{done['id']}"
            for method, path in (
                *(("POST", f"{mine}/{verb}") for verb in ("cancel", "retry", "pause", "resume")),
                *(("POST", path) for path in ("jobs", "queue/pause", "estimate", "preview")),
                *(("PATCH", path) for path in (mine, "limits")),
                ("DELETE", mine),
            ):
                url = f"jupyter-export/{path}"
                answer = stranger.request(method, url, headers=headers, json={})
                assert answer.status_code in {302, 403}, (who, method, path, answer.status_code)
            assert feed(alice, hub.origin, **headers) in {"HTTP 302", "HTTP 403"}, who
    assert alice.job(done["id"]) == {**done, **alice.job(done["id"])}, "it is still there"
    assert bob.http.get(f"jobs/{done['id']}").status_code == 404
    assert SECRET_NAME not in bob.http.get("jobs").text


def test_a_browsers_cookie_needs_the_xsrf_token_of_its_own_server(
    hub: RunningHub, alice: User
) -> None:
    alice.add("subtitles_mov_text.mp4")
    with hub.login(alice.account) as browser:
        page = browser.get(f"{alice.url}lab").raise_for_status().text
        cookie, xsrf = cookies(browser, alice)
    body = {"spec": clip("subtitles_mov_text.mp4", "by-cookie.mp4")}
    with httpx.Client(base_url=f"{alice.url}jupyter-export/", trust_env=False) as page_of:
        # What a page's own requests are marked with by the browser.
        bare = {"Cookie": cookie, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
        whole = {**bare, "X-XSRFToken": xsrf}
        assert page_of.get("jobs", headers=bare).status_code == 403
        assert page_of.get("jobs", headers=whole).status_code == 200
        assert page_of.post("jobs", headers=bare, json=body).status_code == 403
        foreign = {**whole, "Origin": "http://elsewhere.example"}
        assert page_of.post("jobs", headers=foreign, json=body).status_code in {403, 404}
        taken = page_of.post("jobs", headers=whole, json=body)
        assert taken.status_code == 201, taken.text
        token = {"Authorization": f"token {page_token(page)}"}
        assert page_of.get(f"jobs/{taken.json()['id']}", headers=token).status_code == 200
    assert feed(alice, hub.origin, Cookie=cookie) == "snapshot"
    assert feed(alice, "http://elsewhere.example", Cookie=cookie) == "HTTP 403"
    assert feed(alice, Authorization=f"token {alice.token}") == "snapshot"
    alice.until(taken.json()["id"], "completed")


def test_another_account_reads_no_file_of_the_queue_and_learns_nothing_from_the_leases(
    hub: RunningHub, alice: User, bob: User, film: Path
) -> None:
    job = alice.submit(long_spec(alice, film, "hidden-from-bob.mp4"))
    eventually(lambda: alice.job(job["id"])["segments"]["rendered"] > 0, seconds=60)
    ours = alice.account.home / ".local/share/jupyter/jupyter_export"
    files = [str(path) for path in ours.rglob("*")]
    for kind in ("*.sqlite", "*.log", "*.seg", "scheduler.lock"):
        assert list(ours.rglob(kind)), f"nothing to keep secret: no {kind}"
    script = 'for path in "$@"; do [ -r "$path" ] && echo "$path"; done; true'
    seen = bob.account.run("sh", "-c", script, "sh", str(ours), *files)
    assert seen.stdout == "" and seen.returncode == 0, seen
    # That Bob reads the leases is what lets the two share; they must tell him no more than that.
    leases = bob.account.run("sh", "-c", f"cat {hub.leases}/*.lease")
    held = [json.loads(text) for text in leases.stdout.replace("}{", "}\n{").splitlines()]
    assert held, "alice's export holds a core"
    for lease in held:
        assert set(lease) == {"device", "need", "since", "pid", "person"}, lease
    assert job["id"] not in leases.stdout and SECRET_NAME not in leases.stdout
    for pid in alice.workers():
        assert SECRET_NAME not in Path(f"/proc/{pid}/cmdline").read_text()
    removed = bob.account.run("sh", "-c", f"rm -f {hub.leases}/*.lease")
    assert removed.returncode != 0, "bob has taken alice's lease away"


def test_no_token_of_the_user_is_in_a_workers_environment_or_in_a_log(
    hub: RunningHub, alice: User, film: Path
) -> None:
    with hub.login(alice.account) as browser:
        page = browser.get(f"{alice.url}lab").raise_for_status().text
        cookie, _ = cookies(browser, alice)
    assert feed(alice, hub.origin, Cookie=cookie) == "snapshot"
    job = alice.submit(long_spec(alice, film, "no-secrets.mp4"))
    eventually(lambda: alice.job(job["id"])["progress"]["frames"] > 0, seconds=60)
    own = environment(alice.pid)
    secrets = {own["JUPYTERHUB_API_TOKEN"], alice.token, page_token(page), hub.token}
    # (The session's id is no key to anything, and JupyterHub itself writes it into its log.)
    secrets |= {
        value
        for name, _, value in (one.partition("=") for one in cookie.split("; "))
        if name.startswith("jupyterhub-user-")
    }
    assert len(secrets) == 5
    assert all(len(secret) > 16 for secret in secrets)
    workers = alice.workers()
    assert workers
    for pid in workers:
        theirs = environment(pid)
        assert [name for name in theirs if name.startswith(("JUPYTERHUB_", "JPY_"))] == []
        assert not secrets & set(theirs.values())
        command = Path(f"/proc/{pid}/cmdline").read_text()
        assert not any(
            secret in value for secret in secrets for value in (*theirs.values(), command)
        )
    logs = [hub.log, *alice.account.home.rglob("*.log")]
    assert any(path.name == f"{job['id']}.log" for path in logs)
    for path in logs:
        text = path.read_text(errors="replace")
        assert not [
            line for line in text.splitlines() if any(secret in line for secret in secrets)
        ], path


def environment(pid: int) -> dict[str, str]:
    """The environment with which a process was started."""
    words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


def test_a_named_server_has_a_queue_of_its_own_and_finds_the_segments_of_the_other(
    alice: User,
) -> None:
    alice.add("timecode_720p30.mp4")
    spec = clip("timecode_720p30.mp4", "unnamed.mp4")
    spec["sources"][0]["end"] = 0.5
    first = alice.submit(spec)
    alice.until(first["id"], "completed")
    second = alice.named("second")
    second.start()
    try:
        assert second.http.get("jobs").json()["jobs"] == []
        epochs = {one.http.get("health").json()["epoch"] for one in (alice, second)}
        assert len(epochs) == 2, "one database for two servers, which may be on two hosts"
        job = second.submit({**spec, "output": "named.mp4"})
        done = second.until(job["id"], "completed")
        assert done["segments"]["reused"] == done["segments"]["total"] > 0
        assert alice.http.get(f"jobs/{job['id']}").status_code == 404
    finally:
        second.stop()
        second.http.close()


@pytest.mark.parametrize("path", ["health", "jobs"])
def test_the_way_to_the_exports_is_the_same_with_and_without_the_proxy(
    alice: User, path: str
) -> None:
    """A kernel asks its server straight, at the address that the hub has given it."""
    inside = environment(alice.pid)
    url = inside["JUPYTERHUB_SERVICE_URL"].rstrip("/")
    headers = {"Authorization": f"token {inside['JUPYTERHUB_API_TOKEN']}"}
    straight = httpx.get(f"{url}/jupyter-export/{path}", headers=headers, trust_env=False)
    assert straight.status_code == 200
    assert straight.json().keys() == alice.http.get(path).json().keys()


def test_metrics_are_scraped_by_a_service_that_may_and_that_is_no_use_of_the_server(
    hub: RunningHub, alice: User, bob: User
) -> None:
    """As in administrators.md: at the server's own address, with a token for that."""
    alice.add("subtitles_mov_text.mp4")
    job = alice.submit(clip("subtitles_mov_text.mp4", "counted.mp4"))
    alice.until(job["id"], "completed")
    inside = environment(alice.pid)
    url = f"{inside['JUPYTERHUB_SERVICE_URL'].rstrip('/')}/metrics"
    keys = {"nobody": "", "bob": bob.token, "prometheus": hub.metrics_token}

    def scrape(key: str) -> httpx.Response:
        headers = {"Authorization": f"token {key}"} if key else {}
        return httpx.get(url, headers=headers, trust_env=False)

    assert {who: scrape(key).status_code for who, key in keys.items()} == {
        "nobody": 403,
        "bob": 403,
        "prometheus": 200,
    }
    assert "jupyter_export_jobs_total{" in scrape(hub.metrics_token).text
    eventually(lambda: settled(alice), seconds=60)
    before = alice.seen["last_activity"]
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        assert scrape(hub.metrics_token).status_code == 200
        time.sleep(0.2)
    assert alice.seen["last_activity"] == before, "the culler would never end it"


def settled(user: User) -> bool:
    """Whether the hub has heard nothing new of the server for some of its reports."""
    before = user.seen["last_activity"]
    time.sleep(7)
    return bool(user.seen["last_activity"] == before)
