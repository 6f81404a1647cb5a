"""Images: which image a template is made from, and that it is on the host before it is needed.

What is resolved is pinned in the state, once for each template, so that a replica which is added
a week later is made from the same image. Level-triggered: what an app needs is asked for until
it is there, one pull of an image at a time and few in all, in workers that nobody waits for.

Source: docs/adr/0034-images.md.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cluster.clock import Clock
from cluster.config.effective import Config, Configured
from cluster.control.fleet import TOLD_APPS_MAX, Fleet
from cluster.control.image_needs import Need, needs
from cluster.control.loop import Effect, Fenced, Turn
from cluster.control.pull_book import PullBook
from cluster.control.pull_policy import (
    Policy,
    must_pull,
    ref_of,
    retry_delay_s,
    why_missing,
)
from cluster.control.secret_values import Unresolved, registry_login
from cluster.control.workers import PULL, Outcome, Workers
from cluster.engine.base import Engine, EngineError, Image, PullOrder, PullProgress
from cluster.sealing import Keyring
from cluster.state.commands import PinImage, TellPulls
from cluster.state.images import pin_of
from cluster.state.model import App
from cluster.state.pins import Pin
from cluster.state.registries import secret_name
from orchestry.admission import full_name, registry_of

logger = logging.getLogger(__name__)

PROGRESS_S = 2.0
"""How often the state is told how far pulls are."""
FRESH_S = 5.0
"""So long a name stands for what it was found to stand for, also for apps that ask later."""


_Key = tuple[str, Policy]


@dataclass(slots=True)
class _Work:
    """One image on its way; `image` is there when `phase` is done."""

    phase: Literal["look", "pull", "done"] = "look"
    image: Image | None = None
    done_s: float = 0.0
    busy: bool = False
    unwanted: bool = False
    failures: int = 0
    not_before_s: float = 0.0
    error: EngineError | None = None
    is_told: bool = False
    """That it is pulled was said."""
    anew: bool = False
    """A new run waits for it, which does not end by what failed before."""
    doubt: frozenset[str] = frozenset()
    """What might leave the host while it was looked for."""
    pull_at_ms: int = 0
    login: int = 0
    progress: PullProgress = field(default_factory=PullProgress)


@dataclass(slots=True)
class PullCounts:
    """Pulls of this controller that ended, by result: done, or the engine's fault."""

    ended: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    running: int = 0


class Images:
    """Finds, pulls and pins the images that apps need."""

    name = "images"

    def __init__(
        self, engine: Engine, fleet: Fleet, workers: Workers, clock: Clock, *,
        configured: Configured, keyring: Keyring, counts: PullCounts | None = None,
    ) -> None:
        self._engine = engine
        self._fleet = fleet
        self._workers = workers
        self._clock = clock
        self._configured = configured
        self._keyring = keyring
        self._counts = counts or PullCounts()
        self._works: dict[_Key, _Work] = {}
        self._present: set[str] = set()
        """Refs of pins that were seen on the host while they are needed."""
        self._lost: set[str] = set()
        """Refs of pins that were not there when a container was to start."""
        self._book = PullBook(engine, workers)
        self._faults: dict[tuple[str, int], EngineError] = {}
        """Why an app has no image for a template."""
        self._newest_run = 0
        """Of those that were seen to wait."""
        self._told_s = float("-inf")

    def reset(self) -> None:
        """Everything is looked for anew; pulls under way end by their guard."""
        for work in self._works.values():
            work.unwanted = True
        self._works = {}
        self._present.clear()
        self._lost.clear()
        self._book.reset()
        self._faults = {}
        self._newest_run = 0

    # -- what the other loops ask ------------------------------------------------------

    def ref(self, app: App, template: int) -> str | None:
        """The image of a replica that is to start; None while it has to wait for it.

        "" for an older template that has no pin: the name in its spec holds.
        """
        pin = pin_of(app, template)
        if pin is None:
            return None if template == app.made_from else ""
        return None if pin.ref in self._lost else pin.ref

    def ref_of_run(self, app: App, template: int) -> str | None:
        """The image of what runs once; None while it has to wait for it."""
        pin = pin_of(app, template)
        return None if pin is None or pin.ref in self._lost else pin.ref

    def fault(self, app: str, template: int) -> EngineError | None:
        """Why an app does not get its image; None while it is looked for, or pulled."""
        return self._faults.get((app, template))

    def ready(self, app: App) -> bool:
        """Whether the image of the app's own template is known to be here.

        Before an app has replicas that could be lost by it, it is enough to know which it is.
        """
        pin = pin_of(app, app.made_from)
        return not app.replicas or (
            pin is not None and (app.rollout is None or pin.ref in self._present))

    def lost(self, ref: str) -> None:
        """A container could not start because this image is not here."""
        self._present.discard(ref)
        if ref:
            self._lost.add(ref)

    # -- the loop ----------------------------------------------------------------------

    def step(self, turn: Turn) -> None:
        """Go on with what is needed, give up what is not."""
        if self._fleet.holds(turn.state) or self._fleet.engine_fault:
            return
        wanted, anew = self._wanted(turn)
        self._keep(wanted, turn)
        config = self._configured(turn.state.config)
        for key in wanted:
            work = self._works.setdefault(key, _Work())
            if key in anew:
                work.failures, work.not_before_s, work.anew = 0, 0.0, True
        # What has failed waits for what has not: a registry that hangs takes no place for long.
        for key in sorted(wanted, key=lambda key: (self._works[key].failures, key)):
            with turn.apart(wanted[key][0].app.name):
                self._one(turn, key, wanted[key], config)
        self._book.step(turn, {
            full_name(name) for (name, _), work in self._works.items() if work.phase == "pull"})
        self._counts.running = self._workers.running(PULL)
        self._tell(turn, wanted)

    def _one(self, turn: Turn, key: _Key, asking: list[Need], config: Config) -> None:
        work = self._works[key]
        login = turn.state.secrets.get(secret_name(registry_of(key[0])))
        if work.login != (login.changed if login is not None else 0):
            work.login = login.changed if login is not None else 0
            work.failures, work.not_before_s = 0, 0.0  # another login: try at once
        self._go_on(turn, work, asking, config)
        if work.phase == "done" and work.image is not None:
            self._done(turn, work.image, asking)

    def _wanted(self, turn: Turn) -> tuple[dict[_Key, list[Need]], set[_Key]]:
        """What is needed, and which of it a new run asks for, which is tried at once."""
        state = turn.state
        waiting: dict[str, dict[int, int]] = {}
        newest = self._newest_run
        for run in state.runs.values():
            if run.phase == "waiting" and not run.ending:
                ids = waiting.setdefault(run.app, {})
                ids[run.template] = max(run.id, ids.get(run.template, 0))
                newest = max(newest, run.id)
        wanted: dict[_Key, list[Need]] = {}
        anew: set[_Key] = set()
        replicas = self._fleet.by_app()
        for app in state.apps.values():
            if app.deleting:
                continue
            runs = waiting.get(app.name, {})
            made = {one.revision for one in replicas.get(app.name, ())}
            with turn.apart(app.name):
                for need in needs(
                    app, runs, lost=self._lost, present=self._present, made=made
                ):
                    key = (need.name, need.policy)
                    wanted.setdefault(key, []).append(need)
                    if runs.get(need.template, 0) > self._newest_run:
                        anew.add(key)
        self._newest_run = newest
        return wanted, anew

    def _keep(self, wanted: Collection[_Key], turn: Turn) -> None:
        """Forget what nobody needs any more, and what was found too long ago."""
        for key, work in list(self._works.items()):
            stale = work.phase == "done" and turn.now_s - work.done_s > FRESH_S
            if key not in wanted or stale:
                work.unwanted = True
                del self._works[key]
        rolling = {
            pin.ref for app in turn.state.apps.values() if app.rollout is not None
            for pin in app.pins}
        self._present &= rolling
        if self._lost:
            self._lost &= {pin.ref for app in turn.state.apps.values() for pin in app.pins}

    def _go_on(self, turn: Turn, work: _Work, asking: list[Need], config: Config) -> None:
        if work.busy or work.phase == "done" or turn.now_s < work.not_before_s:
            return
        if work.phase == "look":
            self._look(work, asking[0])
        elif self._workers.running(PULL) + self._book.preparing(
            full_name(asking[0].name)
        ) < config.max_pulls:
            self._pull(turn, work, asking, config)

    def _look(self, work: _Work, need: Need) -> None:
        def done(outcome: Outcome) -> None:
            work.busy = False
            if outcome.error is not None:
                self._failed(work, outcome.error)
            elif must_pull(need.policy, outcome.value):
                work.phase = "pull"
            elif outcome.value is None:
                why = why_missing(need.name, need.pin)
                self._failed(work, EngineError("image_missing", why))
            else:
                self._found(work, outcome.value)

        work.doubt = self._fleet.cleaning
        work.busy = self._workers.start(
            "image", f"image:{need.policy}:{need.name}",
            lambda: self._engine.image(need.name), done)

    def _pull(self, turn: Turn, work: _Work, asking: list[Need], config: Config) -> None:
        need, full = asking[0], full_name(asking[0].name)
        if not self._book.may_begin(turn, full):
            return
        try:
            login = registry_login(registry_of(need.name), turn.state.secrets, self._keyring)
        except Unresolved as error:
            self._failed(work, EngineError("registry_down", error.reason))
            return  # another leader may have the key
        order = PullOrder(
            need.name, login, idle_s=config.pull_idle_timeout_s, whole_s=config.pull_timeout_s)

        def guard() -> None:
            if work.unwanted:
                raise Fenced("no application waits for it any more")
            turn.guard()

        def tell(progress: PullProgress) -> None:
            work.progress = progress

        def job() -> Image:
            with turn.act(Effect("docker", "pull", need.app.name, need.name)):
                return self._engine.pull(order, guard=guard, tell=tell)

        def done(outcome: Outcome) -> None:
            self._pulled(work, need, outcome, self._clock.monotonic_s() - turn.now_s)

        work.doubt = self._fleet.cleaning
        work.busy = self._workers.start("pull", f"{PULL}{full}", job, done)
        if work.busy:
            self._book.began(full)
            work.pull_at_ms, work.progress = turn.now_ms, PullProgress()
            if not work.is_told:
                work.is_told = True
                self._say(asking, f"Pulling image {need.name}", need.name)

    def _pulled(self, work: _Work, need: Need, outcome: Outcome, took_s: float) -> None:
        work.busy, work.pull_at_ms = False, 0
        error = outcome.error
        result = "done" if error is None else (
            error.fault if isinstance(error, EngineError) else "given_up")
        self._counts.ended[result] += 1
        self._counts.seconds += took_s
        if error is not None:
            if work.unwanted or isinstance(error, Fenced):
                return
            work.phase = "look"  # it may have come otherwise
            self._failed(work, error, need.pin)
            return
        if not work.unwanted:
            self._fleet.tell(
                "config", need.app.name, f"Image {need.name} is pulled, in {took_s:.1f} s",
                image=need.name, seconds=round(took_s, 1))
            self._found(work, outcome.value)

    def _found(self, work: _Work, image: Image) -> None:
        if image.id in work.doubt or image.id in self._fleet.cleaning:
            work.phase = "look"  # again, when it is known whether it stays
            return
        work.phase, work.image, work.error, work.anew = "done", image, None, False
        work.done_s = self._clock.monotonic_s()

    def _failed(self, work: _Work, error: Exception, pin: Pin | None = None) -> None:
        if not isinstance(error, EngineError):
            logger.error("looking for an image failed", exc_info=error)
            error = EngineError("rejected", "an error of Orchestry itself; see its log")
        elif pin is not None:
            error = EngineError(error.fault, (
                f"{error.reason}; revision {pin.template} is pinned to it: a restart of the "
                f"application takes what {pin.image} is now"))
        work.failures += 1
        work.error, work.anew = error, False
        work.not_before_s = self._clock.monotonic_s() + retry_delay_s(work.failures)
        logger.warning("an image cannot be had: %s", error.reason)

    def _done(self, turn: Turn, image: Image, asking: list[Need]) -> None:
        for need in asking:
            ref = need.pin.ref if need.pin is not None else ref_of(need.name, image)
            self._present.add(ref)
            self._lost.discard(ref)
            if need.pin is None:
                turn.propose(f"pin:{need.app.name}:{need.template}", PinImage(
                    need.app.name, need.template, need.name, ref, image.id))

    # -- words -------------------------------------------------------------------------

    def _say(self, asking: list[Need], text: str, image: str) -> None:
        for name in sorted({need.app.name for need in asking})[:TOLD_APPS_MAX]:
            self._fleet.tell("config", name, text, image=image)

    def _tell(self, turn: Turn, wanted: Mapping[_Key, list[Need]]) -> None:
        """Let the report have faults at once, and the state progress now and then."""
        self._faults = {}
        faults: dict[str, EngineError] = {}
        self._fleet.pulling = {}
        progress: dict[str, tuple[str, int, int]] = {}
        for key, asking in wanted.items():
            work = self._works[key]
            for need in asking:
                if work.error is not None:
                    faults[need.app.name] = work.error
                if work.error is not None and not work.anew:
                    self._faults[need.app.name, need.template] = work.error
                if work.pull_at_ms:
                    self._fleet.pulling[need.app.name] = need.name
            begun = turn.state.pulls.get(full_name(key[0]))
            far = work.progress.done_bytes, work.progress.total_bytes
            if work.pull_at_ms and begun and far != (begun.done_bytes, begun.total_bytes):
                progress[begun.name] = begun.name, *far
        self._fleet.images_failed(faults)
        if progress and turn.now_s - self._told_s >= PROGRESS_S and turn.propose(
            "pull-progress", TellPulls(tuple(progress[name] for name in sorted(progress)))
        ):
            self._told_s = turn.now_s

