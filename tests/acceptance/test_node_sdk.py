"""The Node client against real controllers: every call, changes of the leader, streams."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import killed_leaders
from tests.killed_leaders import SDK
from tests.live import LiveCluster

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

NODE_S = 200
WRITES = 250
GAP_S = 0.06
KILL_EVERY_S = 2.5


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LiveCluster]:
    """Three controllers on loopback without Docker."""
    with LiveCluster(tmp_path / "cluster", engine="fake", ingress=False) as live:
        yield live


def test_every_call_on_a_real_cluster(cluster: LiveCluster) -> None:
    """Each call sends what controllers understand, and what they answer is what it says."""
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "acceptance/calls.js"], cwd=SDK,
        env={**os.environ, "ORCHESTRY_URL": ",".join(killed_leaders.urls(cluster))}, text=True,
        capture_output=True, timeout=NODE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
    assert "# pass 0" not in done.stdout


def test_writes_and_a_stream_while_leaders_are_killed(cluster: LiveCluster) -> None:
    """No error reaches the caller, each write happens once, the stream has no gap or double."""
    with killed_leaders.killing(cluster, KILL_EVERY_S) as killed:
        found = killed_leaders.node(
            killed_leaders.urls(cluster), WRITES, lambda: len(killed) < 3, GAP_S, NODE_S)
    assert len(found.apps) >= WRITES
    killed_leaders.judge(cluster, found)
