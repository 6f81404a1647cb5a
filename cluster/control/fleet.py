"""Fleet: what the leader knows at this moment about containers, health and failures.

It lives in the control thread only and is thrown away with the lease: everything in it can
be seen again (containers), checked again (health) or is taken over from the last report.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cluster.clock import Clock
from cluster.control.attempts import AttemptBook, Slot, slot_of
from cluster.control.judge import Record
from cluster.control.quarantine import Quarantine
from cluster.engine.base import EXIT_UNKNOWN, Container, EngineError
from cluster.state.commands import RecordEvent
from cluster.state.model import ClusterState

logger = logging.getLogger(__name__)

EVENTS_WAITING_MAX = 200
TOLD_APPS_MAX = 5
"""Apps that wait for one image, and are told of by events."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps an app from its replicas, in words for its owner."""

    code: str
    text: str


def _problem(error: EngineError) -> Problem:
    code = "INSUFFICIENT_RESOURCES" if error.fault == "no_resources" else "DOCKER_ERROR"
    return Problem(code, error.reason)


class Fleet:
    """The leader's view; see the module's text."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.attempts = AttemptBook(clock)
        self.quarantine = Quarantine(clock)
        self.forget()

    def forget(self) -> None:
        """Start from nothing, as a new leader does."""
        self.containers: dict[str, Container] = {}
        self.runs: dict[int, Container] = {}
        """Those that run once, by the id of their run; they are no replicas."""
        self.records: dict[str, Record] = {}
        self.draining: dict[str, float] = {}
        self.starting: set[Slot] = set()
        self.deciding: set[str] = set()
        self.stop_refused_s: dict[str, float] = {}
        self.attempts.forget()
        self.quarantine.forget()
        self.problems: dict[str, Problem] = {}
        self.image_problems: dict[str, Problem] = {}
        self.secret_problems: dict[str, Problem] = {}
        self.pulling: dict[str, str] = {}
        """Apps that wait for a pull, and of which image."""
        self.cleaning: frozenset[str] = frozenset()
        """Ids of images that may be leaving the host just now."""
        self.frozen: set[tuple[str, int]] = set()
        self.to_replace: set[str] = set()
        self.suspects: dict[str, float] = {}
        self.look_now = False
        self.observed_from_s: float | None = None
        self.engine_fault = ""
        self.overtaken = ""
        self.events: deque[RecordEvent] = deque(maxlen=EVENTS_WAITING_MAX)
        self.version = 0
        self._by_app: dict[str, list[Container]] = {}
        self._by_app_of = -1
        self._gone: set[str] = set()
        self._started: set[str] = set()

    def touch(self) -> None:
        """Something changed that routes, reports or plans may depend on."""
        self.version += 1

    def by_app(self) -> dict[str, list[Container]]:
        """All containers, by app and slot; made anew only after a change."""
        if self._by_app_of == self.version:
            return self._by_app
        apps: dict[str, list[Container]] = {}
        for container in self.containers.values():
            apps.setdefault(container.app, []).append(container)
        for found in apps.values():
            found.sort(key=lambda c: (c.slot, c.revision, c.id))
        self._by_app, self._by_app_of = apps, self.version
        return apps

    def holds(self, state: ClusterState) -> bool:
        """True while nothing may be done to containers and ingresses: too little is known."""
        return self.observed_from_s is None or state.awaiting_restore or bool(self.overtaken)

    def overtake(self, where: str) -> None:
        """A newer epoch than ours was found: we are deposed, or another went on from our log."""
        if not self.overtaken:
            self.overtaken = (
                f"{where} of a newer epoch; if this cluster was restored or recovered elsewhere, "
                "stop these controllers")
            logger.warning("%s", self.overtaken)
            self.tell("error", "", f"Nothing is done any more: {self.overtaken}")
            self.touch()

    # -- observations ------------------------------------------------------------------

    def begin_observation(self) -> None:
        """An observation is asked for: remember what changes until its answer."""
        self._gone.clear()
        self._started.clear()

    def observe(
        self, seen: Sequence[Container], *, asked_s: float, state: ClusterState
    ) -> None:
        """Replace the view by an observation that was asked for at `asked_s`.

        What was started or removed meanwhile is newer than the observation.
        """
        now_s = self._clock.monotonic_s()
        self._observe_runs(seen)
        found = {c.id: c for c in seen if c.id not in self._gone and not c.run}
        for container_id in self._started:
            before = found.get(container_id)
            # One that was only created then was looked at before it was started.
            if container_id in self.containers and (
                before is None or before.phase == "created"
            ):
                found[container_id] = self.containers[container_id]
        changed = found != self.containers
        self.containers = found
        if self.observed_from_s is None:
            self._take_over(state, now_s)
        self.observed_from_s = asked_s
        self._prune(now_s)
        if changed:
            self.touch()

    def _observe_runs(self, seen: Sequence[Container]) -> None:
        before = self.runs
        self.runs = {c.run: c for c in seen if c.run and c.id not in self._gone}
        for one in before.values():
            if one.id in self._started:
                self.runs.setdefault(one.run, one)

    def _take_over(self, state: ClusterState, now_s: float) -> None:
        """Believe the last leader's report about what still runs."""
        for app in state.apps.values():
            self.attempts.take_over(app)
            for report in app.reports:
                container = self.containers.get(report.container_id)
                if container is None or container.phase != "running":
                    continue
                self.records[container.id] = Record(
                    since_s=now_s, next_s=now_s, health=report.health, changed_s=now_s,
                    failures=1 if report.health == "unhealthy" else 0,
                )

    def _prune(self, now_s: float) -> None:
        for container_id in [i for i in self.records if i not in self.containers]:
            del self.records[container_id]
        for container_id in [i for i in self.draining if i not in self.containers]:
            del self.draining[container_id]
        for container_id in [i for i in self.stop_refused_s if i not in self.containers]:
            del self.stop_refused_s[container_id]
        for container_id in [i for i in self.suspects if i not in self.containers]:
            del self.suspects[container_id]
        self.to_replace &= set(self.containers)
        for container in self.containers.values():
            if container.phase != "running":
                self.records.pop(container.id, None)
            elif container.id not in self.records:
                self.records[container.id] = Record(since_s=now_s, next_s=now_s)

    def confirmed(self, container_id: str, now_s: float) -> bool:
        """True when a container that fails its checks was seen to run since.

        One that has ended by itself is no failure of the checks: how it ended tells more.
        """
        since_s = self.suspects.setdefault(container_id, now_s)
        if self.observed_from_s is not None and self.observed_from_s > since_s:
            return True
        self.look_now = True
        return False

    # -- changes between observations --------------------------------------------------

    def started(self, container: Container) -> None:
        """A start was carried out."""
        self._started.add(container.id)
        same_slot = [
            c.id for c in self.containers.values()
            if c.name == container.name and c.id != container.id
        ]
        for container_id in same_slot:
            self.removed(container_id)
        now_s = self._clock.monotonic_s()
        seen = self.containers.get(container.id)
        if seen is not None and seen.phase == "exited":
            container = seen  # it died before the start was told of
        self.containers[container.id] = container
        self.attempts.started(slot_of(container))
        self._prune(now_s)
        self.touch()

    def run_started(self, container: Container) -> None:
        """The container of a run was started, or was found to be there."""
        self._started.add(container.id)
        self.runs[container.run] = container

    def has_runs(self, app: str) -> bool:
        """True while a container of one of the app's runs is there."""
        return any(one.app == app for one in self.runs.values())

    def removed(self, container_id: str) -> None:
        """A container is gone."""
        self._gone.add(container_id)
        for run in [run for run, one in self.runs.items() if one.id == container_id]:
            del self.runs[run]
        self._started.discard(container_id)
        self.containers.pop(container_id, None)
        self.records.pop(container_id, None)
        self.draining.pop(container_id, None)
        self.to_replace.discard(container_id)
        self.touch()

    def died(self, container_id: str) -> bool:
        """A container ended by itself; True when that is news. How, the next look tells."""
        container = self.containers.get(container_id)
        if container is None or container.phase != "running":
            return False
        self.containers[container_id] = replace(
            container, phase="exited", exit_code=EXIT_UNKNOWN)
        self.records.pop(container_id, None)
        self.touch()
        return True

    def settle(self, container: Container, record: Record, now_s: float) -> None:
        """Forgive a slot whose replica has been healthy long enough."""
        if record.health == "healthy" and self.attempts.settle(
            slot_of(container), now_s - record.changed_s
        ):
            self.touch()

    def engine_silent(self, reason: str) -> bool:
        """The engine did not answer; True when that is news."""
        if self.engine_fault:
            return False
        self.engine_fault = reason
        self.tell("error", "", f"The container engine does not answer: {reason}")
        self.touch()
        return True

    def engine_answers(self) -> None:
        """The engine answered."""
        if self.quarantine.observed(again=bool(self.engine_fault)):
            self._released()
        if self.engine_fault:
            self.engine_fault = ""
            self.tell("health", "", "The container engine answers again")
            self.touch()

    def operation_ended(
        self, key: str, app: str, what: str, error: Exception | None
    ) -> None:
        """How an operation of the engine ended: with an answer, without one, or not begun."""
        if error is None or (isinstance(error, EngineError) and not error.silent):
            if self.quarantine.answered(key):
                self._released()
        elif isinstance(error, EngineError):
            hangs, all_hang = self.quarantine.hung(key, app, error)
            if hangs:
                self.tell(
                    "error", app, f"{what} hangs: it is set aside and tried again more and more "
                    f"seldom, other work goes on: {error.reason}", operation=what)
            if all_hang:
                self.tell("error", "", "The container engine is in quarantine, since nothing that "
                          f"is asked of it ends; one trial at a time goes on: {error.reason}")
                self.touch()
        else:
            self.quarantine.ended(key)

    def _released(self) -> None:
        self.tell("health", "", "The container engine is out of quarantine")
        self.touch()

    def engine_failed(self, error: EngineError, app: str) -> None:
        """An engine call for `app` failed for a reason that its owner should read."""
        problem = _problem(error)
        if self.problems.get(app) != problem:
            self.problems[app] = problem
            self.tell("error", app, f"The engine failed: {error.reason}", fault=error.fault)
            self.touch()

    def images_failed(self, errors: Mapping[str, EngineError]) -> None:
        """These apps wait for an image that cannot be had, and no others do.

        Of many that wait for the same some are told of: each has it as its problem.
        """
        found, told = {}, Counter[str]()
        for app, error in errors.items():
            found[app] = _problem(error)
            news = self.image_problems.get(app) != found[app]
            if news and told[error.reason] < TOLD_APPS_MAX:
                told[error.reason] += 1
                self.tell("error", app, f"No image: {error.reason}", fault=error.fault)
        if found != self.image_problems:
            self.image_problems = found
            self.touch()

    def secrets_lacking(self, reasons: Mapping[str, str]) -> None:
        """The deployments of these apps wait for secrets that they cannot have, and no others."""
        found = {app: Problem("CONFLICT", reason) for app, reason in reasons.items()}
        for app, problem in found.items():
            if self.secret_problems.get(app) != problem:
                self.tell("error", app, f"No replica is given up yet: {problem.text}")
        if found != self.secret_problems:
            self.secret_problems = found
            self.touch()

    def problem(self, app: str) -> Problem | None:
        """What keeps an app from its replicas."""
        return (self.problems.get(app) or self.image_problems.get(app)
                or self.secret_problems.get(app))

    def blocked(self, app: str, reason: str) -> None:
        """A replica of `app` cannot be ordered for a reason that its owner should read."""
        problem = Problem("CONFLICT", reason)
        if self.problems.get(app) != problem:
            self.problems[app] = problem
            self.tell("error", app, f"No replica can be started: {reason}")
            self.touch()

    def solved(self, app: str) -> None:
        """The app's last engine call went well."""
        if self.problems.pop(app, None) is not None:
            self.touch()

    # -- words -------------------------------------------------------------------------

    def tell(self, kind: str, app: str, message: str, **details: object) -> None:
        """Queue an event for the replicated log; the oldest goes when too many wait."""
        self.events.append(RecordEvent(
            kind, app, message, tuple(sorted(details.items()))  # type: ignore[arg-type]
        ))

    def keep_only(self, state: ClusterState) -> None:
        """Forget slots of apps that do not run, and problems of apps with nothing to do."""
        running, busy = set(), set()
        by_app = self.by_app()
        for app in state.apps.values():
            if app.running and not app.deleting:
                running.add((app.name, app.made_from))
                if app.rollout is not None:
                    running.update((app.name, place[0]) for place in app.rollout.old)
            if app.running or app.deleting or app.name in by_app:
                busy.add(app.name)
        for name in [name for name in self.problems if name not in busy]:
            self.solved(name)
        busy.update(one.app for one in self.runs.values())
        busy.update(run.app for run in state.runs.values() if not run.is_over)
        busy.update(removal.app for removal in state.volume_removals.values())
        self.quarantine.keep_only(busy)
        self.frozen &= running
