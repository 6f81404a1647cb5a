"""The Python clients against real controllers whose leaders are killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import killed_leaders
from tests.live import LiveCluster

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

WRITES = 100
GAP_S = 0.06
KILL_EVERY_S = 1.5
ALL_S = 120.0
CLIENTS = {"blocking": killed_leaders.blocking, "asynchronous": killed_leaders.asynchronous}


@pytest.mark.parametrize("kind", CLIENTS)
def test_writes_and_a_stream_while_leaders_are_killed(kind: str, tmp_path: Path) -> None:
    """No error reaches the caller, each write happens once, the stream has no gap or double."""
    with LiveCluster(tmp_path / "cluster", engine="fake", ingress=False) as cluster:
        with killed_leaders.killing(cluster, KILL_EVERY_S) as killed:
            found = CLIENTS[kind](killed_leaders.urls(cluster), WRITES, GAP_S, ALL_S)
        assert killed
        killed_leaders.judge(cluster, found, WRITES)
