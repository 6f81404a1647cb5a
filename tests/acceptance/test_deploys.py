"""Updates of a real app under load: no request fails, whoever leads and however it ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.live import LiveCluster, app_spec, until
from tests.live_apps import (
    ask,
    begin,
    deployment,
    ended,
    environment,
    killed_leader,
    served,
    update,
)
from tests.traffic import Traffic

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.beside]

APP = "/api/v1/apps/shop"
HOST = "shop.localhost"
DONE_S = 120.0


def spec(image: str, **variables: str) -> dict[str, Any]:
    """The shop; what is in its environment makes another revision."""
    found = environment(app_spec("shop", image), **variables)
    found["termination"] = {"terminationGracePeriodSeconds": 5, "drainSeconds": 20}
    found["deploy"] = {"minHealthySeconds": 1, "progressDeadlineSeconds": 90}
    return found


def there(cluster: LiveCluster) -> set[str]:
    """Ids of the shop's containers."""
    return {one["id"] for one in cluster.status("shop")["containers"]}


def test_updates_under_load_drop_no_request(
    cluster: LiveCluster, test_app_image: str
) -> None:
    """An update, one whose leader is killed, and one that never gets healthy and goes back."""
    image = test_app_image
    served(cluster, begin(cluster, spec(image, V="1"), 3))
    with Traffic(cluster.ingress_port, HOST) as traffic:
        found = ended(cluster, update(cluster, spec(image, V="2")))
        assert found["phase"] == "done", found

        second = update(cluster, spec(image, V="3"))
        until("it has begun", lambda: deployment(cluster, second)["steps"], DONE_S)
        leader = killed_leader(cluster)
        assert ended(cluster, second)["phase"] == "done"
        cluster.boot(leader)
        cluster.wait_ready()

        before = until("only the new ones", lambda: (
            len(found := there(cluster)) == 3 and found), DONE_S)
        sick = spec(image, V="4", SICK="1")
        sick["deploy"]["progressDeadlineSeconds"] = 15
        failed = ended(cluster, update(cluster, sick))
        assert failed["phase"] == "failed"
        assert "shop-1 of revision" in failed["reason"]
        until("it is back", lambda: cluster.status("shop")["status"] == "running", DONE_S)
        assert before <= there(cluster)
        until("what it had begun is gone", lambda: there(cluster) == before, DONE_S)
        until("requests went on", lambda: traffic.total() > 500, DONE_S)
    assert traffic.failures() == {}
    assert len(traffic.served_by) >= 9
    body = ask(cluster, "GET", f"{APP}/deployments?consistency=linearizable")
    assert [one["kind"] for one in body["deployments"]] == [
        "rollback", "update", "update", "update"]
    cluster.write("DELETE", f"{APP}?force=true")
