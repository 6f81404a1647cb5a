"""The main job on the real thing: three controllers, Docker, nginx, and faults."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.engine.base import RunRequest
from cluster.engine.docker import DockerEngine
from tests.live import LiveCluster, app_spec, call, kill_container, until
from tests.live_apps import ask, begin, cluster_id, served
from tests.registry import Registry
from tests.traffic import Traffic

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.beside]

SOON_S = 60.0
"""A busy machine takes long; each test has five minutes."""


def remove(cluster: LiveCluster, name: str) -> Any:
    """Delete at once."""
    return ask(cluster, "DELETE", f"/api/v1/apps/{name}?force=true")


def identities(cluster: LiveCluster, engine: DockerEngine, app: str) -> dict[str, int]:
    """Container id -> start time of the app's running containers, from Docker itself."""
    return {
        c.id: c.started_at_ms for c in engine.observe(cluster_id(cluster))
        if c.app == app and c.phase == "running"
    }


def test_leader_killed_under_traffic(
    cluster: LiveCluster, engine: DockerEngine, test_app_image: str
) -> None:
    """kill -9 of the leader: no request fails, no container restarts, writes go on."""
    shop = begin(cluster, app_spec("shop", test_app_image), 3)
    host = f"{shop}.localhost"
    served(cluster, shop)
    before = identities(cluster, engine, shop)
    with Traffic(cluster.ingress_port, host) as traffic:
        until("all serve", lambda: len(traffic.served_by) == 3, SOON_S)
        leader = cluster.led()
        cluster.kill(leader)
        status, body = cluster.write("POST", "/api/v1/apps/register", app_spec("second", "x:1"))
        assert status == 201, body
        until("another leader", lambda: cluster.leader() not in (None, leader), SOON_S)
        time.sleep(4)  # the new lease begins and every loop has run
        cluster.boot(leader)
        cluster.wait_ready()
        until("requests went on", lambda: traffic.total() > 500, SOON_S)
    assert traffic.failures() == {}
    assert len(traffic.served_by) == 3
    assert identities(cluster, engine, shop) == before
    remove(cluster, "second")
    remove(cluster, shop)


def test_killed_replica_is_replaced(
    cluster: LiveCluster, engine: DockerEngine, test_app_image: str
) -> None:
    """A replica that dies leaves the ingress and comes back healthy; the others stay."""
    app = begin(cluster, app_spec("phoenix", test_app_image), 3)
    before = identities(cluster, engine, app)
    victim = next(iter(before))
    served(cluster, app)
    kill_container(victim)
    until(
        "three healthy replicas without the victim",
        lambda: (found := cluster.status(app)) and found["replicas"]["healthy"] == 3
        and victim not in {c["id"] for c in found["containers"]}, SOON_S,
    )
    after = identities(cluster, engine, app)
    assert victim not in after
    assert set(before) - {victim} == set(after) & set(before)
    remove(cluster, app)


def test_all_controllers_killed_and_started_again(
    cluster: LiveCluster, engine: DockerEngine, test_app_image: str
) -> None:
    """Everything is adopted, nothing is lost, the ingress serves all the time."""
    app = begin(cluster, app_spec("survivor", test_app_image), 3)
    host = f"{app}.localhost"
    served(cluster, app)
    before = identities(cluster, engine, app)
    spec = call("GET", cluster.url(cluster.ids[0], f"/api/v1/apps/{app}/spec"))[1]
    with Traffic(cluster.ingress_port, host, clients=2) as traffic:
        for node in cluster.ids:
            cluster.kill(node)
        for node in cluster.ids:
            cluster.boot(node)
        cluster.wait_ready()
        until("healthy again", lambda: (found := cluster.status(app))
              and found["replicas"]["healthy"] == 3, SOON_S)
        time.sleep(3)
    assert traffic.failures() == {}
    assert identities(cluster, engine, app) == before
    assert call("GET", cluster.url(cluster.ids[1], f"/api/v1/apps/{app}/spec"))[1] == spec
    remove(cluster, app)


def test_register_through_a_follower(cluster: LiveCluster, test_app_image: str) -> None:
    """A follower answers 307 with the leader's address, path and query."""
    leader = cluster.led()
    follower = next(node for node in cluster.ids if node != leader)
    path = "/api/v1/apps/register"
    status, body, headers = call(
        "POST", cluster.url(follower, path), app_spec("moved", test_app_image))
    assert status == 307
    assert body["code"] == "NOT_LEADER"
    assert headers["Location"] == cluster.url(leader, path)
    status, body, _ = call("POST", headers["Location"], app_spec("moved", test_app_image))
    assert status == 201, body
    index = call("GET", cluster.url(leader, "/api/v1/apps/moved"))[2]["X-Orchestry-Index"]
    for node in cluster.ids:
        status, body, _ = call("GET", cluster.url(node, f"/api/v1/apps/moved?min_index={index}"))
        assert (status, body["status"]) == (200, "registered")
    path = "/api/v1/apps/moved?force=true&keep_data=true"
    status, _, headers = call("DELETE", cluster.url(follower, path))
    assert (status, headers["Location"]) == (307, cluster.url(leader, path))
    remove(cluster, "moved")


def test_leader_paused_past_its_lease(
    cluster: LiveCluster, engine: DockerEngine, test_app_image: str
) -> None:
    """A leader that was stopped (SIGSTOP) for longer than its lease does no harm afterwards."""
    app = begin(cluster, app_spec("paused", test_app_image), 2)
    leader = cluster.led()
    os.killpg(cluster.processes[leader].pid, signal.SIGSTOP)
    try:
        others = [node for node in cluster.ids if node != leader]
        new = until("another leader", lambda: next((node for node in others if call(
            "GET", cluster.url(node, "/cluster/is-leader"), timeout_s=2)[0] == 200), None), SOON_S)
        status, body, _ = call(
            "POST", cluster.url(new, f"/api/v1/apps/{app}/scale"), {"replicas": 3}, timeout_s=60)
        assert (status, body["current_replicas"]) == (200, 3)
    finally:
        os.killpg(cluster.processes[leader].pid, signal.SIGCONT)
    cluster.wait_ready()
    before = identities(cluster, engine, app)
    time.sleep(3)
    assert identities(cluster, engine, app) == before
    assert len(before) == 3
    remove(cluster, app)


def test_image_that_does_not_exist(cluster: LiveCluster, test_app_image: str) -> None:
    """The engine's reason reaches the caller; other apps go on; the app can be deleted."""
    fine = begin(cluster, app_spec("fine", test_app_image), 1)
    with Registry() as registry:  # one that answers at once, whatever network there is
        ask(cluster, "POST", "/api/v1/apps/register",
            app_spec("ghost", f"{registry.host}/no-such-image:1"))
        status, body = cluster.write(
            "POST", "/api/v1/apps/ghost/start", {"replicas": 1, "timeout": 30})
    assert (status, body["code"]) == (500, "DOCKER_ERROR")
    assert "no-such-image" in str(body["details"])
    assert cluster.status("ghost")["status"] == "error"
    assert cluster.status(fine)["status"] == "running"
    remove(cluster, "ghost")
    remove(cluster, fine)


def test_scale_out_and_in_with_traffic(cluster: LiveCluster, test_app_image: str) -> None:
    """Replicas come and go without one failed request."""
    app = begin(cluster, app_spec("elastic", test_app_image), 2)
    host = f"{app}.localhost"
    served(cluster, app)
    with Traffic(cluster.ingress_port, host) as traffic:
        status, body = cluster.write("POST", f"/api/v1/apps/{app}/scale", {"replicas": 6})
        assert (status, body["previous_replicas"], body["current_replicas"]) == (200, 2, 6)
        until("most of them serve", lambda: len(traffic.served_by) >= 5, SOON_S)
        status, body = cluster.write("POST", f"/api/v1/apps/{app}/scale", {"replicas": 1})
        assert (status, body["current_replicas"]) == (200, 1)
        time.sleep(0.5)
    assert traffic.failures() == {}
    remove(cluster, app)


def test_stop_and_start_keep_the_number(cluster: LiveCluster, test_app_image: str) -> None:
    """`stop` removes the containers, `start` brings as many back."""
    app = begin(cluster, app_spec("nap", test_app_image), 2)
    status, body = cluster.write("POST", f"/api/v1/apps/{app}/stop")
    assert (status, body["status"]) == (200, "stopped")
    assert cluster.status(app)["replicas"]["current"] == 0
    assert cluster.through_ingress(f"{app}.localhost") == 503
    status, body = cluster.write("POST", f"/api/v1/apps/{app}/start")
    assert (status, body["replicas"], body["status"]) == (200, 2, "running")
    assert remove(cluster, app)["containers_removed"] == 2


def test_nginx_killed(cluster: LiveCluster, test_app_image: str) -> None:
    """A restarted nginx gets its table back without anybody asking."""
    app = begin(cluster, app_spec("web", test_app_image), 2)
    host = f"{app}.localhost"
    served(cluster, app)
    os.killpg(cluster.nginx.pid, signal.SIGKILL)
    until("nginx is gone", lambda: not cluster.nginx.alive(), SOON_S)
    until("nginx is started again", cluster.nginx.ensure, SOON_S)
    until("the ingress serves again", lambda: cluster.through_ingress(host) == 200, SOON_S)
    assert cluster.through_ingress("nobody.localhost") == 404
    remove(cluster, app)


def test_most_replicas_sick_at_once(
    cluster: LiveCluster, engine: DockerEngine, test_app_image: str
) -> None:
    """Nothing is killed, an event says why, and the replicas stay the same."""
    spec = app_spec("herd", test_app_image)
    spec["healthCheck"]["failureThreshold"] = 8  # all of them are told before one has failed it
    app = begin(cluster, spec, 3)
    before = identities(cluster, engine, app)
    for container in cluster.status(app)["containers"]:
        assert call("GET", f"http://{container['ip']}:8080/sick")[0] == 200
    events = until("an event", lambda: [
        e for e in call("GET", cluster.url(
            cluster.ids[0], f"/api/v1/apps/{app}/events?type=health"))[1]["events"]
        if "nothing is killed" in e["message"]], SOON_S)
    assert events[0]["details"]["replicas"] == 3
    time.sleep(4)
    assert identities(cluster, engine, app) == before
    remove(cluster, app)


def test_one_sick_replica_is_replaced(
    cluster: LiveCluster, engine: DockerEngine, test_app_image: str
) -> None:
    """An unhealthy replica leaves the ingress and is replaced; the others stay."""
    app = begin(cluster, app_spec("patient", test_app_image), 3)
    before = identities(cluster, engine, app)
    sick = cluster.status(app)["containers"][0]
    assert call("GET", f"http://{sick['ip']}:8080/sick")[0] == 200
    until("replaced", lambda: (found := cluster.status(app))
          and found["replicas"]["healthy"] == 3
          and sick["id"] not in {c["id"] for c in found["containers"]}, SOON_S)
    after = identities(cluster, engine, app)
    assert len(set(before) & set(after)) == 2
    remove(cluster, app)


def test_foreign_containers_are_left_alone(
    cluster: LiveCluster, engine: DockerEngine, test_app_image: str, tmp_path: Path
) -> None:
    """A container of another cluster on the same daemon lives through everything."""
    other = "f" * 32
    stranger = engine.run(RunRequest(
        cluster_id=other, app="shop", slot=1, revision=1, epoch=1, image=test_app_image,
        memory_bytes=16 * 1024**2))
    try:
        app = begin(cluster, app_spec("shop", test_app_image), 2)
        remove(cluster, app)
        time.sleep(1)
        assert [c.id for c in engine.observe(other)] == [stranger.id]
    finally:
        engine.purge(other)
