"""Drills: what allows them, whom they hit, and that a repeat does nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from cluster.consensus.local_log import LocalLog
from cluster.consensus.log import PeerStatus, RaftStatus
from cluster.history.history import History, StoreStatus
from cluster.state.commands import BeginEpoch, ChangeMembers
from tests.api.support import Node

THREE = ("one", "two", "three")
UP = PeerStatus(connected=True, last_heard_at_ms=1)


class Cluster:
    """A leader of three, which counts how often it died."""

    def __init__(self, **environ: str) -> None:
        self.node = Node({"ORCHESTRY_DRILL": "on", **environ})
        self.deaths = 0
        self.node.submit(BeginEpoch("one", 1500, "c" * 32))
        self.node.submit(ChangeMembers(0, tuple((name, f"{name}:9000") for name in sorted(THREE))))
        self.client: FlaskClient = create_app(self.node, die=self._die).test_client()

    def _die(self) -> None:
        self.deaths += 1

    def begin(self, fault: str, **more: Any) -> tuple[int, Any]:
        """Ask for a fault of the present leader."""
        body = {"fault": fault, "term": 1, **more}
        answer = self.client.post(
            "/cluster/drill", json=body, headers={"Idempotency-Key": f"key-{fault}"})
        answer.close()
        return answer.status_code, answer.get_json()


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> dict[str, PeerStatus]:
    """What the leader knows of the others."""
    found: dict[str, PeerStatus] = {"two": UP, "three": UP}
    plain = LocalLog.status

    def status(self: LocalLog) -> RaftStatus:
        return replace(plain(self), peers=found)

    monkeypatch.setattr(LocalLog, "status", status)
    return found


def events(cluster: Cluster) -> list[Mapping[str, Any]]:
    """What the log tells of drills."""
    return [dict(event.details) for event in cluster.node.log.state().events
            if event.message.startswith("Drill")]


def test_a_leader_dies_once(peers: dict[str, PeerStatus]) -> None:
    """After the answer is sent; a repeat under the same key kills nobody."""
    cluster = Cluster()
    status, body = cluster.begin("leader-kill")
    assert (status, body["node_id"], body["seconds"], cluster.deaths) == (200, "one", None, 1)
    assert cluster.begin("leader-kill")[0] == 200
    assert cluster.deaths == 1
    assert [event["fault"] for event in events(cluster)] == ["leader-kill"]
    assert cluster.node.cut == []


def test_a_partition_has_its_time(peers: dict[str, PeerStatus]) -> None:
    """The seconds reach the controller, and have bounds."""
    cluster = Cluster()
    assert cluster.begin("partition", seconds=7)[1]["seconds"] == 7
    assert cluster.node.cut == [("partition", 7)]
    for seconds in (0, 61):
        status, body = cluster.begin("db-down", seconds=seconds)
        assert (status, body["details"][0]["field"]) == (400, "seconds")
    assert cluster.begin("earthquake")[1]["details"][0]["field"] == "fault"


def test_a_database_must_be_there(
    peers: dict[str, PeerStatus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without PostgreSQL there is nothing to lose."""
    cluster = Cluster()
    status, body = cluster.begin("db-down")
    assert (status, body["code"]) == (409, "CONFLICT")
    assert "no PostgreSQL" in body["details"]
    monkeypatch.setattr(History, "status", lambda self: StoreStatus(
        "healthy", "", 1.0, "postgresql", 0))
    assert cluster.begin("db-down", seconds=5)[0] == 200
    assert cluster.node.cut == [("db-down", 5)]


def test_what_makes_a_drill_unsafe(peers: dict[str, PeerStatus]) -> None:
    """Not allowed, another leader, too few controllers, one that is down: nothing happens."""
    off = Cluster(ORCHESTRY_DRILL="off")
    status, body = off.begin("leader-kill")
    assert (status, body["code"]) == (409, "CONFLICT")
    assert "ORCHESTRY_DRILL=on" in body["details"]
    assert off.client.post("/cluster/drill/probe").status_code == 409
    cluster = Cluster()
    assert "Leadership changed" in cluster.begin("leader-kill", term=2)[1]["details"]
    peers["two"] = PeerStatus(connected=False, last_heard_at_ms=1)
    assert "two cannot be reached" in cluster.begin("leader-kill")[1]["details"]
    peers["two"] = UP
    members = tuple((name, f"{name}:9000") for name in ("one", "two"))
    cluster.node.submit(ChangeMembers(cluster.node.log.state().members_index, members))
    assert "needs 3 controllers, this cluster has 2" in cluster.begin("partition")[1]["details"]
    assert (cluster.deaths, cluster.node.cut, off.deaths, events(cluster)) == (0, [], 0, [])


def test_a_probe_is_committed_and_leaves_nothing(peers: dict[str, PeerStatus]) -> None:
    """No event; a repeat under its key is the same entry; the limits of requests leave it out."""
    cluster = Cluster(RATE_LIMIT_PER_MINUTE="1")
    before = len(cluster.node.log.state().events)
    found = [cluster.client.post("/cluster/drill/probe", headers={"Idempotency-Key": key})
             for key in ("a", "b", "a")]
    assert [answer.status_code for answer in found] == [200, 200, 200]
    indexes = [answer.get_json()["index"] for answer in found]
    assert indexes[0] == indexes[2] < indexes[1]
    assert len(cluster.node.log.state().events) == before
