"""Faults of the world around a real cluster: a full disk, a Docker daemon that goes away."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.engine.docker import DockerEngine
from tests.docker_daemon import PrivateDaemon
from tests.images import build_test_app
from tests.live import LiveCluster, app_spec, call, until

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]
WAIT_S = 60.0


@contextmanager
def small_disks(folder: Path, nodes: list[str]) -> Iterator[None]:
    """A file system of 8 MiB for each node's data folder."""
    mounted = []
    try:
        for node in nodes:
            (folder / node).mkdir(parents=True)
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(folder / node)],
                check=True)
            mounted.append(folder / node)
        yield
    finally:
        for path in mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(folder: Path) -> Path:
    """Take all the space that is left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError:
            try:
                while True:
                    file.write(b"x" * 64)
            except OSError:
                return ballast


def fault_of(cluster: LiveCluster, node: str) -> str:
    """What the node says about itself."""
    return str(call("GET", cluster.url(node, "/cluster/status"))[1].get("fault") or "")


def writes_until_noticed(cluster: LiveCluster, node: str) -> str:
    """Write until the node has met its full disk; every write has to succeed."""

    grace_s = itertools.cycle((1, 2))

    def attempt() -> str:
        status, body = cluster.write(
            "POST", "/api/v1/apps/disk/stop", {"timeout": next(grace_s)}, timeout_s=WAIT_S)
        assert status == 200, body
        return fault_of(cluster, node)

    return str(until(f"{node} says that its disk is full", attempt, WAIT_S))


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_full_disk(tmp_path: Path, who: str) -> None:
    """The node says so and serves no write, the others go on; with space it takes part again."""
    ids = ["controller-1", "controller-2", "controller-3"]
    with (
        small_disks(tmp_path, ids),
        LiveCluster(tmp_path, engine="fake", ingress=False) as cluster,
    ):
        assert cluster.write(
            "POST", "/api/v1/apps/register", app_spec("disk", "disk:1"))[0] == 201
        leader = cluster.led()
        victim = leader if who == "leader" else next(n for n in ids if n != leader)
        ballast = fill(tmp_path / victim)
        fault = writes_until_noticed(cluster, victim)
        assert "full" in fault
        assert str(tmp_path / victim) in fault
        until("another one leads", lambda: cluster.leader() not in (None, victim), WAIT_S)
        assert cluster.write(
            "POST", "/api/v1/apps/register", app_spec("meanwhile", "x:1"))[0] == 201
        assert victim in cluster.alive()
        ballast.unlink()
        until("the fault is over", lambda: not fault_of(cluster, victim), WAIT_S)
        until("it has caught up", lambda: call("GET", cluster.url(
            victim, f"/api/v1/apps/meanwhile?min_index={cluster.index}"))[0] == 200, WAIT_S)


@pytest.mark.docker
def test_docker_goes_away_and_comes_back(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, docker_socket: str
) -> None:
    """State stays whole, status and health say what is wrong, and the app is back by itself."""
    daemon = PrivateDaemon(tmp_path_factory.mktemp("dockerd"))  # sockets need a short path
    daemon.start()
    try:
        engine = DockerEngine(None, base_url=daemon.url, timeout_s=60)
        image = build_test_app(engine)
        engine.close()
        with LiveCluster(
            tmp_path / "cluster", environ={"DOCKER_HOST": daemon.url, "DOCKER_TIMEOUT": "4"}
        ) as cluster:
            cluster.write("POST", "/api/v1/apps/register", app_spec("shop", image))
            cluster.write("POST", "/api/v1/apps/shop/start", {"replicas": 2, "wait": False})
            until("it runs", lambda: (found := cluster.status("shop"))
                  and found["status"] == "running", WAIT_S)
            leader = cluster.led()
            daemon.freeze()
            problem = until("the status says it", lambda: cluster.status("shop")["problem"],
                            WAIT_S)
            assert problem["code"] == "DOCKER_ERROR"
            until("health says it", lambda: call("GET", cluster.url(leader, "/health"))[1][
                "components"]["docker"]["status"] == "unavailable", WAIT_S)
            status, body = cluster.write("POST", "/api/v1/apps/register", app_spec("new", image))
            assert status == 201, body
            daemon.thaw()
            until("the status is well", lambda: not cluster.status("shop")["problem"], WAIT_S)
            daemon.kill()
            until("the status says it again", lambda: cluster.status("shop")["problem"], WAIT_S)
            assert cluster.status("shop")["replicas"]["desired"] == 2
            daemon.start()
            until("both replicas are back", lambda: (found := cluster.status("shop"))
                  and not found["problem"] and found["replicas"]["healthy"] == 2, WAIT_S)
            cluster.write("DELETE", "/api/v1/apps/shop?force=true")
    finally:
        daemon.stop()
