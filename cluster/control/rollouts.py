"""Rollouts: the leader's decisions about updates, each written into the state before it holds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cluster.config.keys import spec_defaults
from cluster.control import backoff
from cluster.control.attempts import slot_of
from cluster.control.canaries import Canaries
from cluster.control.canary import is_canary
from cluster.control.fleet import Fleet
from cluster.control.last_lines import LastLines, Lines
from cluster.control.loop import Turn
from cluster.control.pre import Held, held
from cluster.control.report import why_not_healthy
from cluster.control.rollout import (
    Limits,
    Next,
    Seen,
    advance,
    follow,
    has_own_volumes,
    hold,
    is_complete,
    limits_of,
    proved,
)
from cluster.control.secret_values import lacking
from cluster.control.specs import old_specs, spec_for
from cluster.engine.base import Container
from cluster.sealing import Keyring
from cluster.state.commands import EndRollout, StepRollout
from cluster.state.model import App, Rollout, RolloutPhase
from cluster.state.replicas import name_of_slot
from orchestry.spec.model import AppSpec

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    """How a rollout stands, and since when under this lease (monotonic).

    `best` is how many new replicas proved themselves at most.
    """

    mark: tuple[object, ...]
    since_s: float
    best: int
    failures: int
    """Of its new replicas when it last moved."""
    asked: bool = False
    lines: tuple[str, ...] | None = None
    """Of a replica that is not healthy, once they were asked for because time is up."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One rollout at one moment."""

    app: App
    rollout: Rollout
    spec: AppSpec
    observed: Sequence[Container]
    seen: Sequence[Seen]

    def late(self) -> Container | None:
        """The new replica that keeps it from going on; one that has ended tells the most."""
        good = {one.place for one in proved(
            self.app, self.rollout, self.seen, min_healthy_s=self.spec.deploy.min_healthy_s)}
        good |= {one.place for one in self.seen if one.finished}
        mine = [one for one in self.observed if one.revision == self.app.made_from
                and (one.revision, one.slot) not in good]
        return min(mine, key=lambda one: (one.phase != "exited", one.slot), default=None)


def _held(phase: RolloutPhase) -> RolloutPhase:
    return "paused" if phase == "running" else phase


class Rollouts:
    """Proposes the next step of each rollout, and its end.

    No replica of an app starts between a decision and its being in the state (`deciding`): it
    might be one that is no longer wanted then, and one too many.
    Nothing is decided while too little is known, and such a time does not count: neither does
    the time under another leader, whose clock may differ.
    """

    name = "rollout"

    def __init__(
        self, last_lines: LastLines, fleet: Fleet, *,
        serves: Callable[[str], bool], is_blind: Callable[[], bool], canaries: Canaries,
        has_image: Callable[[App], bool], keyring: Keyring,
    ) -> None:
        self._last_lines = last_lines
        self._fleet = fleet
        self._serves = serves
        self._is_blind = is_blind
        self._canaries = canaries
        self._has_image = has_image
        self._keyring = keyring
        self._watched: dict[str, _Watched] = {}
        self._lacking: dict[str, str] = {}
        """Why the new replicas of an app would not get their secrets, as of this step."""

    def reset(self) -> None:
        """Each rollout has its whole time again."""
        self._watched = {}
        self._canaries.reset()

    def step(self, turn: Turn) -> None:
        """Look at each rollout that is under way."""
        rolling = {
            app.name: app for app in turn.state.apps.values()
            if app.rollout is not None and app.running and not app.deleting
        }
        self._fleet.deciding.clear()
        self._canaries.keep_only(rolling)
        if self._fleet.holds(turn.state) or self._fleet.engine_fault:
            self._watched.clear()
            return
        # One that goes on after a pause or a failure gets its whole time anew.
        self._watched = {
            name: one for name, one in self._watched.items()
            if name in rolling and (rollout := rolling[name].rollout) is not None
            and rollout.phase == "running"}
        defaults, by_app = spec_defaults(turn.state.config), self._fleet.by_app()
        self._lacking = {}
        for name, app in sorted(rolling.items()):
            with turn.apart(name):
                spec = spec_for(app, defaults)
                if spec is None or (spec.type == "http" and self._is_blind()):
                    self._watched.pop(name, None)
                    continue
                self._one(turn, app, spec, by_app.get(name, []))
        self._fleet.secrets_lacking(self._lacking)

    def _one(self, turn: Turn, app: App, spec: AppSpec, observed: Sequence[Container]) -> None:
        rollout, deploy = app.rollout, spec.deploy
        assert rollout is not None
        waits = held(app, turn.state.runs)
        seen = [self._look(one, spec, turn.now_s) for one in observed]
        seen += self._on_their_way(app, seen)
        if waits is not None:
            self._prepares(turn, _Case(app, rollout, spec, observed, seen), waits)
            return
        own = has_own_volumes(spec) or any(map(has_own_volumes, old_specs(app).values()))
        # Nothing old is given up without the new image and its secrets: a bad tag, or a key that
        # is missing here, stops no replica.
        ready = self._has_image(app) and self._has_secrets(turn, app, spec)
        moves = rollout if ready else replace(rollout, phase=_held(rollout.phase))
        by_weight = is_canary(spec, rollout, own_volumes=own)
        limits = Limits(max(1, len(rollout.new)), 0) if by_weight else limits_of(
            spec, app.replicas, own_volumes=own)
        if rollout.phase == "failed":
            found = hold(app, rollout, seen, limits, min_healthy_s=deploy.min_healthy_s)
        elif by_weight:
            found = self._canaries.advance(app, moves, spec, seen, turn.now_s)
            failure = self._canaries.failure(app)
            if failure:
                self._fail(turn, _Case(app, rollout, spec, observed, seen), failure)
                return
        elif moves is not rollout and not rollout.new:
            found = follow(app, rollout, seen, min_healthy_s=deploy.min_healthy_s,
                           at_once=limits.at_once)
        else:
            found = advance(app, moves, seen, limits, min_healthy_s=deploy.min_healthy_s)
        if self._decide(turn, app, rollout, found):
            return
        if found.canary is not None and found.canary.waits not in ("", "replicas"):
            if rollout.phase == "running" and not rollout.overdue:
                self._watch(turn, _Case(app, rollout, spec, observed, seen), waits=True)
            return
        if rollout.phase == "failed":
            return
        if is_complete(app, rollout, seen, min_healthy_s=deploy.min_healthy_s):
            turn.propose(f"rollout:{app.name}", EndRollout(
                app.name, rollout.id, "done", step=rollout.step))
        elif rollout.phase == "running" and not rollout.overdue:
            self._watch(turn, _Case(app, rollout, spec, observed, seen))

    def _has_secrets(self, turn: Turn, app: App, spec: AppSpec) -> bool:
        why = lacking(spec, turn.state.secrets, app.made_from, self._keyring)
        if why:
            self._lacking[app.name] = why
        return not why

    def _decide(self, turn: Turn, app: App, rollout: Rollout, found: Next) -> bool:
        """Propose what is different from the record; False when nothing is."""
        if (found.new, found.old, found.available, app.replicas, found.canary) == (
            rollout.new, rollout.old, rollout.available, rollout.wanted, rollout.canary
        ):
            return False
        self._fleet.deciding.add(app.name)
        turn.propose(f"rollout:{app.name}", StepRollout(
            app.name, rollout.id, rollout.step, found.new, found.old, found.available,
            app.replicas, found.notes, found.canary))
        return True

    def _prepares(self, turn: Turn, case: _Case, waits: Held) -> None:
        """No replica is replaced before the pre-deploy job is done; that waits for the image,
        and for the end of the one before, which may hang.

        Old ones follow the number of replicas meanwhile.
        """
        app, rollout = case.app, case.rollout
        if waits.phase == "due":
            if rollout.phase == "running" and not rollout.overdue:
                self._watch(turn, case)
        else:
            self._watched.pop(app.name, None)
        if waits.phase == "failed" and rollout.phase == "running":
            turn.propose(f"rollout:{app.name}", EndRollout(
                app.name, rollout.id, "failed", waits.reason, waits.lines,
                roll_back=case.spec.deploy.auto_rollback, step=rollout.step))
        else:
            self._decide(turn, app, rollout, follow(
                app, rollout, case.seen, min_healthy_s=case.spec.deploy.min_healthy_s,
                at_once=case.spec.deploy.strategy == "recreate"))

    def _on_their_way(self, app: App, seen: Sequence[Seen]) -> list[Seen]:
        """Containers that may be there any moment, also where they are no longer wanted, and
        finished replicas of which no container is left.
        """
        there = {one.place for one in seen}
        done = [Seen(*one.place, finished=True) for one in self._fleet.attempts.of_app(app.name)
                if one.over == "finished" and one.place not in there]
        runs = {one.place for one in seen if not one.ended}
        return done + [
            Seen(template, slot) for name, template, slot in sorted(self._fleet.starting)
            if name == app.name and (template, slot) not in runs
        ]

    def _look(self, container: Container, spec: AppSpec, now_s: float) -> Seen:
        """How it does; it has been healthy only for as long as its checks have proved."""
        record = self._fleet.records.get(container.id)
        healthy_s = None
        if container.phase == "running" and record is not None and record.health == "healthy":
            healthy_s = 0.0 if record.failures else max(0.0, record.checked_s - record.changed_s)
            due_s = record.changed_s + spec.deploy.min_healthy_s
            if record.checked_s < due_s <= now_s < record.next_s and not record.failures:
                self._fleet.records[container.id] = replace(record, next_s=now_s)
        return Seen(
            container.revision, container.slot, healthy_s,
            serves=spec.type != "http" or self._serves(container.id),
            leaves=container.id in self._fleet.draining
            or container.id in self._fleet.to_replace,
            ended=container.phase == "exited" and not container.still_runs,
            finished=container.phase == "exited"
            and self._fleet.attempts.of(slot_of(container)).over == "finished",
        )

    def _watch(self, turn: Turn, case: _Case, *, waits: bool = False) -> None:
        """Fail a rollout that does not move, with the reason and what its replica wrote last.

        One that `waits` for something else than its replicas has no deadline meanwhile.
        """
        app, rollout, deploy = case.app, case.rollout, case.spec.deploy
        # A replica that comes and goes, again and again, is no progress.
        mark = (rollout.id, rollout.phase, rollout.new, rollout.old)
        mine = [one for one in self._fleet.attempts.of_app(app.name)
                if one.revision == app.made_from]
        failures = sum(one.failures for one in mine)
        watched = self._watched.get(app.name)
        if watched is None or watched.mark != mark or rollout.available > watched.best:
            watched = _Watched(mark, turn.now_s, rollout.available, failures)
            self._watched[app.name] = watched
        if waits:
            watched.since_s = turn.now_s
        again = rollout.kind == "rollback"  # nothing better is known than what it goes back to
        hopeless = not again and failures > watched.failures and any(
            one.looping or one.over == "failed" for one in mine)
        if turn.now_s - watched.since_s < deploy.progress_deadline_s and not hopeless:
            return
        late = case.late()
        stuck = self._has_image(app) and held(app, turn.state.runs) is not None
        if not watched.asked:
            watched.asked = True
            self._ask(turn, case, watched, late)
        if watched.lines is None:
            return
        self._fail(
            turn, case, backoff.problem(app.name, mine)[0] if hopeless else (
                self._reason(app, late, deploy.progress_deadline_s, stuck=stuck)), watched.lines)

    def _fail(
        self, turn: Turn, case: _Case, reason: str, lines: tuple[str, ...] = ()
    ) -> None:
        app, rollout = case.app, case.rollout
        again = rollout.kind == "rollback"  # nothing better is known than what it goes back to
        turn.propose(f"rollout:{app.name}", EndRollout(
            app.name, rollout.id, "overdue" if again else "failed", reason, lines,
            roll_back=case.spec.deploy.auto_rollback and not again, step=rollout.step))

    def _ask(self, turn: Turn, case: _Case, watched: _Watched, late: Container | None) -> None:
        def done(lines: Lines) -> None:
            watched.lines = lines

        if late is None or not self._last_lines.ask(late, case.spec, turn.state.secrets, done):
            watched.lines = ()

    def _reason(
        self, app: App, late: Container | None, deadline_s: int, *, stuck: bool
    ) -> str:
        text = f"no progress in {deadline_s} s"
        problem = self._fleet.problem(app.name)
        if problem is not None:
            return f"{text}: {problem.text}"
        pulling = self._fleet.pulling.get(app.name)
        if pulling is not None:
            return f"{text}: image {pulling} is still being pulled"
        if stuck:
            return f"{text}: the pre-deploy job of the deployment before has not ended"
        if late is None:
            return text
        record = self._fleet.records.get(late.id)
        why = why_not_healthy(late, record) or (
            "it was healthy for too short a time" if record and record.health == "healthy"
            else "it is not healthy yet")
        return f"{text}: {name_of_slot(app.name, late.slot)} of revision {late.revision}: {why}"

