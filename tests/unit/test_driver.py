"""The driver keeps its lease however long its loops take."""

from __future__ import annotations

from dataclasses import dataclass, field

from cluster.consensus.local_log import LocalLog
from cluster.control.driver import Driver
from cluster.control.fleet import Fleet
from cluster.control.loop import Turn
from cluster.control.workers import ThreadWorkers
from cluster.state.restore import APPS_MAX
from orchestry.spec.parse import STORED_SPECS_MAX


@dataclass
class HandClock:
    """Moves only by hand."""

    now_s: float = 100.0

    def monotonic_s(self) -> float:
        """Seconds."""
        return self.now_s

    def wall_ms(self) -> int:
        """Milliseconds."""
        return int(self.now_s * 1000)


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
