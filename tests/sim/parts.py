"""Parts of a simulated controller: workers in virtual time, and a prober of fake containers."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster import config
from cluster.clock import Clock
from cluster.config.effective import Effective
from cluster.consensus.log import ReplicatedLog
from cluster.control.checks import HealthChecks
from cluster.control.driver import Driver
from cluster.control.fleet import Fleet
from cluster.control.judge import Probe
from cluster.control.loops import make_loops
from cluster.control.observe import Observer
from cluster.control.telemetry import Telemetry
from cluster.control.workers import LANES, Done, Outcome
from cluster.controller import STEP_S
from cluster.engine.base import EngineEvent
from cluster.engine.fake import FakeEngine
from cluster.ingress.fake import FakeIngress
from cluster.sealing import Keyring
from orchestry.spec.model import HealthCheck


@dataclass(frozen=True, slots=True)
class _Job:
    due_s: float
    key: str
    lane: str
    job: Callable[[], Any]
    done: Done


class SimWorkers:
    """Jobs take a random time; their side effect happens at its end, where it can do harm.

    `lane_longest_s` has other times for some lanes.
    """

    def __init__(
        self, clock: Clock, dice: random.Random, *, longest_s: float = 0.3,
        lanes: Mapping[str, int] = LANES,
    ) -> None:
        self._clock = clock
        self._dice = dice
        self._longest_s = longest_s
        self._lanes = lanes
        self._jobs: dict[str, _Job] = {}
        self.lane_longest_s: dict[str, float] = {}

    def start(self, lane: str, key: str, job: Callable[[], Any], done: Done) -> bool:
        """Begin a job that ends later."""
        busy = sum(1 for other in self._jobs.values() if other.lane == lane)
        if key in self._jobs or busy >= self._lanes[lane]:
            return False
        due_s = self._clock.monotonic_s() + self._dice.uniform(
            0.0, self.lane_longest_s.get(lane, self._longest_s))
        self._jobs[key] = _Job(due_s, key, lane, job, done)
        return True

    def running(self, prefix: str) -> int:
        """Jobs under way."""
        return sum(1 for key in self._jobs if key.startswith(prefix))

    def free(self, lane: str) -> int:
        """Places left in the lane."""
        return self._lanes[lane] - sum(1 for job in self._jobs.values() if job.lane == lane)

    def drain(self) -> bool:
        """Carry out what is due and deliver it."""
        now_s = self._clock.monotonic_s()
        due = sorted((j for j in self._jobs.values() if j.due_s <= now_s), key=lambda j: j.due_s)
        for job in due:
            del self._jobs[job.key]
            try:
                outcome = Outcome(job.job())
            except Exception as error:
                outcome = Outcome(error=error)
            job.done(outcome)
        return bool(due)

    def stop(self) -> None:
        """A crash: what has not happened yet never happens."""
        self._jobs.clear()


class SimProber:
    """Asks the fake host whether the replica at an address is well, whatever its daemon does."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.blind = False

    def probe(self, address: str, policy: HealthCheck) -> Probe:
        """One check."""
        if self.blind:
            return Probe(ok=False, error="no route to host")
        for container in self._engine.containers():
            if container.ip == address and container.phase == "running":
                ok = self._engine.healthy(container)
                return Probe(ok=ok, response_ms=1.0, error="" if ok else "status 500")
        return Probe(ok=False, error="connection refused")


class SimController:
    """The real driver and loops of one controller, without threads."""

    def __init__(
        self, controller_id: str, log: ReplicatedLog, clock: Clock, dice: random.Random,
        *, engine: FakeEngine, ingress: FakeIngress, lease_ttl_s: float = 1.5,
        keys: Sequence[bytes] = (),
    ) -> None:
        self._dice = dice
        self._engine = engine
        self._clock = clock
        self._next_s = 0.0
        self.fleet = Fleet(clock)
        self.telemetry = Telemetry()
        self.workers = SimWorkers(clock, dice)
        self.prober = SimProber(engine)
        self.checks = HealthChecks()
        self.observer: Observer
        loops, self.observer = make_loops(
            engine, [ingress], self.prober, fleet=self.fleet, workers=self.workers,
            clock=clock, telemetry=self.telemetry, configured=Effective(config.load({})),
            keyring=Keyring(keys), checks=self.checks,
        )
        self.driver = Driver(
            controller_id, log, loops=loops, fleet=self.fleet, workers=self.workers,
            clock=clock, lease_ttl_s=lease_ttl_s,
        )
        engine.listeners.append(self._hear)

    def _hear(self, cluster_id: str, hint: EngineEvent) -> None:
        """Hints get lost one time in three: nothing may depend on them."""
        if self._dice.random() < 0.67:
            self.observer.hint(hint)
            self._next_s = 0.0

    def tick(self) -> None:
        """One step each 50 ms, or at once after a hint."""
        if self._clock.monotonic_s() >= self._next_s:
            self._next_s = self._clock.monotonic_s() + STEP_S
            self.driver.step()

    def crash(self) -> None:
        """What was under way never happens."""
        self.workers.stop()
        self._engine.listeners.remove(self._hear)

    def acting(self) -> bool:
        """Whether it may act now."""
        return self.driver.keeper.acting() is not None
