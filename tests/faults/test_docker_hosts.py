"""Controllers on hosts of their own that share one real Docker: cut off, paused, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.engine.base import Container
from cluster.engine.docker import DockerEngine
from tests.faults.clusters import Hosts, HostsCluster
from tests.live import ON_HOST, LiveCluster, app_spec, call, until

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.beside]

DONE_S = 120.0


class DockerHostsCluster(HostsCluster):
    """The product as it is, on three hosts with one Docker daemon, whose socket is a file."""

    def __init__(self, folder: Path, hosts: Hosts, image: str) -> None:
        super().__init__(folder, hosts)
        self.engine = "docker"
        self.image = image

    def command(self, node: str) -> list[str]:
        """How one controller is started on its host."""
        return [*ON_HOST, self.hosts.name(self.host_of[node]), *LiveCluster.command(self, node)]

    def cluster_id(self) -> str:
        """By the word of one controller."""
        return str(call("GET", self.url(self.alive()[0], "/cluster/status"))[1]["cluster_id"])


def run(line: str) -> None:
    """A command that has to succeed."""
    subprocess.run(line.split(), check=True, capture_output=True, timeout=60)


@contextmanager
def routes_to_containers(hosts: Hosts, cluster_id: str) -> Iterator[None]:
    """Let the hosts reach containers: by default Docker lets nobody but its own machine."""
    bridge = f"orf{hosts.number}"
    network = f"orchestry-{cluster_id[:8]}"
    run(f"docker network create --label orchestry.cluster={cluster_id} "
        f"-o com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected {network}")
    rules = [f"FORWARD {way} {bridge} -j ACCEPT" for way in ("-i", "-o")]
    for rule in rules:
        run(f"iptables -I {rule}")
    for host in range(1, hosts.count + 1):
        run(f"ip -n {hosts.name(host)} route add default via {hosts.address(254)}")
    try:
        yield
    finally:
        for rule in rules:
            run(f"iptables -D {rule}")


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, test_app_image: str, docker_socket: str
) -> Iterator[DockerHostsCluster]:
    """Three hosts, with an app of three replicas."""
    folder = tmp_path_factory.mktemp("docker-hosts")
    with (
        Hosts(3) as hosts,
        DockerHostsCluster(folder, hosts, test_app_image) as running,
        routes_to_containers(hosts, running.cluster_id()),
    ):
        # A replica that is slow among others is not to be replaced.
        spec = app_spec("shop", test_app_image, healthCheck={
            "path": "/health", "periodSeconds": 1, "timeoutSeconds": 10,
            "initialDelaySeconds": 60, "failureThreshold": 10})
        assert running.write("POST", "/api/v1/apps/register", spec)[0] == 201
        status, body = running.write("POST", "/api/v1/apps/shop/start", {"replicas": 3})
        assert (status, body["status"]) == (200, "running"), body
        yield running


def running(engine: DockerEngine, cluster: DockerHostsCluster) -> dict[str, Container]:
    """The containers that run, by id."""
    found = engine.observe(cluster.cluster_id())
    return {one.id: one for one in found if one.phase == "running"}


def whole(cluster: DockerHostsCluster) -> tuple[int, dict[str, Any]]:
    """What all records say; a controller that does not answer in time is asked again."""
    code, report = cluster.verify()
    if not report["complete"]:
        said = {node: cluster.log(node)[-1000:] for node in cluster.ids}
        raise ConnectionError(report["findings"], said)
    return code, report


def assert_one_actor(
    engine: DockerEngine, cluster: DockerHostsCluster, before: dict[str, Container], wanted: int
) -> None:
    """Nothing restarted, each slot once, and the record of all controllers is clean."""
    def as_wanted() -> bool:
        return len(running(engine, cluster)) == wanted

    until(f"{wanted} containers", as_wanted, DONE_S)
    time.sleep(2)
    now = running(engine, cluster)
    assert before.keys() <= now.keys()
    assert sorted(one.slot for one in now.values()) == list(range(1, wanted + 1))
    code, report = until("a whole record", lambda: whole(cluster), DONE_S)
    assert (code, report["clean"]) == (0, True), report
    assert report["containers"] == wanted


def test_a_leader_that_is_cut_off(cluster: DockerHostsCluster, engine: DockerEngine) -> None:
    """The next leader scales; the old one, which still reaches Docker, does nothing."""
    leader, before = cluster.elected(), running(engine, cluster)
    assert len(before) == 3
    others = [node for node in cluster.ids if node != leader]
    with cluster.partition(leader, others):
        cluster.elected(other_than=leader)
        status, body = cluster.write("POST", "/api/v1/apps/shop/scale", {"replicas": 4})
        assert (status, body["current_replicas"]) == (200, 4), body
        time.sleep(2)
    cluster.wait_ready()
    assert_one_actor(engine, cluster, before, 4)


def test_a_leader_that_is_paused(cluster: DockerHostsCluster, engine: DockerEngine) -> None:
    """It goes on after its lease, with a start that it had begun to want, and is fenced."""
    before = running(engine, cluster)
    status, body = cluster.write(
        "POST", "/api/v1/apps/shop/scale", {"replicas": 6, "wait": False})
    assert status == 200, body
    leader = cluster.elected()
    group = cluster.processes[leader].pid
    os.killpg(group, signal.SIGSTOP)
    try:
        new = cluster.elected(other_than=leader)
        until("the next leader has done it", lambda: call(
            "GET", cluster.url(new, "/api/v1/apps/shop"))[1]["replicas"]["healthy"] == 6, DONE_S)
    finally:
        os.killpg(group, signal.SIGCONT)
    cluster.wait_ready()
    assert_one_actor(engine, cluster, before, 6)


def test_all_killed_at_once(cluster: DockerHostsCluster, engine: DockerEngine) -> None:
    """Containers run on, and are adopted."""
    before = running(engine, cluster)
    cluster.kill_all(list(cluster.ids))
    for node in cluster.ids:
        cluster.boot(node)
    cluster.wait_ready()
    until("all is healthy again", lambda: call("GET", cluster.url(
        cluster.elected(), "/api/v1/apps/shop"))[1]["replicas"]["healthy"] == len(before), DONE_S)
    assert_one_actor(engine, cluster, before, len(before))
    assert running(engine, cluster).keys() == before.keys()
