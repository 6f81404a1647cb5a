"""Canaries of a real app under load: exact shares, no failed request, and a gate that goes back."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from cluster.ingress.client import NginxIngress
from tests.live import LiveCluster, app_spec, until
from tests.live_apps import begin, deployment, ended, environment, killed_leader, served, update
from tests.traffic import Traffic

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.beside]

APP = "/api/v1/apps/shop"
HOST = "shop.localhost"
DONE_S = 120.0
REPLICAS = 3


@pytest.fixture(scope="module")
def cluster(cluster: LiveCluster, test_app_image: str) -> LiveCluster:
    """It runs the shop."""
    served(cluster, begin(cluster, spec(test_app_image, [], V="1"), REPLICAS))
    return cluster


def spec(image: str, steps: list[Any], **variables: str) -> dict[str, Any]:
    """The shop; what is in its environment makes another revision."""
    found = environment(app_spec("shop", image), **variables)
    found["scaling"] = {"mode": "manual"}
    found["termination"] = {"terminationGracePeriodSeconds": 5, "drainSeconds": 20}
    found["deploy"] = {"minHealthySeconds": 1, "progressDeadlineSeconds": 90}
    if steps:
        found["deploy"] |= {"strategy": "canary", "steps": steps, "gate": {"minRequests": 50}}
    return found


def waits_at(cluster: LiveCluster, number: int, step: int) -> None:
    """Until somebody has to promote the step; the ingress goes by its weight a moment later."""
    until(f"step {step}", lambda: (
        (found := deployment(cluster, number)["canary"]) and found["step"] == step
        and found["waits_for"] == "promotion"), DONE_S, 0.2)


def table_epoch(cluster: LiveCluster) -> int:
    """The epoch of the leader whose table the ingress goes by."""
    return NginxIngress("n", cluster.nginx.endpoint, timeout_s=DONE_S).state().epoch


def _killed_with_its_table(cluster: LiveCluster) -> str:
    """The name of the one that led, when the ingress goes by what another one knows."""
    before = table_epoch(cluster)
    leader = killed_leader(cluster)
    until("the table of the next leader", lambda: table_epoch(cluster) > before, DONE_S)
    return leader


def measured(cluster: LiveCluster, number: int) -> dict[str, Any]:
    """The receipt, once it tells of the time of the deployment."""
    return dict(until("its receipt", lambda: (
        (found := deployment(cluster, number)["receipt"]) and found["during"] and found),
        DONE_S, 0.2))


def by_revision(cluster: LiveCluster, served_by: Counter[str]) -> Counter[int]:
    """Answers by the revision of the containers that gave them, which are all still there."""
    revisions = {one["id"][:12]: one["revision"] for one in cluster.status("shop")["containers"]}
    found: Counter[int] = Counter()
    for name, count in served_by.items():
        found[revisions[name.strip()]] += count
    return found


def asked(traffic: Traffic, more: int) -> None:
    """Until so many more requests were answered."""
    total = traffic.total() + more
    until("requests", lambda: traffic.total() > total, DONE_S)


def test_shares_are_as_asked_for_and_no_request_fails(
    cluster: LiveCluster, test_app_image: str
) -> None:
    """At each weight, by hand, with a leader that is killed on the way; then the rest follows."""
    with Traffic(cluster.ingress_port, HOST) as all_of_it:
        number = update(cluster, spec(
            test_app_image, [{"weight": 10}, {"weight": 40}], V="2"))
        for step, weight in ((1, 10), (2, 40)):
            waits_at(cluster, number, step)
            if step == 1:
                until("the weight is in force", lambda: by_revision(
                    cluster, Counter(all_of_it.served_by))[number], DONE_S, 0.2)
            else:
                leader = _killed_with_its_table(cluster)
            with Traffic(cluster.ingress_port, HOST) as traffic:
                asked(traffic, 2_000)
            counts = by_revision(cluster, traffic.served_by)
            share, total = counts[number] / counts.total(), counts.total()
            spread = math.sqrt(weight / 100 * (1 - weight / 100) / total)
            assert abs(share - weight / 100) < 4 * spread, (share, counts)
            assert traffic.failures() == {}
            status, body = cluster.write("POST", f"{APP}/promote", {})
            assert status == 200, body
        assert ended(cluster, number)["phase"] == "done"
        cluster.boot(leader)
        cluster.wait_ready()
        until("all of the new revision", lambda: {
            one["revision"] for one in cluster.status("shop")["containers"]} == {number}, DONE_S)
        seen = measured(cluster, number)
        assert seen["before"] is not None
        assert not seen["complete"]  # another leader began to count anew
        assert 0 < seen["during"]["requests"] <= all_of_it.total()
        assert seen["during"]["failed"] == 0
    assert all_of_it.failures() == {}
    assert all_of_it.total() > 4_000


def test_a_canary_that_answers_errors_goes_back(
    cluster: LiveCluster, test_app_image: str
) -> None:
    """Its gate sees it within few requests; all old replicas are still there, and serve all."""
    before = {one["id"] for one in cluster.status("shop")["containers"]}
    with Traffic(cluster.ingress_port, HOST) as traffic:
        asked(traffic, 300)
        number = update(cluster, spec(
            test_app_image, [{"weight": 20, "pauseSeconds": 60}], V="3", FAILING="1"))
        so_far = [0]

        def over() -> Any:
            so_far.append(traffic.failures().get("500", 0))
            return deployment(cluster, number)["ended_at"]

        until("it is over", over, DONE_S, 0.2)
        found = deployment(cluster, number)
        assert found["phase"] == "failed"
        assert found["reason"].startswith("gate of step 1: "), found
        until("it is back", lambda: cluster.status("shop")["status"] == "running", DONE_S)
        until("what it had begun is gone", lambda: {
            one["id"] for one in cluster.status("shop")["containers"]} == before, DONE_S)
        failed = traffic.failures()
        asked(traffic, 500)
        assert traffic.failures() == failed
        seen = measured(cluster, number)
        assert seen["before"]["requests"] > 0
        assert seen["before"]["failed"] == 0
        # Those that came before it was over, and of the others what came until it was measured.
        assert so_far[-2] <= seen["during"]["failed"] <= failed["500"]
        assert seen["during"]["failed"] > 0
        assert seen["during"]["p95_ms"] > 0
    assert set(failed) == {"500"}
    # Half the requests it takes to tell, and those of the seconds until it is told.
    assert failed["500"] < 0.2 * traffic.total()
