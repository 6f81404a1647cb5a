"""Containers: from one to twenty replicas, and a killed replica, beside bare Docker calls."""

from __future__ import annotations

import statistics
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import docker

from bench.report import Figure, spread
from cluster.engine.docker import DockerEngine
from cluster.ingress.client import NginxIngress
from tests.images import build_test_app
from tests.live import LiveCluster, app_spec, call, kill_container, until

REPLICAS = 20
PARALLEL = 20


def bare(client: docker.DockerClient, image: str) -> float:
    """Seconds for 20 parallel `create + start` calls on the same daemon, nothing else."""
    api = client.api
    network = client.networks.create(f"orchestry-bench-{time.time_ns()}", driver="bridge")

    def one(_: int) -> str:
        made = api.create_container(
            image, host_config=api.create_host_config(network_mode=network.id))
        api.start(made["Id"])
        return str(made["Id"])

    began_s = time.monotonic()
    with ThreadPoolExecutor(PARALLEL) as pool:
        ids = list(pool.map(one, range(REPLICAS)))
    took_s = time.monotonic() - began_s
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(lambda i: api.remove_container(i, force=True), ids))
    network.remove()
    return took_s


def _answers(port: int, host: str) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/id", headers={"Host": host})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return str(answer.read().decode())


@contextmanager
def app(cluster: LiveCluster, image: str, name: str, replicas: int) -> Iterator[str]:
    """An app for one trial."""
    cluster.write("POST", "/api/v1/apps/register", app_spec(name, image))
    status, body = cluster.write("POST", f"/api/v1/apps/{name}/start", {"replicas": replicas})
    assert status == 200, body
    try:
        yield name
    finally:
        cluster.write("DELETE", f"/api/v1/apps/{name}?force=true")


def scale(cluster: LiveCluster, image: str, trial: int) -> float:
    """Seconds from the scale request to the twentieth replica's first answer at the ingress."""
    with app(cluster, image, f"scale{trial}", 1) as name:
        host = f"{name}.localhost"
        until("the ingress serves", lambda: cluster.through_ingress(host) == 200, 10)
        began_s = time.monotonic()
        status, body = cluster.write(
            "POST", f"/api/v1/apps/{name}/scale", {"replicas": REPLICAS, "wait": False})
        assert status == 200, body
        seen: set[str] = set()
        while len(seen) < REPLICAS and time.monotonic() < began_s + 60:
            seen.add(_answers(cluster.ingress_port, host))
        assert len(seen) == REPLICAS, f"{len(seen)} replicas answered"
        return time.monotonic() - began_s


def killed(cluster: LiveCluster, image: str, trial: int) -> tuple[float, float]:
    """Seconds until a killed replica is out of the ingress, and until it is replaced, healthy."""
    with app(cluster, image, f"kill{trial}", 3) as name:
        host = f"{name}.localhost"
        until("the ingress serves", lambda: cluster.through_ingress(host) == 200, 10)
        found = cluster.status(name)
        victim = found["containers"][trial % 3]["id"]
        leader = cluster.leader()
        assert leader is not None
        ingress = NginxIngress("bench", cluster.nginx.endpoint)
        held = ingress.state().version
        began_s = time.monotonic()
        kill_container(victim)
        out_s = back_s = 0.0
        while (not out_s or not back_s) and time.monotonic() < began_s + 30:
            # Nothing else changes: the next table is the one without the dead replica.
            if not out_s and ingress.state().version > held:
                out_s = time.monotonic() - began_s
            body = call("GET", cluster.url(leader, f"/api/v1/apps/{name}"))[1]
            fresh = victim not in {c["id"] for c in body["containers"]}
            if out_s and not back_s and fresh and body["replicas"]["healthy"] == 3:
                back_s = time.monotonic() - began_s
            time.sleep(0.005)
        assert out_s, "the killed replica stayed in the ingress"
        assert back_s, "the killed replica was not replaced"
        return out_s, back_s


def measure(folder: Path, trials: int) -> list[Figure]:
    """Bare calls and the cluster in turn, on one daemon."""
    client = docker.from_env()
    engine = DockerEngine(None, timeout_s=60)
    image = build_test_app(engine)
    try:
        with LiveCluster(folder / "containers") as cluster:
            base, mine, outs, backs = [], [], [], []
            for trial in range(trials):
                base.append(bare(client, image))
                mine.append(scale(cluster, image, trial))
                time.sleep(1)
            for trial in range(trials):
                out_s, back_s = killed(cluster, image, trial)
                outs.append(out_s)
                backs.append(back_s)
    finally:
        client.close()
        engine.close()
    ratio = statistics.median(mine) / statistics.median(base)
    out, back = statistics.median(outs), statistics.median(backs)
    return [
        Figure("1 -> 20 replicas / bare", ratio, "x", "<= 1.3", ratio <= 1.3,
               f"ours {spread(mine)} s; bare {spread(base)} s"),
        Figure("killed replica out of ingress", out, "s", "<= 0.2", out <= 0.2, spread(outs)),
        Figure("killed replica replaced", back, "s", "<= 1.5", back <= 1.5, spread(backs)),
    ]


