"""Runs: containers that do one thing and end, each of them once.

The record of a run is in the state before its container is made, under the run's id: a leader
that takes over finds the container by it, and goes on. What it does not find and never saw was
not made; what was seen, and is gone, is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from cluster.config.keys import spec_defaults
from cluster.control.asking import Call, ask
from cluster.control.fleet import Fleet
from cluster.control.images import Images
from cluster.control.last_lines import LastLines, Lines
from cluster.control.loop import Effect, Fenced, Turn
from cluster.control.plan import request
from cluster.control.pre import held
from cluster.control.run_plan import LINGER_S, LINGERING_MAX, Facts, next_of, retry_delay_s
from cluster.control.secret_values import Unresolved, secret_values
from cluster.control.specs import spec_for, spec_of_template
from cluster.control.workers import Outcome, Workers
from cluster.engine.base import Container, Engine, EngineError, RunRequest
from cluster.sealing import Keyring
from cluster.state.commands import EndRun, PrepareRevision, StepRun
from cluster.state.model import App, ClusterState, Run
from cluster.state.runs import run_name
from orchestry.spec.model import AppSpec

logger = logging.getLogger(__name__)

AT_ONCE_MAX = 16
"""Runs with a container, of the whole cluster."""
RETRY_S = 2.0
FINAL = ("image_missing", "unauthorized", "rejected", "name_taken")
"""Faults that another try does not mend."""


@dataclass(slots=True)
class _Memory:
    """What this leader knows of one run (monotonic times)."""

    there_s: float | None = None
    """When its container was last known to be there."""
    ran_from_s: float | None = None
    tried_from_s: float | None = None
    over_s: float | None = None
    seen_s: float | None = None
    retry_s: float = 0.0
    refused: str = ""
    trouble: str = ""
    silent: bool = False
    """The last try to start it had no answer: it may have begun all the same."""
    lines: Lines | None = None
    container: Container | None = None


class Runs:
    """Starts runs in turn, watches them, and removes what they leave behind."""

    name = "runs"

    def __init__(
        self, engine: Engine, fleet: Fleet, workers: Workers, images: Images,
        last_lines: LastLines, *,
        keyring: Keyring,
    ) -> None:
        self._engine = engine
        self._fleet = fleet
        self._workers = workers
        self._images = images
        self._last_lines = last_lines
        self._keyring = keyring
        self._known: dict[int, _Memory] = {}
        self._apps: object = None
        self._with_pre: list[str] = []

    def reset(self) -> None:
        """What runs is found again by observation; its time begins anew."""
        self._known = {}
        self._apps = None

    def step(self, turn: Turn) -> None:
        """Look at each run; without an observation nothing is done."""
        fleet, state = self._fleet, turn.state
        if fleet.holds(state) or fleet.engine_fault:
            return
        self._prepare(turn)
        active = sorted(
            (run for run in state.runs.values() if not run.is_over),
            key=lambda run: (run.kind != "pre", run.id))
        ids = {run.id for run in active} | fleet.runs.keys()
        self._known = {run: memory for run, memory in self._known.items() if run in ids}
        room = AT_ONCE_MAX - sum(
            self._workers.running(_key(run)) > 0 or (
                # One that cannot be stopped takes nobody's turn.
                run.id in fleet.runs
                and not fleet.quarantine.is_aside(_stopping(run).quarantine_key))
            for run in active)
        for run in active:
            with turn.apart(run.app):
                room -= self._one(turn, run, may_start=room > 0)
        self._clean_up(turn)

    # -- what prepares revisions -------------------------------------------------------

    def _prepare(self, turn: Turn) -> None:
        """Ask for the run that a new revision waits for."""
        if turn.state.apps is not self._apps:
            self._apps = turn.state.apps
            self._with_pre = sorted(
                app.name for app in turn.state.apps.values() if '"pre"' in app.document)
        for name in self._with_pre:
            with turn.apart(name):
                self._prepare_one(turn, turn.state.apps[name])

    def _prepare_one(self, turn: Turn, app: App) -> None:
        spec = spec_for(app, spec_defaults(turn.state.config))
        if spec is None or spec.deploy.pre is None:
            return
        if app.rollout is not None and app.rollout.phase != "running":
            return
        found = held(app, turn.state.runs)
        if found is not None and found.phase == "due" and self._images.ready(app):
            turn.propose(f"prepare:{app.name}", PrepareRevision(
                app.name, app.revision, spec.deploy.pre.timeout_s))

    # -- one run -----------------------------------------------------------------------

    def _one(self, turn: Turn, run: Run, *, may_start: bool) -> bool:
        """Do what is next; True when it was started."""
        memory = self._known.setdefault(run.id, _Memory())
        container = self._fleet.runs.get(run.id)
        if container is not None:
            memory.container = container
            if container.phase != "created":  # one that cannot be started is removed again
                memory.there_s = turn.now_s
            if container.phase == "running" and memory.ran_from_s is None:
                memory.ran_from_s = turn.now_s
        elif run.phase == "running" and memory.there_s is None:
            memory.there_s = turn.now_s  # known from the state: a look from now on tells
        found = next_of(run, container, self._facts(turn, run, memory))
        if found.act == "start":
            return may_start and not self._holds(turn, run, memory) and self._start(
                turn, run, memory)
        if found.act == "note":
            assert container is not None
            turn.propose(_key(run), StepRun(
                run.id, container.id, container.name, container.started_at_ms))
        elif found.act == "time up":
            assert container is not None
            turn.propose(_key(run), StepRun(
                run.id, container.id, container.name, container.started_at_ms, timed_out=True))
        elif found.act == "read":
            self._read(turn.state, run, memory)
        elif found.act == "stop":
            self._stop(turn, run, memory)
        elif found.act == "end":
            last = memory.container
            ended = last if last is not None and last.phase == "exited" and (
                not last.still_runs) else None
            turn.propose(_key(run), EndRun(
                run.id, found.outcome, ended.exit_code if ended else None, found.reason,
                memory.lines or (), last.id if last else "", last.name if last else "",
                last.started_at_ms if last else 0, ended.finished_at_ms if ended else 0))
        return False

    def _holds(self, turn: Turn, run: Run, memory: _Memory) -> bool:
        """A further attempt waits, and what takes the place of another one until that is gone."""
        if run.kind != "job":
            return False
        if memory.seen_s is None:
            memory.seen_s = turn.now_s
        if turn.now_s - memory.seen_s < retry_delay_s(run.attempt):
            return True
        return any(
            other.app == run.app and other.ending and not other.is_over and other.id < run.id
            for other in turn.state.runs.values())

    def _facts(self, turn: Turn, run: Run, memory: _Memory) -> Facts:
        looked_s = self._fleet.observed_from_s or 0.0

        def since(moment_s: float | None, until_s: float) -> float:
            return 0.0 if moment_s is None else until_s - moment_s

        return Facts(
            was_there=memory.there_s is not None,
            is_gone=memory.there_s is not None and looked_s > memory.there_s,
            busy=self._workers.running(_key(run)) > 0, refused=memory.refused,
            trouble=memory.trouble, silent=memory.silent, ran_s=since(memory.ran_from_s, looked_s),
            waited_s=since(memory.tried_from_s, turn.now_s), lines=memory.lines,
            unfit=memory.container.error
            if memory.container is not None and memory.container.still_runs else "")

    def _start(self, turn: Turn, run: Run, memory: _Memory) -> bool:
        if turn.now_s < memory.retry_s:
            return False
        if memory.tried_from_s is None:
            memory.tried_from_s = turn.now_s
        try:
            order = self._order(turn, run)
        except Unresolved as error:  # another leader may have the key
            memory.retry_s, memory.trouble = turn.now_s + RETRY_S, error.reason
            return False
        if isinstance(order, str):
            memory.refused = order
            return False
        pinned = self._image(turn.state.apps[run.app], run, memory)
        if pinned is None:
            return False
        order = replace(order, pinned=pinned)

        def job() -> Container:
            with turn.act(Effect("docker", "start", run.app, run_name(run))):
                return self._engine.run(order, guard=turn.guard)

        def done(outcome: Outcome) -> None:
            if outcome.error is None:
                self._fleet.run_started(outcome.value)
            elif isinstance(outcome.error, EngineError):
                logger.warning("starting %s failed: %s", run_name(run), outcome.error.reason)
                memory.retry_s = turn.now_s + RETRY_S
                memory.trouble, memory.silent = outcome.error.reason, outcome.error.silent
                if outcome.error.fault == "image_missing":
                    self._images.lost(pinned)
                elif outcome.error.fault in FINAL:
                    memory.refused = outcome.error.reason
            elif not isinstance(outcome.error, Fenced):
                logger.error("starting %s failed", run_name(run), exc_info=outcome.error)
                memory.retry_s, memory.trouble = turn.now_s + RETRY_S, "an error of Orchestry"

        if self._fleet.quarantine.reason:
            memory.trouble = self._fleet.quarantine.reason
        call = Call("start", _key(run), run.app, f"Starting {run_name(run)}")
        return ask(self._fleet, self._workers, call, job, done)

    def _image(self, app: App, run: Run, memory: _Memory) -> str | None:
        """Its image; None while it waits for that, or is to end without."""
        pinned = self._images.ref_of_run(app, run.template)
        if pinned is None:
            error = self._images.fault(app.name, run.template)
            memory.trouble = error.reason if error else "its image is not on the host yet"
            if error is not None and error.fault in FINAL:
                memory.refused = error.reason
        return pinned

    def _order(self, turn: Turn, run: Run) -> RunRequest | str:
        """What to ask the engine for, or why that is not known any more.

        Raises:
            Unresolved: a secret cannot be opened here and now.
        """
        state = turn.state
        app, spec = state.apps.get(run.app), _spec(state, run)
        if app is None or spec is None:
            return f"revision {run.template} of '{run.app}' is not kept any more"
        values = secret_values(spec, state.secrets, run.template, self._keyring)
        if run.kind == "pre" and spec.deploy.pre is not None:
            run = replace(run, command=spec.deploy.pre.command)
        return request(
            app, spec, 0, cluster_id=state.cluster_id, epoch=turn.lease.epoch,
            template=run.template, secrets=values, run=run)

    def _reader(
        self, state: ClusterState, run: Run, container: Container
    ) -> Callable[[], Lines] | None:
        """How to read what it wrote last; None when nobody knows what must be hidden in it."""
        spec = _spec(state, run)
        return None if spec is None else self._last_lines.reader(
            container.id, spec, state.secrets, run.template)

    def _read(self, state: ClusterState, run: Run, memory: _Memory) -> None:
        """Keep what it wrote last."""
        container = memory.container
        assert container is not None
        reader = self._reader(state, run, container)
        if reader is None:
            memory.lines = ()
            return

        def done(outcome: Outcome) -> None:
            memory.lines = outcome.value if outcome.error is None else ()
            if outcome.error is not None and not isinstance(outcome.error, EngineError):
                logger.error("reading the last lines failed", exc_info=outcome.error)

        self._workers.start("lines", _key(run), reader, done)

    def _stop(self, turn: Turn, run: Run, memory: _Memory) -> None:
        """End and remove a container whose run is to end, after a look at what it wrote."""
        container = memory.container
        if container is None or turn.now_s < memory.retry_s:
            return
        self._remove(
            turn, _stopping(run), container, memory, grace_s=self._grace_s(turn.state, run),
            reader=self._reader(turn.state, run, container))

    def _remove(
        self, turn: Turn, call: Call, container: Container, memory: _Memory, *, grace_s: int = 0,
        reader: Callable[[], Lines] | None = None,
    ) -> None:
        def job() -> Lines:
            lines = memory.lines or ()
            if reader is not None:
                with suppress(EngineError):
                    lines = reader()
            with turn.act(Effect("docker", "stop", container.app, container.id)):
                self._engine.stop(container.id, grace_s=grace_s)
            return lines

        def done(outcome: Outcome) -> None:
            memory.retry_s = turn.now_s + RETRY_S
            if outcome.error is None:
                memory.lines = outcome.value
                self._fleet.removed(container.id)
            elif isinstance(outcome.error, EngineError):
                logger.warning("stopping %s failed: %s", container.name, outcome.error.reason)
            elif not isinstance(outcome.error, Fenced):
                logger.error("stopping %s failed", container.name, exc_info=outcome.error)

        ask(self._fleet, self._workers, call, job, done)

    def _grace_s(self, state: ClusterState, run: Run) -> int:
        app = state.apps.get(run.app)
        if app is not None and app.deleting and app.stop_force:
            return 0
        spec = spec_for(app) if app is not None else None
        return spec.termination.grace_period_s if spec is not None else 10

    # -- what is left ------------------------------------------------------------------

    def _clean_up(self, turn: Turn) -> None:
        """Remove the containers of runs that are over, some time later, or not known."""
        left: list[tuple[float, Container]] = []
        for run_id, container in self._fleet.runs.items():
            run = turn.state.runs.get(str(run_id))
            if run is not None and not run.is_over:
                continue
            memory = self._known.setdefault(run_id, _Memory())
            if memory.over_s is None:
                memory.over_s = turn.now_s
            ended = container.phase == "exited" and not container.still_runs
            wanted = run is not None and ended and not _is_leaving(turn.state.apps, run.app)
            left.append((memory.over_s if wanted else float("-inf"), container))
        left.sort(key=lambda one: one[0], reverse=True)
        for number, (over_s, container) in enumerate(left):
            memory = self._known[container.run]
            if number < LINGERING_MAX and turn.now_s - over_s < LINGER_S:
                continue
            if turn.now_s >= memory.retry_s:
                self._remove(turn, Call(
                    "stop", f"run:{container.app}:{container.run}:", container.app,
                    f"Removing {container.name}"), container, memory)


def _spec(state: ClusterState, run: Run) -> AppSpec | None:
    app = state.apps.get(run.app)
    return spec_of_template(
        app, run.template, spec_defaults(state.config)) if app is not None else None


def _is_leaving(apps: Mapping[str, App], name: str) -> bool:
    app = apps.get(name)
    return app is None or app.deleting


def _key(run: Run) -> str:
    return f"run:{run.app}:{run.id}:"  # so that none is the beginning of another


def _stopping(run: Run) -> Call:
    return Call("stop", _key(run), run.app, f"Stopping {run_name(run)}")
