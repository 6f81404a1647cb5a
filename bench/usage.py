"""What measuring 200 replicas each two seconds costs the leader, in percent of a core."""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from pathlib import Path

import docker

from bench.report import Figure, spread
from cluster.engine.cgroups import Cgroups
from cluster.engine.docker import DockerEngine
from cluster.engine.docker_usage import UsageReader
from tests.images import build_test_app

CONTAINERS = 40
REPLICAS = 200
INTERVAL_S = 2.0


def measure(rounds: int) -> list[Figure]:
    """Forty real containers, read five times over: by files, and by Docker's API."""
    engine = DockerEngine()
    api = docker.from_env().api
    made: list[str] = []
    try:
        image = build_test_app(engine)
        config = api.create_host_config(network_mode="none", mem_limit="16m", nano_cpus=10**8)
        for _ in range(CONTAINERS):
            made.append(str(api.create_container(image, host_config=config)["Id"]))
            api.start(made[-1])
        with tempfile.TemporaryDirectory() as nothing:
            return [
                _cost(UsageReader(engine._api), made, rounds, "through cgroup files", 15.0),
                _cost(UsageReader(engine._api, Cgroups(Path(nothing))), made, rounds,
                      "through Docker's API", None),
            ]
    finally:
        for one in made:
            api.remove_container(one, force=True)
        api.close()
        engine.close()


def _cost(
    reader: UsageReader, made: list[str], rounds: int, how: str, goal: float | None
) -> Figure:
    costs = []
    reader.read(made)
    for _ in range(rounds):
        before_s = _cpu_s()
        for _ in range(REPLICAS // CONTAINERS):
            assert len(reader.read(made)) == CONTAINERS
        costs.append(100 * (_cpu_s() - before_s) / INTERVAL_S)
        time.sleep(0.2)
    reader.close()
    cost = statistics.median(costs)
    return Figure(
        f"measuring {REPLICAS} replicas {how}", cost, "% core",
        f"<= {goal:g}" if goal else "-", goal is None or cost <= goal, spread(costs))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
