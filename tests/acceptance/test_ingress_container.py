"""The ingress as a container: real Docker, an image from a base with nginx in it."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.engine.base import RunRequest
from cluster.engine.docker import DockerEngine
from cluster.engine.docker_ingress import DockerIngressRunner
from cluster.ingress import image
from cluster.ingress.base import IngressError, Peer
from cluster.ingress.client import NginxIngress
from cluster.ingress.container import ContainerNginx
from cluster.ingress.local import APT_PACKAGES
from tests.ingress_parts import ask, free_port, one_route, raw, table, until

pytestmark = [pytest.mark.acceptance, pytest.mark.nginx, pytest.mark.docker, pytest.mark.beside]

BASE = "orchestry-ingress-base:bookworm"
BASE_TIMEOUT_S = 240


@pytest.fixture(scope="module")
def base(docker_socket: str) -> str:
    """Debian with nginx, made without a registry; kept for the next run."""
    engine = DockerEngine(base_url=docker_socket)
    try:
        if engine.image(BASE) is None:
            make = subprocess.Popen(
                ["mmdebstrap", "--variant=apt", f"--include={','.join(APT_PACKAGES)}",
                 "bookworm", "-"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            with make:
                subprocess.run(["docker", "-H", docker_socket, "import", "-", BASE],
                               stdin=make.stdout, stdout=subprocess.DEVNULL, check=True,
                               timeout=BASE_TIMEOUT_S)
            assert make.returncode == 0
    finally:
        engine.close()
    return BASE


@pytest.fixture
def cluster_id(engine: DockerEngine) -> Iterator[str]:
    """A cluster of its own; nothing of it stays."""
    made = uuid.uuid4().hex[:12]
    yield made
    engine.purge(made)


@pytest.fixture
def nginx(
    engine: DockerEngine, cluster_id: str, base: str, docker_socket: str, tmp_path: Path
) -> Iterator[ContainerNginx]:
    """A started container."""
    runner = DockerIngressRunner(engine, cluster_id, base_url=docker_socket, timeout_s=30)
    made = ContainerNginx(runner, tmp_path, name=f"ingress.{cluster_id}", port=free_port(),
                          admin_port=free_port(), base=base)
    try:
        made.start()
        yield made
    finally:
        made.stop(grace_s=1)
        runner.close()


def _http_port(nginx: ContainerNginx) -> int:
    return nginx._ports[image.HTTP_PORT][1]


def test_it_serves_the_replicas_of_its_network(
    nginx: ContainerNginx, engine: DockerEngine, cluster_id: str, test_app_image: str
) -> None:
    """A replica with no published port answers through the ingress."""
    replica = engine.run(RunRequest(cluster_id, "shop", 0, 1, 1, test_app_image,
                                    memory_bytes=32 * 1024**2))
    try:
        ingress = NginxIngress("c", nginx.endpoint)
        ingress.push(table(1, one_route(Peer(replica.id, replica.ip, 8080))))
        until(lambda: ask(_http_port(nginx), "shop.localhost", "/health").status == 200,
              "the replica answers")
        assert ask(_http_port(nginx), "other.localhost").status == 404
        assert len(ingress.stats().peers) == 1
        assert [c.id for c in engine.observe(cluster_id)] == [replica.id]
    finally:
        engine.stop(replica.id, grace_s=0)


def test_a_push_needs_the_token(nginx: ContainerNginx) -> None:
    """Containers of the network reach the admin port, and may not set routes."""
    port = int(nginx.endpoint.rpartition(":")[2])
    for header in (b"", b"Authorization: Bearer 0\r\n", b"Authorization: Bearer \r\n"):
        answer = raw(port, b"GET /state HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                           + header + b"\r\n")
        assert b" 401 " in answer.splitlines()[0]
        assert b'"UNAUTHORIZED"' in answer
    with pytest.raises(IngressError, match="Authentication required"):
        NginxIngress("c", f"http://127.0.0.1:{port}").state()


def test_it_is_taken_over_and_started_again(
    nginx: ContainerNginx, docker_socket: str
) -> None:
    """A second start finds it; a killed container comes back empty."""
    before = NginxIngress("c", nginx.endpoint).push(table(1))
    nginx.start()
    assert NginxIngress("c", nginx.endpoint).state() == before
    assert not nginx.ensure()
    subprocess.run(["docker", "-H", docker_socket, "kill", nginx.name], check=True,
                   stdout=subprocess.DEVNULL)
    until(nginx.ensure, "it is started again")
    assert NginxIngress("c", nginx.endpoint).state().boot_id != before.boot_id


def test_a_foreign_container_is_left_alone(
    nginx: ContainerNginx, engine: DockerEngine, docker_socket: str, tmp_path: Path
) -> None:
    """A container of that name which is not ours is named, not replaced."""
    other = DockerIngressRunner(engine, "othercluster", base_url=docker_socket)
    try:
        intruder = ContainerNginx(other, tmp_path, name=nginx.name, port=free_port(),
                                  admin_port=free_port(), base=BASE)
        with pytest.raises(IngressError, match="is not this cluster's ingress"):
            intruder.start()
        assert nginx.alive()
    finally:
        other.close()
        engine.purge("othercluster")
