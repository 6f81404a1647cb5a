"""Reporter: writes into the replicated state what users may see and a successor needs."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.control import backoff
from cluster.control.attempts import slot_of
from cluster.control.fleet import Fleet
from cluster.control.judge import Health, Record
from cluster.control.loop import Turn
from cluster.control.specs import spec_for, spec_of_template
from cluster.engine.base import EXIT_UNKNOWN, Container
from cluster.state.commands import ReportApp
from cluster.state.model import App, Replica
from cluster.state.step import STOPPING

EVENTS_PER_STEP_MAX = 20


class Reporter:
    """One command for each app whose picture changed; at most one under way for each."""

    name = "report"

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._reported: tuple[object, int] = (None, -1)

    def reset(self) -> None:
        """Compare everything anew."""
        self._reported = (None, -1)

    def step(self, turn: Turn) -> None:
        """Propose what differs from the state."""
        fleet = self._fleet
        if fleet.observed_from_s is None or turn.state.awaiting_restore:
            return
        for number in range(EVENTS_PER_STEP_MAX):
            if not fleet.events:
                break
            if turn.propose(f"event:{number}", fleet.events[0]):
                fleet.events.popleft()
        made_from = (turn.state.apps, fleet.version)
        if self._reported[0] is made_from[0] and self._reported[1] == made_from[1]:
            return
        by_app = fleet.by_app()
        waiting = False
        for app in turn.state.apps.values():
            with turn.apart(app.name):
                made = self._report(app, by_app.get(app.name, []))
                same = (
                    made.replicas, made.problem, made.problem_code, made.attempts
                ) == (
                    app.reports, app.problem, app.problem_code, app.attempts
                )
                if not same:
                    turn.propose(f"report:{app.name}", made)
                    waiting = True
        if not waiting:
            self._reported = made_from

    def _report(self, app: App, observed: Sequence[Container]) -> ReportApp:
        spec, attempts = spec_for(app), self._fleet.attempts.of_app(app.name)
        problem = self._fleet.problem(app.name)
        text, code = (problem.text, problem.code) if problem else (
            backoff.problem(app.name, attempts))
        if self._fleet.engine_fault:
            text = f"The container engine does not answer: {self._fleet.engine_fault}"
            code = "DOCKER_ERROR"
        if self._fleet.overtaken:
            text, code = f"Nothing is done: {self._fleet.overtaken}", "CONFLICT"
        if spec is None:
            text = "A newer version wrote its spec: upgrade this controller"
            code = "INVALID_SPEC"
        return ReportApp(
            app=app.name, revision=app.revision, problem=text, problem_code=code,
            attempts=attempts,
            replicas=tuple(self._replica(one, _port(app, one)) for one in observed),
        )

    def _replica(self, container: Container, port: int) -> Replica:
        record = self._fleet.records.get(container.id)
        health: Health = record.health if record else "unhealthy"
        last_error = why_not_healthy(container, record)
        if container.phase == "created":
            health = "starting"
        if container.id in self._fleet.draining:
            health, last_error = "unhealthy", STOPPING
        return Replica(
            slot=container.slot, revision=container.revision, container_id=container.id,
            container_name=container.name, ip=container.ip, port=port, phase=container.phase,
            health=health,
            started_at_ms=container.started_at_ms,
            restarts=self._fleet.attempts.of(slot_of(container)).failures,
            last_error=last_error,
        )


def _port(app: App, container: Container) -> int:
    spec = spec_of_template(app, container.revision) or spec_for(app)
    return spec.ports[0].container_port if spec and spec.ports else 0


def why_not_healthy(container: Container, record: Record | None) -> str:
    """What a user may read about a replica; "" when there is nothing to say."""
    if record is not None:
        return "" if record.health == "healthy" else record.last_error
    if container.oom_killed:
        return "killed: out of memory"
    if container.phase == "exited":
        if container.error or container.exit_code == EXIT_UNKNOWN:
            return container.error or "it ended"
        return f"exited with code {container.exit_code}"
    return container.error
