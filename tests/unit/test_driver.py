"""The driver keeps its lease however long its loops take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from cluster.config.keys import spec_defaults
from cluster.consensus.local_log import LocalLog
from cluster.control import specs
from cluster.control.driver import Driver
from cluster.control.fleet import Fleet
from cluster.control.loop import Turn
from cluster.control.workers import ThreadWorkers
from cluster.state.commands import RegisterApp, SetConfig, SetScaling, Stamp
from cluster.state.restore import APPS_MAX
from orchestry.policy import policy_of
from orchestry.spec import parse
from orchestry.spec.parse import STORED_SPECS_MAX
from tests.live import app_spec
from tests.unit.hand_clock import HandClock


@dataclass
class SlowLoop:
    """As one with very many apps."""

    clock: HandClock
    name: str
    epochs: list[int] = field(default_factory=list)

    def reset(self) -> None:
        """Nothing is remembered."""

    def step(self, turn: Turn) -> None:
        """Take long."""
        self.clock.now_s += 0.65
        turn.guard()
        self.epochs.append(turn.lease.epoch)


def test_loops_that_take_longer_than_the_lease_in_all() -> None:
    """The lease is renewed between them: one epoch, and each loop may act in it."""
    clock, log = HandClock(), LocalLog("a")
    loops = [SlowLoop(clock, f"loop-{number}") for number in range(5)]
    workers = ThreadWorkers(lambda: None)
    driver = Driver("a", log, loops=loops, fleet=Fleet(clock), workers=workers, clock=clock,
                    lease_ttl_s=1.5)
    try:
        for _ in range(6):
            driver.step()
            clock.now_s += 0.05
    finally:
        workers.stop()
    assert all(len(loop.epochs) >= 4 for loop in loops)
    assert {epoch for loop in loops for epoch in loop.epochs} == {1}


def test_every_app_keeps_its_parsed_spec() -> None:
    """A cache that is too small for all apps has none of them when it is asked in turn."""
    assert STORED_SPECS_MAX > APPS_MAX


APPS = 300
CACHES = (parse._parsed, parse._filled, specs._spec, policy_of)
PARSERS = (parse._parsed, policy_of)


def parsed() -> int:
    """How many documents and policies were parsed, because no cache had them."""
    return sum(cache.cache_info().misses for cache in PARSERS)


@dataclass
class Asking:
    """Asks for every spec, as loops do; `found` are the parses that each step took."""

    name: str = "asking"
    found: list[int] = field(default_factory=list)

    def reset(self) -> None:
        """Nothing is remembered."""

    def step(self, turn: Turn) -> None:
        """Ask."""
        before = parsed()
        for app in turn.state.apps.values():
            assert specs.spec_for(app, spec_defaults(turn.state.config)) is not None
        self.found.append(parsed() - before)


@dataclass
class Many:
    """A controller of very many apps; `between` are the parses between two renewals."""

    log: LocalLog
    driver: Driver
    asking: Asking
    between: list[int]

    def register(self, first: int, count: int) -> None:
        """More apps, each with a policy that was changed."""
        for number in range(first, first + count):
            self.log.submit(
                RegisterApp(f"app-{number}", document(number), 1),
                Stamp(1, "a", request_id=f"r{number}"))
            self.log.submit(
                SetScaling(f"app-{number}", '{"maxReplicas":9}'),
                Stamp(1, "a", request_id=f"s{number}"))
        assert len(self.log.state().apps) == first + count
        for cache in CACHES:
            cache.cache_clear()


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Iterator[Many]:
    """None of whose specs is parsed."""
    clock, log, asking, between = HandClock(), LocalLog("a"), Asking(), [0]
    workers = ThreadWorkers(lambda: None)
    driver = Driver("a", log, loops=[asking], fleet=Fleet(clock), workers=workers, clock=clock,
                    lease_ttl_s=1.5)
    renew, last = driver.keeper.step, [0]

    def counted() -> None:
        between.append(parsed() - last[0])
        last[0] = parsed()
        clock.now_s += 0.05
        renew()

    monkeypatch.setattr(driver.keeper, "step", counted)
    try:
        yield Many(log, driver, asking, between)
    finally:
        workers.stop()
        for cache in CACHES:
            cache.cache_clear()


def document(number: int) -> str:
    """The spec of an app, of the usual length."""
    spec = app_spec(f"app-{number}", "web:1")
    spec["spec"]["environment"] = [{"name": "TEXT", "value": "x" * 800}]
    return parse.canonical(spec)


def most() -> int:
    """Parses that the limit of characters allows at once: one of the spec, one of its policy."""
    return 2 * (specs.CHARACTERS_AT_ONCE // len(document(1)) + 2)


def test_a_new_leader_parses_little_between_two_renewals(many: Many) -> None:
    """And no loop has anything left to parse: one that had would outlast the lease."""
    many.register(0, APPS)
    for _ in range(6):
        many.driver.step()
    assert set(many.asking.found) == {0}
    assert sum(many.between) == 2 * APPS
    assert max(many.between) <= most() < APPS
    assert many.log.state().leadership.epoch == 1


def test_changed_defaults_are_filled_in_little_by_little(many: Many) -> None:
    """The policies that were changed are read again, which is as slow as parsing."""
    many.register(0, APPS)
    for _ in range(6):
        many.driver.step()
    many.between.clear()
    many.log.submit(SetConfig((("scaling.default_cooldown", 240),)), Stamp(1, "a"))
    many.driver.step()
    assert sum(many.between) == APPS
    assert max(many.between) <= most()
    assert set(many.asking.found) == {0}


def test_who_follows_parses_ahead(many: Many) -> None:
    """A few in each step; so that nothing is left when it leads."""
    many.log.leader = "b"
    many.register(0, APPS)
    steps = 0
    while parsed() < 2 * APPS:
        before = parsed()
        many.driver.step()
        assert 0 < parsed() - before <= most()
        steps += 1
    assert steps > 2
    many.log.leader = "a"
    for _ in range(6):
        many.driver.step()
    assert (parsed(), set(many.asking.found)) == (2 * APPS, {0})
