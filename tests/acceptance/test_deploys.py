"""Updates of a real app under load: no request fails, whoever leads and however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.live import LiveCluster, app_spec, until
from tests.traffic import Traffic

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.beside]

APP = "/api/v1/apps/shop"
HOST = "shop.localhost"
DONE_S = 120.0


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, test_app_image: str, docker_socket: str
) -> Iterator[LiveCluster]:
    """Three controllers, Docker and nginx."""
    with LiveCluster(
        tmp_path_factory.mktemp("deploys"), environ={"DOCKER_HOST": docker_socket}
    ) as live:
        yield live


def spec(image: str, **environment: str) -> dict[str, Any]:
    """The shop; what is in its environment makes another revision."""
    found = app_spec("shop", image)
    found["spec"]["environment"] = [
        {"name": name, "value": value} for name, value in environment.items()]
    found["termination"] = {"terminationGracePeriodSeconds": 5, "drainSeconds": 20}
    found["deploy"] = {"minHealthySeconds": 1, "progressDeadlineSeconds": 15}
    return found


def update(cluster: LiveCluster, document: dict[str, Any]) -> int:
    """The id of the deployment that begins."""
    status, body = cluster.write("PUT", APP, document)
    assert (status, body["status"]) == (200, "updated"), body
    return int(body["deployment"])


def deployment(cluster: LiveCluster, number: int) -> dict[str, Any]:
    """How it stands, by whoever answers."""
    status, body = cluster.write(
        "GET", f"{APP}/deployments/{number}?min_index={number}")
    assert status == 200, body
    return dict(body)


def over(cluster: LiveCluster, number: int) -> dict[str, Any]:
    """The deployment once it has ended."""
    return dict(until(
        f"deployment {number} is over",
        lambda: (found := deployment(cluster, number))["ended_at"] and found, DONE_S, 0.2))


def test_updates_under_load_drop_no_request(
    cluster: LiveCluster, test_app_image: str
) -> None:
    """An update, one whose leader is killed, and one that never gets healthy and goes back."""
    image = test_app_image
    status, body = cluster.write("POST", "/api/v1/apps/register", spec(image, V="1"))
    assert status == 201, body
    status, body = cluster.write("POST", f"{APP}/start", {"replicas": 3})
    assert (status, body["status"]) == (200, "running"), body
    until("the ingress serves", lambda: cluster.through_ingress(HOST) == 200, 30)
    with Traffic(cluster.ingress_port, HOST) as traffic:
        found = over(cluster, update(cluster, spec(image, V="2")))
        assert found["phase"] == "done", found

        second = update(cluster, spec(image, V="3"))
        until("it has begun", lambda: deployment(cluster, second)["steps"], 30)
        leader = str(cluster.leader())
        cluster.kill(leader)
        until("another leader", lambda: cluster.leader() not in (None, leader), 30)
        assert over(cluster, second)["phase"] == "done"
        cluster.boot(leader)
        cluster.wait_ready()

        before = {c["id"] for c in cluster.status("shop")["containers"]}
        failed = over(cluster, update(cluster, spec(image, V="4", SICK="1")))
        assert failed["phase"] == "failed"
        assert "shop-1 of revision" in failed["reason"]
        until("it is back", lambda: cluster.status("shop")["status"] == "running", DONE_S)
        after = cluster.status("shop")
        assert {c["id"] for c in after["containers"]} == before
        assert traffic.total() > 500
    assert traffic.failures() == {}
    assert len(traffic.served_by) >= 9
    status, body = cluster.write("GET", f"{APP}/deployments?consistency=linearizable")
    assert [one["kind"] for one in body["deployments"]] == [
        "rollback", "update", "update", "update"]
    cluster.write("DELETE", f"{APP}?force=true")
