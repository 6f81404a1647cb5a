"""`orchestry cluster drill` against real controllers, with a real PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.live import LiveCluster
from tests.postgres import postgres

pytestmark = [pytest.mark.acceptance, pytest.mark.long]

DRILL_S = 240.0


@contextmanager
def supervised(cluster: LiveCluster) -> Iterator[None]:
    """Start again what dies, as systemd and Docker do."""
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.2):
            for node in cluster.ids:
                if cluster.processes[node].poll() is not None:
                    cluster.boot(node)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def drilled(cluster: LiveCluster, *arguments: str) -> Any:
    """What the command found."""
    urls = [part for node in cluster.ids for part in ("--url", cluster.url(node))]
    done = subprocess.run(
        [sys.executable, "-m", "orchestry.cli", *urls, "cluster", "drill", *arguments, "--yes",
         "--json"], capture_output=True, text=True, check=False, timeout=DRILL_S,
        env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    print(f"drill {found['fault']}: writes recovered after {found['recovery_s']} s, all well after "
          f"{found['healthy_after_s']} s, {found['dropped']} calls dropped, slowest write "
          f"{found['calls']['writes']['worst_s']} s")
    return found


def test_each_fault_is_survived_and_undone(tmp_path: Path) -> None:
    """No call is dropped; the cluster is whole again, and can be drilled once more."""
    with postgres(tmp_path / "pg") as server, LiveCluster(
        tmp_path / "cluster", engine="fake", ingress=False,
        environ={"ORCHESTRY_DRILL": "on", "DATABASE_URL": server.url},
    ) as cluster, supervised(cluster):
        for fault in ("leader-kill", "partition"):
            found = drilled(cluster, fault, "--seconds", "5")
            assert found["leader"] != cluster.leader()
            assert found["calls"]["writes"]["sent"] > 0
            assert found["dropped"] == 0
        leader = cluster.leader()
        found = drilled(cluster, "db-down", "--seconds", "5")
        assert found["healthy_after_s"] >= 5
        assert found["leader"] == leader == cluster.leader()
        cluster.wait_ready()
