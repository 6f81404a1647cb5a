"""Three real controllers that ask for tokens: the first one, followers, leaders that die."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.control.bootstrap import FILE, read
from orchestry import Client
from orchestry.cli import main
from orchestry.client import ApiError, Forbidden
from tests.asking_cluster import SECRET, AskingCluster
from tests.live import app_spec, call, until
from tests.ports import free_ports

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]
KNOWN_S = 30.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[AskingCluster]:
    """Three controllers without containers."""
    with AskingCluster(tmp_path / "cluster", engine="fake", ingress=False, environ={
        "ORCHESTRY_AUTH": "on", "CLUSTER_SECRET": SECRET,
    }) as found:
        yield found


def everywhere(cluster: AskingCluster, path: str, token: str, status: int) -> None:
    """Every controller that runs comes to answer so, and soon."""
    for node in cluster.alive():
        until(f"{node} answers {status}", lambda node=node: (  # type: ignore[misc]
            cluster.status_of(node, path, token) == status), KNOWN_S)


def test_the_first_token(cluster: AskingCluster) -> None:
    """One file with one token that no log shows, good on every controller and after kill -9."""
    (file,) = cluster.files()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first = file.read_text().strip()
    everywhere(cluster, "/api/v1/tokens", first, 200)
    until("the log says where it is", lambda: [
        node for node in cluster.ids if "FIRST ADMIN TOKEN" in cluster.log(node)
    ] == [file.parent.name], KNOWN_S)
    assert all(first not in cluster.log(node) for node in cluster.ids)
    assert call("GET", cluster.url(cluster.ids[0], "/api/v1/apps"))[0] == 401

    leader = cluster.led()
    cluster.kill(leader)
    until("another leads", lambda: cluster.leader() not in (None, leader), KNOWN_S)
    cluster.boot(leader)
    cluster.wait_ready()
    assert cluster.files() == [file]
    everywhere(cluster, "/api/v1/tokens", first, 200)
    listed = call("GET", cluster.url(leader, "/api/v1/tokens"), headers=cluster.headers)[1]
    assert [(row["name"], row["role"]) for row in listed["tokens"]] == [("bootstrap", "admin")]


def test_a_deployer_works_through_followers_until_its_token_is_revoked(
    cluster: AskingCluster, capsys: pytest.CaptureFixture[str],
) -> None:
    """The command line makes the token, a redirect keeps it, revoking ends it and its streams."""
    leader = cluster.led()
    follower = next(node for node in cluster.ids if node != leader)
    first = cluster.headers["Authorization"].removeprefix("Bearer ")
    options = ["--url", cluster.url(follower), "--token", first]
    assert main([*options, "token", "create", "ci", "--role", "deployer", "--apps", "shop"]) == 0
    token = capsys.readouterr().out.strip()
    everywhere(cluster, "/api/v1/apps", token, 200)
    with Client(cluster.url(follower), token=token) as client:
        assert client.register_app(app_spec("shop", "x:1"))["status"] == "registered"
        client.start_app("shop", replicas=1, wait=False)
        assert [app["name"] for app in client.list_apps()["apps"]] == ["shop"]
        assert client.system_metrics()["node_id"] == leader  # read by the leader, for the caller
        with pytest.raises(Forbidden):
            client.register_app(app_spec("blog", "x:1"))
        with pytest.raises(Forbidden):
            client.get_config()
    answer = call("POST", cluster.url(follower, "/api/v1/apps/shop/stop"), {},
                  headers={"Authorization": f"Bearer {token}"})
    assert answer[0] == 307
    assert token not in answer[2]["Location"]
    ended = watch(cluster.url(follower, f"/api/v1/events/stream?access_token={token}"))
    next(ended)

    assert main([*options, "token", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["tokens"]
    (row,) = [row for row in rows if row["name"] == "ci"]
    assert main([*options, "token", "revoke", row["id"]]) == 0
    everywhere(cluster, "/api/v1/apps", token, 401)
    assert "revoked" in next(ended)
    with Client(cluster.url(follower), token=token) as client, pytest.raises(ApiError) as caught:
        client.stop_app("shop")
    assert caught.value.status == 401
    assert all(token not in cluster.log(node) for node in cluster.ids)

    assert main([*options, "audit", "verify"]) == 0
    assert "an unbroken chain" in capsys.readouterr().out
    assert main([*options, "audit", "--json"]) == 0
    found = carried_out(json.loads(capsys.readouterr().out))
    assert [(entry["name"], entry["method"], entry["path"], entry["code"]) for entry in found] == [
        ("bootstrap", "DELETE", f"/api/v1/tokens/{row['id']}", "OK"),
        ("ci", "POST", "/api/v1/apps/shop/start", "OK"),
        ("ci", "POST", "/api/v1/apps/register", "OK"),
        ("bootstrap", "POST", "/api/v1/tokens", "OK"),
    ]
    for node in cluster.ids:
        until(f"{node} has the same", lambda node=node: carried_out(  # type: ignore[misc]
            call("GET", cluster.url(node, "/api/v1/audit"), headers=cluster.headers)[1]
        ) == found, KNOWN_S)


def carried_out(audit: Any) -> list[Any]:
    """The entries of writes that were not refused: refusals are added after a minute."""
    return [entry for entry in audit["entries"] if entry["code"] == "OK"]


def watch(url: str) -> Iterator[str]:
    """Opens a stream, and then tells why it ended."""
    request = urllib.request.Request(url, headers={"Accept": "text/event-stream"})
    with contextlib.closing(urllib.request.urlopen(request, timeout=KNOWN_S)) as answer:
        yield "open"
        closing = False
        for line in answer:
            if closing and line.startswith(b"data: "):
                found: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
                assert found["code"] == 1008
                yield found["reason"]
                return
            closing = line.strip() == b"event: close"
    raise AssertionError("the stream ended without a reason")


def test_controllers_serve_one_another(cluster: AskingCluster) -> None:
    """What followers ask of the leader and of one another is let through by their marks."""
    leader = cluster.led()
    name = 'orchestry_api_requests_total{endpoint="peers.samples",method="GET",status="'

    def answered() -> bool:
        text = call("GET", cluster.url(leader, "/metrics"), headers=cluster.headers)[1]
        lines = [line for line in text.splitlines() if line.startswith(name)]
        assert not any(line.startswith(f'{name}401"') for line in lines), lines
        return any(line.startswith(f'{name}200"') for line in lines)

    until("followers copied what the leader measured", answered, KNOWN_S)


def test_the_first_token_on_a_terminal(tmp_path: Path) -> None:
    """Who starts a controller by hand sees it once; the log, and a second start, do not have it."""
    (port,) = free_ports(1)
    environ = {
        "PATH": os.environ["PATH"], "ORCHESTRY_AUTH": "on", "ORCHESTRY_ENGINE": "fake",
        "ORCHESTRY_PORT": str(port), "ORCHESTRY_DATA_DIR": str(tmp_path / "data")}

    def started() -> str:
        ours, theirs = pty.openpty()
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "api.node"], env=environ, stdin=subprocess.DEVNULL,
                stdout=theirs, stderr=log, start_new_session=True)
        os.close(theirs)
        os.set_blocking(ours, False)
        seen = b""

        def good() -> bool:
            nonlocal seen
            with contextlib.suppress(BlockingIOError):
                seen += os.read(ours, 65_536)
            text = read(tmp_path / "data" / FILE)
            return bool(text) and call("GET", f"http://127.0.0.1:{port}/api/v1/tokens", headers={
                "Authorization": f"Bearer {text}"})[0] == 200

        try:
            until("the token is good", good, KNOWN_S)
            until("the log tells of it", lambda: good() and (
                "FIRST ADMIN TOKEN" in (tmp_path / "log").read_text()), KNOWN_S)
        finally:
            process.terminate()
            process.wait(KNOWN_S)
        with contextlib.suppress(OSError):  # nobody holds the other end any more
            seen += os.read(ours, 65_536)
        os.close(ours)
        return seen.decode()

    token = ""
    for start in (1, 2):
        seen = started()
        token = read(tmp_path / "data" / FILE)
        assert seen.count(token) == (1 if start == 1 else 0), seen
    assert token not in (tmp_path / "log").read_text()
