"""What hangs is set aside: one container, one app, or all that is asked of the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from cluster.control.quarantine import (
    ASIDE_AT_ONCE,
    ASIDE_FIRST_S,
    ASIDE_MAX_S,
    FAULTS,
    IDLE_S,
    TRIAL_MAX_S,
    Quarantine,
)
from cluster.control.vitals import Vitals
from cluster.engine.base import EngineError, container_name
from cluster.engine.docker_hanging import HANGING_MAX, Hanging
from cluster.engine.fake import FakeEngine
from cluster.ingress.fake import FakeIngress
from cluster.state import commands as c
from cluster.state.status import converged
from tests.live import until
from tests.sim.network import SimClock
from tests.unit.test_reconcile import Leader
from tests.unit.test_restarts import begin, live, shop, spec, told

TIMEOUT = EngineError("timeout", "Docker did not answer within 10 s")


def test_what_hangs_is_tried_ever_more_seldom() -> None:
    """Doubling to two minutes; the second time in a row is news; an answer forgives all."""
    clock = SimClock()
    found, waits = Quarantine(clock), []
    for number in range(12):
        assert found.may_begin("stop:a:1")
        found.began("stop:a:1")
        assert found.hung("stop:a:1", "a", TIMEOUT) == (number == 1, False)
        began_s = clock.now_s
        while not found.may_begin("stop:a:1"):
            clock.now_s += 0.5
        waits.append(clock.now_s - began_s)
        assert found.may_begin("stop:a:2")
    assert waits[:3] == [ASIDE_FIRST_S, 2 * ASIDE_FIRST_S, 4 * ASIDE_FIRST_S]
    assert waits[-1] == ASIDE_MAX_S
    assert not found.answered("stop:a:1")
    assert found.hung("stop:a:1", "a", TIMEOUT) == (False, False)
    assert found.reason == ""


def test_few_of_what_hung_are_tried_at_once() -> None:
    """Thirty containers that hang take no more than a few workers, once they are known."""
    clock = SimClock()
    found = Quarantine(clock)
    keys = [f"stop:a:{number}" for number in range(30)]
    for key in keys:
        found.began(key)
        found.hung(key, "a", TIMEOUT)
    clock.now_s += 10
    begun = []
    for key in keys:
        if found.may_begin(key):
            found.began(key)
            begun.append(key)
    assert len(begun) == ASIDE_AT_ONCE
    found.ended(begun[0])
    assert found.may_begin(keys[-1])


def opened() -> tuple[SimClock, Quarantine]:
    """An engine in quarantine."""
    clock = SimClock()
    found, news = Quarantine(clock), []
    for number in range(FAULTS):
        news.append(found.hung(f"start:app{number % 2}:{number}", f"app{number % 2}", TIMEOUT)[1])
    assert news == [False] * (FAULTS - 1) + [True]
    assert found.reason
    return clock, found


def test_an_engine_that_ends_nothing_gets_one_trial_at_a_time() -> None:
    """Trials come ever more seldom, at most 30 s apart; one that is answered ends it."""
    clock, found = opened()
    assert not found.may_begin("start:other:1")
    for _ in range(8):
        clock.now_s += TRIAL_MAX_S
        assert found.may_begin("start:other:1")
        found.began("start:other:1")
        assert not found.may_begin("stop:other:2")
        found.hung("start:other:1", "other", TIMEOUT)
    clock.now_s += TRIAL_MAX_S
    found.began("start:other:1")
    assert found.answered("start:other:1")
    assert found.reason == ""
    assert found.may_begin("stop:other:2")


def test_one_app_alone_puts_no_engine_into_quarantine() -> None:
    """Its image may be what hangs; and any answer in between shows that the engine works."""
    clock = SimClock()
    found = Quarantine(clock)
    for number in range(50):
        assert found.hung(f"start:a:{number}", "a", TIMEOUT)[1] is False
    for number in range(50):
        found.hung(f"start:b:{number}", f"app{number}", TIMEOUT)
        if number % (FAULTS - 2) == 0:
            found.answered(f"start:c:{number}")
    assert found.may_begin("start:new:1")


def test_an_engine_that_comes_back_is_tried_at_once_and_an_idle_one_released() -> None:
    """Silence that ended is a reason to try; nothing that waits is a reason to let go."""
    clock, found = opened()
    assert not found.observed(again=True)
    assert found.may_begin("start:a:1")
    clock, found = opened()
    clock.now_s += IDLE_S - 1
    assert not found.observed(again=False)
    clock.now_s += 2
    assert found.observed(again=False)
    assert found.reason == ""


def test_a_container_that_hangs_leaves_everything_else_alone() -> None:
    """Its stop waits; its app's other replicas, other apps and the ingress go on."""
    leader = Leader()
    begin(leader, spec(), 3)
    begin(leader, spec(name="other"), 1, name="other")
    live(leader, 10)
    stuck = next(o for o in leader.engine.containers() if o.app == "shop" and o.slot == 3)
    leader.engine.hanging.add(stuck.id)
    leader.do(c.ScaleApp("shop", 1, 30))
    leader.do(c.ScaleApp("other", 4, 30))
    live(leader, 20)
    there = {(o.app, o.slot) for o in leader.engine.containers()}
    assert there == {("shop", 1), ("shop", 3), *(("other", slot) for slot in range(1, 5))}
    assert converged(leader.log.state().apps["other"])
    assert told(leader, "hangs: it is set aside")
    assert shop(leader).problem_code == "DOCKER_ERROR"
    table = leader.ingress.table
    assert table is not None
    peers = {peer.id for route in table.routes for peer in route.peers}
    assert stuck.id not in peers
    assert len(peers) == 5
    leader.engine.hanging.clear()
    live(leader, 60)
    assert converged(shop(leader))
    assert shop(leader).problem == ""


def test_a_start_that_hangs_leaves_other_slots_alone() -> None:
    """The same for a slot whose container can never be made."""
    leader = Leader()
    leader.run(1)
    name = container_name(leader.log.state().cluster_id, "shop", leader.log.state().index + 1, 2)
    leader.engine.hanging.add(name)
    begin(leader, spec(), 3)
    live(leader, 20)
    assert sorted(o.slot for o in leader.engine.containers()) == [1, 3]
    leader.engine.hanging.clear()
    live(leader, 70)
    assert converged(shop(leader))


def test_an_engine_that_only_shows_its_containers_is_set_aside_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every start hangs while it is observed well: an event, few calls, and it ends by itself."""
    leader = Leader()
    calls: list[float] = []
    run = leader.engine.run

    def hangs(*args: Any, **kwargs: Any) -> Any:
        calls.append(leader.clock.now_s)
        raise TIMEOUT

    monkeypatch.setattr(leader.engine, "run", hangs)
    for name in ("shop", "other", "third"):
        begin(leader, spec(name=name), 10, name=name)
    live(leader, 10)
    assert told(leader, "in quarantine")
    assert leader.parts.fleet.quarantine.reason
    before = len(calls)
    live(leader, 60)
    assert len(calls) - before <= 6
    monkeypatch.setattr(leader.engine, "run", run)
    live(leader, 140)
    assert told(leader, "out of quarantine")
    assert all(converged(app) for app in leader.log.state().apps.values())


def looking(hang: set[str], fault: Any = "timeout") -> Callable[[str], dict[str, Any]]:
    """An inspection in which some hang."""
    def state(container_id: str) -> dict[str, Any]:
        if container_id in hang:
            raise EngineError(fault, "no answer")
        return {"Id": container_id}

    return state


def test_one_container_that_cannot_be_inspected_hides_no_other() -> None:
    """It is left out, and not asked again at once."""
    hanging, ids = Hanging(), ["a", "b", "c"]
    assert [one for one, _ in hanging.look(looking({"b"}), ids)] == ["a", "c"]
    asked: list[str] = []

    def state(container_id: str) -> dict[str, Any]:
        asked.append(container_id)
        return {}

    assert [one for one, _ in hanging.look(state, ids)] == ["a", "c"]
    assert sorted(asked) == ["a", "c"]


def test_many_that_hang_or_a_daemon_that_is_gone_is_no_observation() -> None:
    """Then nothing is known."""
    ids = [f"c{number}" for number in range(HANGING_MAX + 20)]
    with pytest.raises(EngineError, match="no answer"):
        list(Hanging().look(looking(set(ids)), ids))
    with pytest.raises(EngineError, match="no answer"):
        list(Hanging().look(looking({"a"}, "unavailable"), ["a", "b"]))


def test_health_says_that_the_engine_is_in_quarantine() -> None:
    """Degraded, with the reason; an engine that does not answer at all stays unavailable."""
    leader = Leader()
    vitals = Vitals(leader.log, leader.engine, [leader.ingress], leader.clock)
    vitals.measure()
    assert vitals.components()["docker"].status == "healthy"
    docker = vitals.components(quarantine="it hangs")["docker"]
    assert (docker.status, "in quarantine" in docker.detail) == ("degraded", True)
    leader.engine.down = True
    vitals.measure()
    assert vitals.components(quarantine="it hangs")["docker"].status == "unavailable"


def test_the_size_of_the_host_is_asked_for_now_and_then() -> None:
    """That the engine answers, each time; after a failure all of it, until that is had."""
    asked: list[str] = []

    class Asked(FakeEngine):
        def info(self) -> Any:
            asked.append("info")
            return super().info()

        def ping(self) -> None:
            asked.append("ping")
            super().ping()

    leader = Leader()
    engine = Asked(leader.clock)
    vitals = Vitals(leader.log, engine, [leader.ingress], leader.clock)

    def measure(times: int) -> list[str]:
        asked.clear()
        for _ in range(times):
            vitals.measure()
            leader.clock.now_s += 2.0
        return asked

    assert measure(16) == ["info", *["ping"] * 14, "info"]
    engine.down = True
    assert measure(3) == ["ping", "info", "info"]
    assert vitals.components()["docker"].status == "unavailable"
    engine.down = False
    assert measure(3) == ["info", "ping", "ping"]
    assert vitals.components()["docker"].status == "healthy"


def test_the_ingress_is_measured_while_the_engine_hangs() -> None:
    """Each has a thread of its own."""
    held, entered = threading.Event(), threading.Event()

    class Hangs(FakeEngine):
        def info(self) -> Any:
            entered.set()
            held.wait(60)
            raise TIMEOUT

    leader = Leader()
    ingress = FakeIngress()
    vitals = Vitals(leader.log, Hangs(leader.clock), [ingress], leader.clock)
    vitals.start()
    try:
        assert entered.wait(30)
        until("the ingress is measured",
              lambda: vitals.components()["nginx"].status == "healthy", 30)
        assert vitals.components()["docker"].detail == "not asked yet"
    finally:
        held.set()
        vitals.stop()
