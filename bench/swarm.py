"""A rolling update of twenty replicas beside Docker Swarm's, start-first, on the same daemon.

The daemon becomes a swarm of one for the time of it: it is asked for by name only.
Ours counts a replica when its health check has passed and the ingress sends it requests, and
takes an old one out of the ingress before it stops; Swarm has no health check to wait for, no
port to publish and no registry to ask, which is the fastest that it can be. Both have a bridge
network of their own.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
from docker.types import EndpointSpec, Resources, RestartPolicy, ServiceMode, UpdateConfig

from bench.report import Figure, spread
from cluster.engine.docker import DockerEngine
from tests.images import build_test_app
from tests.live import LiveCluster, app_spec, call, until

REPLICAS = 20
CPU_MILLICORES = 100
MEMORY_MIB = 16
PARALLEL = (5, 1)
DONE_S = 180.0
SETTLE_S = 3.0
POLL_S = 0.1
APP = "/api/v1/apps/peer"
SERVICE = "orchestry-bench"
GATEWAY = "docker_gwbridge"


class Changes:
    """When Docker started and ended containers, by its own event stream."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._stream = client.api.events(
            decode=True, filters={"type": "container", "event": ["start", "die"]})
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.at: list[tuple[float, str]] = []

    def __enter__(self) -> Changes:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stream.close()
        self._thread.join(5)

    def _read(self) -> None:
        try:
            for event in self._stream:
                self.at.append((event["timeNano"] / 1e9, event["Action"]))
        except (OSError, ValueError, AttributeError):
            return  # it was closed

    def last_s(self, since_s: float) -> float:
        """When the last of twenty starts and twenty ends came (Unix time)."""
        def all_there() -> float:
            found = [one for one in self.at if one[0] >= since_s]
            both = [sum(what == one for _, what in found) for one in ("start", "die")]
            return max(at_s for at_s, _ in found) if min(both) >= REPLICAS else 0.0

        return float(until("every container is replaced", all_there, DONE_S))


@contextmanager
def swarm(client: docker.DockerClient) -> Iterator[None]:
    """The daemon as a swarm of one, which it was not before and is not after."""
    if client.info()["Swarm"]["LocalNodeState"] != "inactive":
        raise RuntimeError("this daemon is in a swarm already; the benchmark makes its own")
    bridge = {one.name for one in client.networks.list()} >= {GATEWAY}
    client.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1")
    try:
        network = client.networks.create(SERVICE, driver="bridge", scope="swarm")
        yield
        network.remove()
    finally:
        client.swarm.leave(force=True)
        if not bridge:
            for network in client.networks.list(names=[GATEWAY]):
                network.remove()


@contextmanager
def service(client: docker.DockerClient, image: str, parallel: int) -> Iterator[Any]:
    """Twenty replicas that run."""
    found = client.services.create(
        # By its id, so that no registry is asked.
        client.images.get(image).id, name=SERVICE, env=["VERSION=0"],
        mode=ServiceMode("replicated", REPLICAS), networks=[SERVICE], stop_grace_period=2 * 10**9,
        resources=Resources(cpu_limit=CPU_MILLICORES * 10**6, mem_limit=MEMORY_MIB * 1024**2),
        restart_policy=RestartPolicy("any"), endpoint_spec=EndpointSpec(mode="dnsrr"),
        update_config=UpdateConfig(parallelism=parallel, delay=0, order="start-first"))
    try:
        until("all run", lambda: running(found) == REPLICAS, DONE_S, POLL_S)
        yield found
    finally:
        found.remove()
        until("all are gone", lambda: not client.containers.list(
            filters={"label": f"com.docker.swarm.service.name={SERVICE}"}), DONE_S, POLL_S)


def running(found: Any) -> int:
    """Tasks that run."""
    return sum(one["Status"]["State"] == "running" for one in found.tasks())


def theirs(client: docker.DockerClient, found: Any, turn: int) -> tuple[float, float]:
    """Seconds until Swarm says that it is done, and until Docker has replaced every container."""
    with Changes(client) as changes:
        began_s = time.time()
        found.update(env=[f"VERSION={turn}"])

        def done() -> Any:
            found.reload()
            state = found.attrs.get("UpdateStatus", {})
            fresh = _unix(state.get("StartedAt", "")) >= began_s - 1
            return fresh and state["State"] == "completed" and state

        said_s = _unix(until("Swarm is done", done, DONE_S, POLL_S)["CompletedAt"])
        return said_s - began_s, changes.last_s(began_s) - began_s


def ours(
    cluster: LiveCluster, client: docker.DockerClient, document: dict[str, Any]
) -> tuple[float, float]:
    """The same of the cluster."""
    with Changes(client) as changes:
        began_s = time.time()
        status, body = cluster.write("PUT", APP, document)
        assert (status, body["status"]) == (200, "updated"), body
        url = cluster.url(str(cluster.leader()), f"{APP}/deployments/{body['deployment']}")
        until("it is done", lambda: call("GET", url)[1]["ended_at"], DONE_S, POLL_S)
        found = call("GET", url)[1]
        assert found["phase"] == "done", found
        return _unix(found["ended_at"]) - began_s, changes.last_s(began_s) - began_s


def spec(image: str, version: str, parallel: int) -> dict[str, Any]:
    """Twenty replicas, healthy at the first check; nobody is connected, so that none waits."""
    found = app_spec("peer", image)
    found["spec"]["resources"] = {"cpu": f"{CPU_MILLICORES}m", "memory": f"{MEMORY_MIB}Mi"}
    found["spec"]["environment"] = [{"name": "VERSION", "value": version}]
    found["termination"] = {"terminationGracePeriodSeconds": 2, "drainSeconds": 5}
    found["deploy"] = {"maxSurge": parallel, "minHealthySeconds": 0}
    return found


def measure(folder: Path, rounds: int) -> list[Figure]:
    """Both in turn, for each number of replicas that are replaced at once."""
    client, engine = docker.from_env(), DockerEngine(None, timeout_s=60)
    figures = []
    try:
        image = build_test_app(engine)
        with LiveCluster(folder / "swarm") as cluster, swarm(client):
            cluster.write("POST", "/api/v1/apps/register", spec(image, "0", 1))
            status, body = cluster.write("POST", f"{APP}/start", {"replicas": REPLICAS})
            assert status == 200, body
            for parallel in PARALLEL:
                figures += _compare(cluster, client, image, parallel, rounds)
    finally:
        client.close()
        engine.close()
    return figures


def _compare(
    cluster: LiveCluster, client: docker.DockerClient, image: str, parallel: int, rounds: int
) -> list[Figure]:
    mine, peers = [], []
    with service(client, image, parallel) as found:
        for turn in range(1, rounds + 1):
            time.sleep(SETTLE_S)
            mine.append(ours(cluster, client, spec(image, f"{parallel}-{turn}", parallel)))
            time.sleep(SETTLE_S)
            peers.append(theirs(client, found, turn))
            print(f"   {parallel} at once: ours {mine[-1][0]:.2f} s, Swarm {peers[-1][0]:.2f} s; "
                  f"replaced after {mine[-1][1]:.2f} s and {peers[-1][1]:.2f} s", flush=True)
    figures = []
    for number, what in enumerate(("done by its own word", "every container replaced")):
        one, other = ([pair[number] for pair in pairs] for pairs in (mine, peers))
        ratio = statistics.median(one) / statistics.median(other)
        figures.append(Figure(
            f"update, {parallel} at once / Swarm, {what}", ratio, "x", "<= 1.0", ratio <= 1.0,
            f"ours {spread(one)} s; Swarm {spread(other)} s"))
    return figures


def _unix(text: str) -> float:
    """From a time of Docker (nine digits) or of ours; 0 for none."""
    if not text:
        return 0.0
    return datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00").timestamp()
