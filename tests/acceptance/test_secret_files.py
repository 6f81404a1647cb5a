"""Secrets as files in a real cluster: there at once, renewed, replaced, and nowhere to be seen."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import docker
import pytest

from cluster.engine.docker_format import EXIT_CODE_CUT_OFF
from tests.live import LiveCluster, app_spec, call, until
from tests.live_apps import ask, begin, cluster_id, environment

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.beside]

WAIT_S = 90.0
PLAIN = "pa55-never-to-be-seen"


@pytest.fixture
def cluster(
    tmp_path_factory: pytest.TempPathFactory, test_app_image: str
) -> Iterator[LiveCluster]:
    """Three controllers without an ingress, with a key for secrets."""
    with LiveCluster(tmp_path_factory.mktemp("cluster"), ingress=False, environ={
        "ORCHESTRY_SECRETS_KEY": "ab" * 32, "ORCHESTRY_LOG_LEVEL": "debug",
    }) as live:
        yield live


def label(cluster: LiveCluster) -> str:
    """What all containers of the cluster have; other tests have theirs on the same daemon."""
    return f"orchestry.cluster={cluster_id(cluster)}"


def seen(client: docker.APIClient, cluster: LiveCluster) -> dict[str, str]:
    """Container id -> what the file had when its process began; "" while it does not answer."""
    found = {}
    for one in client.containers(filters={"label": [label(cluster), "orchestry.app=shop"]}):
        (network,) = one["NetworkSettings"]["Networks"].values()
        try:
            with urllib.request.urlopen(
                f"http://{network['IPAddress']}:8080/needed", timeout=5
            ) as answer:
                found[one["Id"]] = answer.read().decode()
        except OSError:
            found[one["Id"]] = ""
    return found


def test_files_through_changes_restarts_and_a_killed_leader(
    cluster: LiveCluster, client: docker.APIClient, test_app_image: str
) -> None:
    """A replica that began without its file would have ended: none ever did."""
    spec = app_spec("shop", test_app_image, termination={"drainSeconds": 0},
                    deploy={"minHealthySeconds": 0})
    environment(spec, NEEDS="/run/secrets/pw")
    spec["spec"]["secretFiles"] = [{"name": "pw", "key": "shop-db", "field": "password"}]
    ask(cluster, "PUT", "/api/v1/secrets/shop-db", {"values": {"password": PLAIN}})
    begin(cluster, spec, 2)
    first = until("both answer", lambda: list(
        (found := seen(client, cluster)).values()) == [PLAIN] * 2 and found, WAIT_S)

    assert ask(cluster, "PUT", "/api/v1/secrets/shop-db", {"values": {"password": f"{PLAIN}2"}})[
        "apps_restarted"] == 1
    leader = cluster.led()
    cluster.kill(leader)
    until("all have the new value", lambda: list(
        seen(client, cluster).values()) == [f"{PLAIN}2"] * 2, WAIT_S)
    cluster.boot(leader)
    cluster.wait_ready()
    until("it is over", lambda: cluster.status("shop")["status"] == "running", WAIT_S)
    second = seen(client, cluster)
    assert not first.keys() & second.keys()

    events = call("GET", cluster.url(leader, "/api/v1/apps/shop/events"))[1]["events"]
    # One whose leader died in the midst of its start is replaced unused, told with this code.
    assert [event for event in events if "died" in event["message"]
            and not event["message"].endswith(f"exit code {EXIT_CODE_CUT_OFF}")] == []

    by_hand = sorted(second)[0]
    client.restart(by_hand, timeout=0)
    until("it is replaced", lambda: by_hand not in (found := seen(client, cluster))
          and list(found.values()) == [f"{PLAIN}2"] * 2, WAIT_S)

    told = [client.inspect_container(one) for one in seen(client, cluster)]
    told += client.containers(all=True), client.volumes()
    assert PLAIN not in json.dumps(told)
    files = [path for path in cluster.folder.rglob("*") if path.is_file()]
    assert [path for path in files if PLAIN.encode() in path.read_bytes()] == []
    assert ask(cluster, "DELETE", "/api/v1/apps/shop?force=true")["volumes_removed"] == 0
    ours = client.containers(all=True, filters={"label": label(cluster)})
    assert [one["Names"] for one in ours] == []
