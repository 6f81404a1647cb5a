"""The Python clients against real controllers whose leaders are killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import killed_leaders, pages
from tests.architecture.files import ROOT
from tests.live import LiveCluster

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

WRITES = 100
GAP_S = 0.06
KILL_EVERY_S = 1.5
ALL_S = 120.0
SPEC = {
    "apiVersion": "v1", "kind": "App", "metadata": {"name": "my-app"},
    "spec": {"image": "web:1", "ports": [{"containerPort": 80}]},
}
CLIENTS = {"blocking": killed_leaders.blocking, "asynchronous": killed_leaders.asynchronous}


@pytest.mark.parametrize("kind", CLIENTS)
def test_writes_and_a_stream_while_leaders_are_killed(kind: str, tmp_path: Path) -> None:
    """No error reaches the caller, each write happens once, the stream has no gap or double."""
    with LiveCluster(tmp_path / "cluster", engine="fake", ingress=False) as cluster:
        with killed_leaders.killing(cluster, KILL_EVERY_S) as killed:
            found = CLIENTS[kind](
                killed_leaders.urls(cluster), WRITES, lambda: len(killed) < 2, GAP_S, ALL_S)
        assert len(found.apps) >= WRITES
        killed_leaders.judge(cluster, found)


def test_the_page_runs_as_written(tmp_path: Path) -> None:
    """Its blocks as one program, with only the addresses changed, print what it shows."""
    (tmp_path / "app.yml").write_text(yaml.safe_dump(SPEC))
    # That of commands in containers needs Docker: tests/acceptance/test_exec.py.
    blocks = [block for block in pages.blocks("docs/python-client.md")
              if "exec_app" not in block.code]
    assert [block.language for block in blocks] == ["python"] * 7
    code = "\n".join(block.code for block in blocks)
    with LiveCluster(tmp_path / "cluster", engine="fake", ingress=False) as cluster:
        follower, leader = cluster.follower(), cluster.led()
        for shown, node in (("127.0.0.1:8001", follower), ("127.0.0.1:8002", leader),
                            ("localhost:8000", follower)):
            code = code.replace(f"http://{shown}", cluster.url(node))
        done = subprocess.run(
            [sys.executable, "-W", "error::DeprecationWarning", "-c", code], cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)}, text=True, capture_output=True, timeout=ALL_S,
            check=False)
    assert done.returncode == 0, done.stderr
    wanted = "".join(block.output for block in blocks).splitlines()
    assert [pages.shape(line) for line in done.stdout.splitlines()] == [
        pages.shape(line) for line in wanted]
