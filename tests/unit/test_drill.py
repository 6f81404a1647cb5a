"""`cluster drill`: what calls say about a fault, and the command against a cluster of stubs."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import Any

import pytest

from orchestry.cli import main
from orchestry.cli.commands import drill
from orchestry.cli.load import Call, Load, figures
from tests.live import until
from tests.unit.stub_cluster import Says, Seen, StubNode, error, nodes


def test_figures_of_a_fault() -> None:
    """Recovery counts calls that began after the fault; the pause is the longest silence."""
    calls = [
        Call(1.0, 0.1), Call(2.9, 0.3), Call(3.1, 1.4), Call(3.2, 0.2, "no leader"),
        Call(5.0, 0.1),
    ]
    found = figures(calls, 3.0, 6.0)
    assert (found.sent, found.failed, found.late) == (5, 1, 1)
    assert found.median_s == pytest.approx(0.2)
    assert found.worst_s == pytest.approx(1.4)
    assert found.recovery_s == pytest.approx(1.5)
    assert found.pause_s == pytest.approx(1.3)  # from 3.2, when the one under way came through
    assert found.first_error == "no leader"
    none = figures([Call(3.5, 1.0, "away")], 3.0, 6.0)
    assert (none.recovery_s, none.pause_s, none.median_s) == (None, 3.0, None)
    assert figures([], 3.0, 6.0).document()["pause_s"] is None


def test_load_goes_on_after_failures() -> None:
    """A call that fails is counted, and the next one is made."""
    def broken() -> None:
        raise OSError("away")

    load = Load({"good": lambda: None, "bad": broken}, rate=200)
    load.start()
    until("calls of both kinds", lambda: min(map(len, load.calls.values())) > 8, 30)
    load.stop()
    assert {call.error for call in load.calls["bad"]} == {"away"}
    assert not any(call.error for call in load.calls["good"])


class Cluster:
    """One stub that plays three controllers; `fault` is what it was asked for.

    It is asked for once the load has begun. `asked` counts the requests by path; those to the app
    fail.
    """

    def __init__(self, *, app: bool = False) -> None:
        self.fault: dict[str, Any] = {}
        self.asked: Counter[str] = Counter()
        self.begun = {"/cluster/drill/probe": 2} | ({"/app": 1} if app else {})
        self.size, self.healthy, self.allowed = 3, True, True
        self.lock = threading.Lock()
        self.url = ""

    def __call__(self, seen: Seen) -> Says:
        path = seen.path.partition("?")[0]
        with self.lock:
            self.asked[path] += 1
        if path == "/app":
            return error(500, "INTERNAL_ERROR")
        if path == "/cluster/drill/probe":
            return Says(200, {"message": "Committed", "index": 1}) if self.allowed else error(
                409, "CONFLICT", "c1 allows no drills")
        if path == "/cluster/drill":
            # The command probes once before it begins.
            until("the load", lambda: all(
                self.asked[one] >= times for one, times in self.begun.items()), 30)
            with self.lock:
                self.fault = seen.document
            return Says(200, {})
        leader = "c2" if self.fault else "c1"
        term = 8 if self.fault else 7
        rows = [{"node_id": f"c{n}", "is_healthy": self.healthy or n < 3, "api_url": self.url}
                for n in range(1, self.size + 1)]
        return Says(200, {
            "/cluster/status": {"leader_id": leader, "term": term, "cluster_size": self.size,
                                "nodes": rows, "lease": {"term": term}, "fault": None},
            "/cluster/leader": {"leader_id": leader, "term": term, "lease_expires_at": 1.0},
            "/cluster/health": {"cluster_ready": True, "leader_id": leader},
            "/health": {"status": "healthy", "components": {"database": {
                "status": "healthy", "events_behind": 0}}},
        }[path])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more waiting than it takes."""
    monkeypatch.setattr(drill, "BEFORE_S", 0.1)
    monkeypatch.setattr(drill, "AFTER_S", 0.1)


def drilled(cluster: Cluster, *arguments: str) -> int:
    """The exit code of the command."""
    def run(node: StubNode) -> int:
        cluster.url = node.url
        return main(["--url", node.url, "cluster", "drill",
                     *(one.format(url=node.url) for one in arguments)])

    with nodes(cluster) as found:
        return run(found[0])


def test_a_leader_is_killed_and_replaced(
    quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """The document has the time of recovery and what was dropped."""
    cluster = Cluster()
    assert drilled(cluster, "leader-kill", "--yes", "--json") == 0
    assert {"fault": "leader-kill", "term": 7}.items() <= cluster.fault.items()
    body = json.loads(capsys.readouterr().out)
    assert (body["leader"], body["dropped"], body["seconds"]) == ("c1", 0, None)
    assert body["calls"]["writes"]["sent"] > 0
    assert body["healthy_after_s"] is not None


def test_an_app_that_fails_is_told(quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Its requests are dropped, so the exit code is 1; the table names the first failure."""
    cluster = Cluster(app=True)
    assert drilled(
        cluster, "db-down", "--seconds", "1", "--yes", "--app-url", "{url}/app") == 1
    assert cluster.fault["seconds"] == 1
    told = capsys.readouterr()
    assert "First failure of app" in told.out
    assert "All controllers well again after" in told.out
    assert "Let the leader c1 lose PostgreSQL for 1 s" in told.err


@pytest.mark.parametrize(("change", "arguments", "code", "words"), [
    ({"size": 2}, ["--yes"], 1, "the cluster has 2 controllers"),
    ({"healthy": False}, ["--yes"], 1, "c3 does not do well"),
    ({"allowed": False}, ["--yes"], 1, "allows no drills"),
    ({}, [], 2, "give --yes"),
    ({}, ["--yes", "--app-url", "file:///etc/passwd"], 2, "must begin with http"),
])
def test_what_keeps_it_from_acting(
    change: dict[str, Any], arguments: list[str], code: int, words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is done without a well cluster of three that allows it, and a yes."""
    cluster = Cluster()
    for name, value in change.items():
        setattr(cluster, name, value)
    assert drilled(cluster, "leader-kill", *arguments) == code
    assert words in capsys.readouterr().err
    assert not cluster.fault
