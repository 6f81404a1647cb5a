"""The Node client against real controllers: every call, changes of the leader, streams."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.files import ROOT
from tests.live import LiveCluster, call, until

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

SDK = ROOT / "sdk" / "node"
NODE_S = 200
WAIT_S = 30.0
WRITES = 500
GAP_MS = 60
KILL_EVERY_S = 2.5


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LiveCluster]:
    """Three controllers on loopback without Docker."""
    with LiveCluster(tmp_path / "cluster", engine="fake", ingress=False) as live:
        yield live


def environ(cluster: LiveCluster, **more: str) -> dict[str, str]:
    """The environment of a program that talks to the cluster: the leader's address is last."""
    leader = until("a leader", cluster.leader, WAIT_S)
    nodes = sorted(cluster.ids, key=lambda node: node == leader)
    return {**os.environ, **more, "ORCHESTRY_URL": ",".join(map(cluster.url, nodes))}


def test_every_call_on_a_real_cluster(cluster: LiveCluster) -> None:
    """Each call sends what controllers understand, and what they answer is what it says."""
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "acceptance/calls.js"], cwd=SDK,
        env=environ(cluster), text=True, capture_output=True, timeout=NODE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
    assert "# pass 0" not in done.stdout


def kill_leaders(cluster: LiveCluster, done: threading.Event, killed: list[str]) -> None:
    """The leader dies every few seconds, and comes back."""
    while not done.wait(KILL_EVERY_S):
        leader = until("a leader", cluster.leader, WAIT_S)
        cluster.kill(leader)
        killed.append(leader)
        done.wait(KILL_EVERY_S / 5)
        cluster.boot(leader)
        cluster.wait_ready()


def test_writes_and_a_stream_while_leaders_are_killed(cluster: LiveCluster) -> None:
    """No error reaches the caller, each write happens once, the stream has no gap or double."""
    stop, killed = threading.Event(), list[str]()
    killer = threading.Thread(target=kill_leaders, args=(cluster, stop, killed))
    program = subprocess.Popen(
        ["node", "acceptance/writes.js"], cwd=SDK, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=environ(cluster, WRITES=str(WRITES), GAP_MS=str(GAP_MS)))
    killer.start()
    try:
        output, errors = program.communicate(timeout=NODE_S)
    finally:
        stop.set()
        program.kill()
        killer.join()
    assert program.returncode == 0, errors
    found: dict[str, Any] = json.loads(output)
    wanted = [f"app-{number}" for number in range(WRITES)]
    assert found["apps"] == wanted
    assert len(killed) >= 3, f"only {killed} were killed"
    assert [number for number, _, _ in found["told"]] == list(range(1, len(found["told"]) + 1))
    assert [app for _, app, _ in found["told"] if app] == wanted
    cluster.wait_ready()
    # A controller that has just come back still catches up.
    path = "/api/v1/apps?consistency=linearizable"

    def listing() -> Any:
        status, body, _ = call("GET", cluster.url(cluster.ids[0], path))
        return body if status == 200 else None

    listed = until("the list", listing, WAIT_S)
    assert sorted(app["name"] for app in listed["apps"]) == sorted(wanted)
    assert len({app["revision"] for app in listed["apps"]}) == WRITES
