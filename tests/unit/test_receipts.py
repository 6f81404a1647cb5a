"""Receipts: what ingresses counted before, during and after a deployment, and what nobody did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from cluster.control.receipts import AFTER_S
from cluster.engine.fake_parts import ImageBehaviour
from cluster.ingress.base import PeerStats
from cluster.ingress.fake import BOUNDS_MS
from cluster.state import commands as c
from cluster.state.model import App, Measured, Receipt, Rollout
from tests.sim.fleet_world import update
from tests.unit.test_reconcile import Leader

QUICK: dict[str, Any] = {"minHealthySeconds": 1}


@dataclass
class Load:
    """A hundred requests a second, one of which fails and one of which is tried twice."""

    leader: Leader = field(default_factory=Leader)
    requests: int = 0
    rate: int = 100

    def __post_init__(self) -> None:
        self.leader.do(
            update("shop", "shop:1", **QUICK), c.StartApp("shop", 2),
            c.SetScaling("shop", '{"mode":"manual"}'))
        self.run(80)

    @property
    def app(self) -> App:
        return self.leader.log.state().apps["shop"]

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds)):
            self.leader.run(1)
            self.requests += self.rate
            share = self.requests // 100
            counts = [0] * (len(BOUNDS_MS) + 1)
            counts[3] = self.requests
            self.leader.ingress.counted = [
                PeerStats("shop", "r1", self.requests, share, 0, 0, tuple(counts), share)]
            self.leader.ingress.refused = {"shop": share}

    def begin(self, image: str = "shop:2") -> None:
        """An update."""
        self.leader.do(update("shop", image, **QUICK))

    def over(self) -> Rollout:
        """The deployment once it is over."""
        for _ in range(60):
            if self.app.rollout is None:
                return self.app.deployments[-1]
            self.run(1)
        raise AssertionError("it is not over")

    def receipt(self) -> Receipt:
        """Of the last deployment."""
        found = self.app.deployments[-1].receipt
        assert found is not None
        return found


def is_as_the_load(found: Measured | None, seconds: tuple[float, float]) -> None:
    """A hundred requests and one that found no replica a second; two of these failed."""
    assert found is not None
    assert seconds[0] <= found.seconds <= seconds[1]
    assert found.requests == pytest.approx(101 * found.seconds, abs=210)
    assert found.failed == pytest.approx(2 * found.seconds, abs=5)
    assert found.retried == pytest.approx(found.seconds, abs=3)
    assert found.p95_ms == pytest.approx(7.8, abs=0.1)


def test_a_deployment_has_its_numbers() -> None:
    """The minute before at its begin, all of it at its end, and the minute after."""
    load = Load()
    load.begin()
    load.run(2)
    assert load.app.rollout is not None
    first = load.app.rollout.receipt
    assert first is not None
    is_as_the_load(first.before, (60, 95))
    assert (first.during, first.after, first.complete) == (None, None, False)
    began_s = load.leader.clock.now_s - 2
    load.over()
    took_s = load.leader.clock.now_s - began_s
    load.run(3)
    is_as_the_load(load.receipt().during, (took_s - 3, took_s + 3))
    assert load.receipt().after is None
    load.run(AFTER_S + 3)
    is_as_the_load(load.receipt().after, (AFTER_S - 20, AFTER_S + 5))
    assert load.receipt().complete
    kept = load.receipt()
    load.run(30)
    assert load.receipt() == kept


def test_another_leader_says_that_it_has_not_seen_it_all() -> None:
    """What the first one wrote stays, its own time is told, and it is not complete."""
    load = Load()
    load.leader.engine.behaviours["broken:1"] = ImageBehaviour(healthy=False)
    load.begin("broken:1")
    load.run(3)
    assert load.app.rollout is not None
    before = load.app.rollout.receipt
    assert before is not None
    for loop in load.leader.parts.driver._loops:
        if loop.name in ("measure", "receipt"):
            loop.reset()
    load.run(2)
    load.leader.do(update("shop", "shop:1"))
    load.over()
    load.run(AFTER_S + 5)
    found = load.app.deployments[-2].receipt
    assert found is not None
    assert found.before == before.before
    assert found.during is not None
    assert not found.complete


def test_an_ingress_that_was_restarted_makes_a_hole() -> None:
    """Nobody knows what it counted last: null, and not 0."""
    load = Load()
    load.begin()
    load.run(2)
    load.leader.ingress.restart()
    load.requests = 0
    load.over()
    load.run(AFTER_S + 5)
    found = load.receipt()
    assert found.before is not None
    assert (found.during, found.complete) == (None, False)
    is_as_the_load(found.after, (AFTER_S - 20, AFTER_S + 5))


def test_an_ingress_that_is_silent_is_not_waited_for() -> None:
    """The end is told without numbers."""
    load = Load()
    load.begin()
    load.over()
    load.leader.ingress.down = True
    load.run(30)
    found = load.receipt()
    assert (found.during, found.after, found.complete) == (None, None, False)


def test_a_deployment_in_which_nothing_was_replaced_has_no_receipt() -> None:
    """It took no time."""
    load = Load()
    load.leader.do(update("shop", "shop:1", **QUICK, autoRollback=False))
    load.run(5)
    assert [one.receipt for one in load.app.deployments] == [None]


def test_a_receipt_of_what_is_forgotten_changes_nothing() -> None:
    """The app or the deployment may be gone by then."""
    load = Load()
    before = load.app
    load.leader.do(c.KeepReceipt("shop", 999, Receipt()), c.KeepReceipt("nobody", 1, Receipt()))
    assert load.app == before
