"""What users may do who may not do everything: an Authorizer of the server decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from feed_support import Listener
from server_support import RunningServer, clip

from jupyter_export.errors import SpecError
from jupyter_export.notebook.client import connect

CLIP = "subtitles_mov_text.mp4"

AUTHORIZERS = """
from jupyter_server.auth import Authorizer

class NoExecute(Authorizer):
    "May look at everything and write files, but run nothing."

    def is_authorized(self, handler, user, action, resource):
        # What the test itself needs, to have something to look at.
        if handler.request.headers.get("X-Owner") == "yes":
            return True
        return action in {"read", "write"}
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("authorizers")
    (folder / "authorizers.py").write_text(AUTHORIZERS)
    server = RunningServer(
        tmp_path_factory.mktemp("guarded"),
        search=[str(folder)],
        **{"ServerApp.authorizer_class": "authorizers.NoExecute"},
    )
    server.add(CLIP)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def waiting(guarded: RunningServer) -> dict[str, Any]:
    """A job that waits, of somebody who may submit."""
    owner = {"X-Owner": "yes"}
    guarded.post("queue/pause", headers=owner).raise_for_status()
    answer = guarded.post("jobs", {"spec": clip(CLIP, "theirs.mp4")}, headers=owner)
    job: dict[str, Any] = answer.raise_for_status().json()
    return job


def test_who_may_not_execute_sees_everything(
    guarded: RunningServer, waiting: dict[str, Any]
) -> None:
    for path in ("jobs", f"jobs/{waiting['id']}", f"jobs/{waiting['id']}/log", "queue", "limits"):
        assert guarded.http.get(path).status_code == 200, path
    listener = Listener(guarded).connect().caught_up()
    assert listener.state(waiting["id"]) == "queued"
    listener.close()


def test_who_may_not_execute_starts_and_stops_nothing(
    guarded: RunningServer, waiting: dict[str, Any]
) -> None:
    spec = clip(CLIP, "mine.mp4")
    jobs = guarded.http.get("jobs").json()
    for path, body in (
        ("jobs", {"spec": spec}),
        ("preview", {"spec": spec}),
        *((f"jobs/{waiting['id']}/{action}", None) for action in ("cancel", "pause", "retry")),
        *((f"queue/{action}", None) for action in ("resume", "drain", "pause")),
    ):
        refused = guarded.post(path, body)
        assert refused.status_code == 403, (path, refused.text)
        problem = refused.json()
        assert "not authorized to execute" in problem["detail"], problem
        assert "Log in" not in problem["advice"], problem
    assert guarded.http.get("jobs").json() == jobs
    assert guarded.http.get("queue").json()["state"] == "paused"


def test_who_may_write_but_not_administer_can_reorder_but_not_change_limits(
    guarded: RunningServer, waiting: dict[str, Any]
) -> None:
    moved = guarded.http.patch(f"jobs/{waiting['id']}", json={"priority": 5})
    assert moved.status_code == 200
    before = guarded.http.get("limits").json()
    refused = guarded.http.patch("limits", json={"max_concurrent_exports": 7})
    assert refused.status_code == 403
    assert guarded.http.get("limits").json() == before


def test_the_client_says_that_the_right_is_missing_and_not_that_the_token_is_wrong(
    guarded: RunningServer,
) -> None:
    client = connect(guarded.url, token=guarded.token)
    with client, pytest.raises(SpecError, match="not authorized to execute"):
        client.submit(clip(CLIP, "by_client.mp4"))


def test_without_any_right_nothing_is_seen(
    own_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    (tmp_path / "nobody_may.py").write_text(
        "from jupyter_server.auth import Authorizer\n"
        "class Nobody(Authorizer):\n"
        "    def is_authorized(self, handler, user, action, resource):\n"
        "        return resource != 'jupyter_export'\n"
    )
    server = own_server(
        **{"ServerApp.authorizer_class": "nobody_may.Nobody"}, search=[str(tmp_path)]
    )
    for path in ("jobs", "health", "hardware", "openapi.json", "limits"):
        refused = server.http.get(path)
        assert refused.status_code == 403, path
        assert str(server.root) not in refused.text
