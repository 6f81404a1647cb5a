"""The seed's snippets about the cluster, against three real controllers and one alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.seeds import differences, seed
from tests.live import LiveCluster, call, until

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

REGISTER = "/api/v1/apps/register"


def test_three_controllers_and_what_is_left_of_them(tmp_path: Path) -> None:
    """With a leader, from a follower, and after the other two were killed."""
    with LiveCluster(tmp_path, engine="fake", ingress=False) as cluster:
        leader = cluster.led()
        follower = next(node for node in cluster.ids if node != leader)
        for node in (leader, follower):
            for name, path in (
                ("cluster.status", "/cluster/status"), ("cluster.leader", "/cluster/leader"),
                ("cluster.health", "/cluster/health"),
            ):
                status, body, _ = call("GET", cluster.url(node, path))
                assert (status, differences(name, body)) == (200, []), (node, path)
        body = call("GET", cluster.url(leader, "/cluster/status"))[1]
        assert len(body["nodes"]) == body["cluster_size"] == 3
        assert {node["state"] for node in body["nodes"]} == {"leader", "follower"}

        status, body, headers = call("POST", cluster.url(follower, REGISTER), {})
        assert (status, differences("redirect", body)) == (307, [])
        assert headers["Location"] == cluster.url(leader, REGISTER)
        assert body["error"] == f"Request must be sent to leader node: {cluster.url(leader)}"
        assert body["code"] == seed("redirect")["code"]

        for node in cluster.ids:
            if node != follower:
                cluster.kill(node)
        until("the survivor knows that nobody leads", lambda: call(
            "GET", cluster.url(follower, "/cluster/leader"))[0] == 503, 60)
        body = call("GET", cluster.url(follower, "/cluster/leader"))[1]
        assert (body["code"], differences("error", body, null=frozenset({"details"}))) == (
            "NO_LEADER", [])
        status, body, _ = call("GET", cluster.url(follower, "/cluster/health"))
        assert (status, differences("cluster.health.degraded", body)) == (503, [])
        wanted = seed("cluster.health.degraded")
        for key in ("status", "clustering", "is_leader", "leader_id", "cluster_ready"):
            assert body[key] == wanted[key]
        status, body, _ = call("GET", cluster.url(follower, "/cluster/status"))
        assert (status, body["leader_id"], body["lease"]) == (200, None, None)
        status, body, headers = call("POST", cluster.url(follower, REGISTER), {})
        assert (status, differences("no_leader", body)) == (503, [])
        assert {**body, "timestamp": "", "details": None} == {
            **seed("no_leader"), "timestamp": "", "details": None}
        assert "Retry-After" in headers


def test_one_controller_alone(tmp_path: Path) -> None:
    """It says that there is no cluster, with the same keys."""
    with LiveCluster(tmp_path, size=1, engine="fake", ingress=False) as cluster:
        status, body, _ = call("GET", cluster.url(cluster.ids[0], "/cluster/health"))
        assert (status, differences("cluster.health", body)) == (200, [])
        assert body["clustering"] == "disabled"
