"""HealthMonitor: runs the checks that are due and draws the conclusions."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Protocol

from cluster.clock import Clock
from cluster.config.keys import spec_defaults
from cluster.control.checks import Check, Checked, HealthChecks
from cluster.control.fleet import Fleet
from cluster.control.judge import Probe, Record, judge, verdict
from cluster.control.loop import Turn
from cluster.control.specs import old_specs, spec_for
from cluster.control.workers import Outcome, Workers
from cluster.engine.base import Container
from cluster.state.model import App
from orchestry.spec.model import AppSpec, Defaults, HealthCheck
from orchestry.spec.parse import DEFAULTS

logger = logging.getLogger(__name__)


_Due = tuple[bool, float, Container, AppSpec]


class Prober(Protocol):
    """Carries out one check; bounded by the policy's timeout, never raises."""

    def probe(self, address: str, policy: HealthCheck) -> Probe:
        """Ask the replica at `address` (an IP) once."""


class HealthMonitor:
    """Decides which replicas are healthy and which have to be replaced."""

    name = "health"

    def __init__(
        self, prober: Prober, fleet: Fleet, workers: Workers, clock: Clock,
        checks: HealthChecks | None = None,
    ) -> None:
        self._prober = prober
        self._fleet = fleet
        self._workers = workers
        self._clock = clock
        self._checks = checks or HealthChecks()
        self._defaults = DEFAULTS

    def reset(self) -> None:
        """What was asked for is another leader's matter now; each replica is due at once anyway."""
        self._checks.abandon()

    def step(self, turn: Turn) -> None:
        """Begin what is due, then judge each app."""
        by_app = self._fleet.by_app()
        defaults = self._now_default(turn)
        due: list[_Due] = []
        demanded = self._checks.open()
        checkable: dict[str, list[tuple[Container, AppSpec]]] = {}
        for app in turn.state.apps.values():
            with turn.apart(app.name):
                spec = spec_for(app, defaults)
                if spec is None or not app.running or app.deleting:
                    continue
                older = old_specs(app, defaults)
                for template, of in ((app.made_from, spec), *older.items()):
                    mine = self._checked(template, by_app.get(app.name, []))
                    if demanded:
                        checkable.setdefault(app.name, []).extend((one, of) for one in mine)
                    due += self._due(mine, of, turn.now_s)
                    self._conclude(template, app, of, mine, turn.now_s)
        if demanded and self._fleet.observed_from_s is not None:
            for check in demanded:
                self._carry_out(check, checkable.get(check.app), turn.now_s)
        # Starting replicas first, then the longest overdue: replicas that hang until the
        # time-out must not keep the others from being checked.
        due.sort(key=lambda one: one[:2])
        for _, _, container, spec in due:
            if not self._ask(container, spec, turn.now_s):
                break

    def _checked(self, template: int, observed: list[Container]) -> list[Container]:
        """Those of a template that run and stay."""
        return [one for one in observed
                if one.revision == template and one.id in self._fleet.records
                and one.id not in self._fleet.draining]

    def _due(self, mine: list[Container], spec: AppSpec, now_s: float) -> list[_Due]:
        found = []
        for container in mine:
            record = self._fleet.records[container.id]
            self._fleet.settle(container, record, now_s)
            if now_s >= record.next_s:
                found.append((record.health != "starting", record.next_s, container, spec))
        return found

    def _now_default(self, turn: Turn) -> Defaults:
        """The cluster's defaults; when they change, no check is awaited longer than they say."""
        defaults = spec_defaults(turn.state.config)
        if defaults != self._defaults:
            self._defaults, records = defaults, self._fleet.records
            latest_s = turn.now_s + defaults.period_s
            for container_id in [i for i, r in records.items() if r.next_s > latest_s]:
                records[container_id] = replace(records[container_id], next_s=latest_s)
        return defaults

    def _carry_out(
        self, check: Check, found: list[tuple[Container, AppSpec]] | None, now_s: float
    ) -> None:
        """Ask those that are left and have no check under way, and finish when all answered."""
        by_id = {one.id: (one, spec) for one, spec in found or () if one.ip}
        if check.left is None:
            self._checks.begin(check, by_id)
        assert check.left is not None
        check.left &= by_id.keys()
        check.asked &= self._fleet.records.keys()
        for container_id in sorted(check.left):
            # What was asked before the demand came does not answer it.
            if self._workers.running(f"probe:{container_id}"):
                continue
            container, spec = by_id[container_id]
            if not self._ask(container, spec, now_s, check):
                break
            check.left.discard(container_id)
            check.asked.add(container_id)
        if not check.left and not check.asked:
            check.finish()

    def _ask(
        self, container: Container, spec: AppSpec, now_s: float, check: Check | None = None
    ) -> bool:
        """Begin one check; False when no more fit."""
        def done(outcome: Outcome) -> None:
            record = self._fleet.records.get(container.id)
            if record is None:
                return
            probe = outcome.value
            if outcome.error is not None:
                logger.error("a health check failed to run", exc_info=outcome.error)
                probe = Probe(ok=False, error="the check could not be run")
            self._note(container, record, probe, spec.health_check)
            if check is not None:
                check.answered(Checked(container, probe, self._fleet.records[container.id]))

        key = f"probe:{container.id}"
        if not container.ip or self._workers.running(key):
            return True
        if not self._workers.start(
            "probe", key, lambda: self._prober.probe(container.ip, spec.health_check), done
        ):
            return False
        record = self._fleet.records[container.id]
        until_s = now_s + spec.health_check.timeout_s + 1.0
        self._fleet.records[container.id] = replace(record, next_s=until_s)
        return True

    def _note(
        self, container: Container, record: Record, probe: Probe, policy: HealthCheck
    ) -> None:
        after = judge(
            record, probe, policy,
            now_s=self._clock.monotonic_s(), now_ms=self._clock.wall_ms(),
        )
        self._fleet.records[container.id] = after
        if after.health != record.health:
            self._fleet.tell(
                "health", container.app,
                f"Container {container.app}-{container.slot} marked as {after.health}",
                container_id=container.id[:12], health_check_failures=after.failures,
                last_error=after.last_error,
            )
        if after.health != record.health or after.last_error != record.last_error:
            self._fleet.touch()

    def _conclude(
        self, template: int, app: App, spec: AppSpec, mine: list[Container], now_s: float
    ) -> None:
        records = {c.id: self._fleet.records[c.id] for c in mine}
        decided = verdict(records, spec.health_check, now_s)
        for container_id in decided.ask:
            if self._workers.running(f"probe:{container_id}") == 0:
                self._fleet.records[container_id] = replace(records[container_id], next_s=now_s)
        if decided.frozen != ((app.name, template) in self._fleet.frozen):
            self._freeze(app.name, template, records, frozen=decided.frozen)
        for container in mine:
            if container.id not in decided.replace:
                self._fleet.suspects.pop(container.id, None)
            elif container.id not in self._fleet.to_replace and (
                self._fleet.confirmed(container.id, now_s)
            ):
                self._fleet.to_replace.add(container.id)
                self._fleet.attempts.unhealthy(container)
                self._fleet.tell(
                    "health", app.name,
                    f"Container {app.name}-{container.slot} is replaced: it failed its checks",
                    container_id=container.id[:12], last_error=records[container.id].last_error,
                )
                self._fleet.touch()

    def _freeze(
        self, app: str, template: int, records: dict[str, Record], *, frozen: bool
    ) -> None:
        failing = sum(1 for record in records.values() if record.failures)
        if frozen:
            self._fleet.frozen.add((app, template))
            self._fleet.tell(
                "health", app,
                f"{failing} of {len(records)} replicas fail their checks at once: the check, "
                "the network or a dependency is the likelier cause, so nothing is killed and "
                "they keep their traffic",
                failing=failing, replicas=len(records),
            )
        else:
            self._fleet.frozen.discard((app, template))
            self._fleet.tell("health", app, "Most replicas pass their checks again")
        self._fleet.touch()
