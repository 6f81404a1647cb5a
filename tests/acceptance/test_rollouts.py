"""Update after update under a steady load, and one that crashes: no request fails.

    make rollouts UPDATES=20 RATE=500

What counts as failed is said in `tests/steady.py`.
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster.engine.docker import DockerEngine
from tests.live import LiveCluster, app_spec, until
from tests.live_apps import begin, deployment, ended, environment, killed_leader, served, update
from tests.steady import Steady, Told

UPDATES = int(os.environ.get("UPDATES", "3"))
RATE = float(os.environ.get("RATE", "200"))
DONE_S = 180.0
pytestmark = [
    pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.long,
    pytest.mark.timeout(300 + 180 * UPDATES)]

APP = "/api/v1/apps/shop"
HOST = "shop.localhost"
REPLICAS = 10
FEWER = 7
DRAIN_S = 3
DEADLINE_S = 60
LOOK_S = 0.1

Meanwhile = Callable[[int], None]
"""What happens in the middle of the deployment of this id."""


@pytest.fixture(scope="module")
def cluster(cluster: LiveCluster, test_app_image: str) -> LiveCluster:
    """Ten replicas serve."""
    served(cluster, begin(cluster, spec(test_app_image), REPLICAS))
    return cluster


@pytest.fixture(scope="module")
def crashing_image(test_app_image: str, engine: DockerEngine) -> Iterator[str]:
    """The same app in an image whose containers end at once."""
    tag = "orchestry-test-app:crashing"
    engine.build_image(tag, {"Dockerfile": f"FROM {test_app_image}\nENV EXIT_CODE=3\n".encode()})
    yield tag
    found = engine.image(tag)
    if found is not None:
        engine.remove_image(found.id)


def spec(image: str, version: str = "") -> dict[str, Any]:
    """The shop; another version is another template."""
    found = environment(app_spec("shop", image), VERSION=version)
    found["termination"] = {"terminationGracePeriodSeconds": 5, "drainSeconds": DRAIN_S}
    found["deploy"] = {
        "maxSurge": 3, "minHealthySeconds": 1, "progressDeadlineSeconds": DEADLINE_S}
    return found


def said(found: dict[str, Any], word: str) -> int:
    """How many of its steps say so."""
    return sum(word in one["message"] for one in found["steps"])


POINTS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "the first ones start": lambda found: said(found, "starts") > 0,
    "the first old one leaves": lambda found: said(found, "leaves") > 0,
    "half of them are replaced": lambda found: found["available"] >= REPLICAS // 2,
    "the last ones start": lambda found: said(found, "starts") >= REPLICAS,
    "the last old one leaves": lambda found: said(found, "leaves") >= REPLICAS,
}


def reach(cluster: LiveCluster, number: int, point: str) -> None:
    """Wait until the deployment is there; the last point of all may pass unseen."""
    until(f"deployment {number}: {point}",
          lambda: POINTS[point](found := deployment(cluster, number)) or found["ended_at"],
          DONE_S, LOOK_S)


def updates(
    cluster: LiveCluster, image: str, what: str, meanwhile: Meanwhile,
    settle: Callable[[], None] = lambda: None,
) -> Told:
    """So many updates in a row under load, each of which has to end well."""
    took_s = []
    with Steady(cluster.ingress_port, HOST, rate_per_s=RATE) as steady:
        for turn in range(UPDATES):
            began_s = time.monotonic()
            number = update(cluster, spec(image, f"{what} {turn}"))
            meanwhile(number)
            found = ended(cluster, number, within_s=DONE_S, gap_s=LOOK_S)
            assert found["phase"] == "done", found
            took_s.append(time.monotonic() - began_s)
            print(f"\n  {what}, update {turn + 1}: {took_s[-1]:.1f} s, "
                  f"{steady.told.requests['ok']} requests answered so far",
                  end="", flush=True)
            settle()
    told = steady.told
    took_s.sort()
    print(f"\n{what}: {UPDATES} updates of {REPLICAS} replicas at {RATE:.0f} requests/s, "
          f"median {took_s[len(took_s) // 2]:.1f} s, longest {took_s[-1]:.1f} s; {told.line()}; "
          f"failed: {told.failures(DRAIN_S) or 0}")
    return told


def judge(cluster: LiveCluster, told: Told) -> None:
    """Nothing failed, and exactly the wanted replicas of one revision are left."""
    assert told.failures(DRAIN_S) == {}
    assert told.requests["ok"] == told.due
    assert len(told.served_s) >= FEWER * (UPDATES + 1)
    assert len(told.closed) >= UPDATES
    found = cluster.status("shop")
    assert found["replicas"]["current"] == found["replicas"]["desired"] == len(
        {one["slot"] for one in found["containers"]})
    assert len({one["revision"] for one in found["containers"]}) == 1
    assert {one["health"] for one in found["containers"]} == {"healthy"}


def test_updates_fail_no_request(cluster: LiveCluster, test_app_image: str) -> None:
    """One update after the other."""
    judge(cluster, updates(cluster, test_app_image, "updates", lambda number: None))


def test_updates_whose_leader_is_killed_fail_no_request(
    cluster: LiveCluster, test_app_image: str
) -> None:
    """kill -9 at one point after the other, and a random moment later; the next leader ends it."""
    points = itertools.cycle(POINTS)

    def kill(number: int) -> None:
        point = next(points)
        reach(cluster, number, point)
        time.sleep(random.uniform(0, 0.5))
        leader = killed_leader(cluster)
        print(f"\n  {leader} was killed: {point}", end="")
        cluster.boot(leader)

    judge(cluster, updates(
        cluster, test_app_image, "updates with a killed leader", kill, cluster.wait_ready))


def test_updates_with_scale_in_beside_fail_no_request(
    cluster: LiveCluster, test_app_image: str
) -> None:
    """Three replicas are taken away in the middle of each update, and come back after it."""
    def scale(replicas: int, *, wait: bool) -> None:
        status, body = cluster.write(
            "POST", f"{APP}/scale", {"replicas": replicas, "wait": wait})
        assert status == 200, body

    def scale_in(number: int) -> None:
        reach(cluster, number, "the first old one leaves")
        scale(FEWER, wait=False)

    judge(cluster, updates(
        cluster, test_app_image, "updates with scale-in", scale_in,
        lambda: scale(REPLICAS, wait=True)))


class Healthy:
    """How many of some replicas are healthy, looked at again and again."""

    def __init__(self, cluster: LiveCluster, ids: set[str]) -> None:
        self._cluster, self._ids = cluster, ids
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seen: list[int] = []

    def __enter__(self) -> Healthy:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _look(self) -> None:
        while not self._stop.wait(LOOK_S):
            found = self._cluster.status("shop")
            self.seen.append(sum(
                one["id"] in self._ids and one["health"] == "healthy"
                for one in found["containers"]))


def test_an_image_that_crashes_is_rolled_back_and_fails_no_request(
    cluster: LiveCluster, test_app_image: str, crashing_image: str
) -> None:
    """The old replicas are all there and healthy all the time; it goes back before its deadline."""
    before = {one["id"] for one in cluster.status("shop")["containers"]}
    assert len(before) == REPLICAS
    with (
        Steady(cluster.ingress_port, HOST, rate_per_s=RATE) as steady,
        Healthy(cluster, before) as healthy,
    ):
        time.sleep(1)
        began_s = time.monotonic()
        number = update(cluster, spec(crashing_image))
        failed = ended(cluster, number, within_s=DONE_S, gap_s=LOOK_S)
        failed_s = time.monotonic() - began_s
        until("it is back", lambda: cluster.status("shop")["deployment"] is None, DONE_S, LOOK_S)
        back_s = time.monotonic() - began_s
        time.sleep(1)
    assert failed["phase"] == "failed", failed
    assert failed_s < DEADLINE_S
    after = cluster.status("shop")
    assert (after["status"], {one["id"] for one in after["containers"]}) == ("running", before)
    print(f"\na crashing image: given up after {failed_s:.1f} s of {DEADLINE_S}, back after "
          f"{back_s:.1f} s ({failed['reason']}); at least {min(healthy.seen)} of {REPLICAS} "
          f"replicas healthy in {len(healthy.seen)} looks; {steady.told.line()}; "
          f"failed: {steady.told.failures(DRAIN_S) or 0}")
    assert min(healthy.seen) == REPLICAS
    assert steady.told.failures(DRAIN_S) == {}
