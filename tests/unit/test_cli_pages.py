"""What pages show of answers that are hard to come by: from an answer as the API gives it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestry.cli import main
from tests.page_table import fences
from tests.pages import shape
from tests.unit.stub_cluster import Says, nodes

Captured = pytest.CaptureFixture[str]


def printed(
    page: str, says: Says, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], list[str]]:
    """The lines that the page shows for its first command, and those that are printed for it."""
    (shown,) = (block for block in fences(page) if block.startswith("$ orchestry ")
                and block.split()[2:4] in (["cluster", "add"], ["status", "shop"]))
    command, *lines = shown.splitlines()
    with nodes(lambda _: says) as (node,):
        monkeypatch.setenv("ORCHESTRY_URL", node.url)
        assert main(command.split()[2:]) == 0
    return lines, [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_member_is_added(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/operations.md; of four members the page shows the first and the last."""
    peers = ",".join(f"controller-{n}=10.0.0.{n}:9000" for n in range(1, 5))
    shown, found = printed("docs/operations.md", Says(201, {
        "join": {"CONTROLLER_NODE_ID": "controller-4", "CLUSTER_PEERS": peers,
                 "CLUSTER_JOIN": "true"}}), capsys, monkeypatch)
    middle = peers.partition(",")[2].rpartition(",")[0]
    assert found == [line.replace("…", middle) for line in shown]


def test_a_crash_loop(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/restarts.md, but for the ages."""
    def ago(**parts: int) -> str:
        return (datetime.now(UTC) - timedelta(**parts)).isoformat().replace("+00:00", "Z")

    shown, found = printed("docs/restarts.md", Says(200, {
        "name": "shop", "status": "error", "created_at": ago(minutes=2),
        "replicas": {"current": 1, "desired": 1, "healthy": 0},
        "containers": [{"name": "shop-1", "state": "crash_loop", "health": "unhealthy", "ip": "",
                        "started_at": ago(seconds=31)}],
        "problem": {"message": "shop-1 is in a crash loop: it ended with exit code 3; "
                               "6 failures in a row"},
        "restarts": {"replicas": [{
            "name": "shop-1", "failures": 6, "oom_kills": 0, "over": None,
            "next_attempt_at": "2026-01-05T10:02:41.512Z",
            "last_exit": {"reason": "exited", "exit_code": 3, "signal": None,
                          "at": ago(seconds=12)}}]},
    }), capsys, monkeypatch)
    assert [shape(line) for line in found] == [shape(line) for line in shown]
