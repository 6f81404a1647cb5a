"""Fixtures of the acceptance tests: Docker, and a cluster that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from cluster.ingress.client import NginxIngress
from cluster.ingress.local import LocalNginx
from tests.dev_run import DevRun
from tests.ingress_parts import DEADLINE_S, running_nginx, table
from tests.live import LiveCluster


@pytest.fixture
def client(docker_socket: str) -> Iterator[docker.APIClient]:
    """Docker itself, to look behind the cluster's back."""
    found = docker.APIClient(base_url=docker_socket, version="auto", timeout=30)
    yield found
    found.close()


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, test_app_image: str
) -> Iterator[LiveCluster]:
    """Three controllers, Docker and nginx."""
    with LiveCluster(tmp_path_factory.mktemp("cluster")) as live:
        yield live


@pytest.fixture
def run(tmp_path: Path, docker_socket: str) -> Iterator[DevRun]:
    """`orchestry dev` on a data folder and ports of this test's own; it leaves nothing."""
    found = DevRun(tmp_path, {"DOCKER_HOST": docker_socket})
    yield found
    found.clean_up()


@pytest.fixture
def nginx() -> Iterator[LocalNginx]:
    """An ingress with an empty table."""
    with running_nginx() as running:
        NginxIngress("n", running.endpoint, timeout_s=DEADLINE_S).push(table(0))
        yield running


@pytest.fixture
def ingress(nginx: LocalNginx) -> NginxIngress:
    """The door to `nginx`."""
    return NginxIngress("n", nginx.endpoint, timeout_s=DEADLINE_S)
