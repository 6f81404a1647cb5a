"""Restarts: counts how replicas end, tells of it, and says when a slot may be tried again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from cluster.config.keys import spec_defaults
from cluster.control import backoff
from cluster.control.attempts import Slot, slot_of
from cluster.control.fleet import Fleet
from cluster.control.last_lines import LastLines, Lines
from cluster.control.loop import Turn
from cluster.control.plan import wanted_places
from cluster.control.specs import old_specs, spec_for
from cluster.engine.base import EXIT_UNKNOWN, Container
from cluster.state.exits import Attempts
from cluster.state.model import App
from cluster.state.replicas import name_of_slot
from orchestry.spec.model import AppSpec

EVENT_GAP_S = 10.0
"""Between two events of one app about failures; those between are counted in the next."""
EVENTS_PER_MINUTE_MAX = 60
"""Of all apps: a storm of failures must not drive everything else out of the log."""
READ_S = 1.0
"""How long a start waits for the last lines of the container that it replaces."""


@dataclass(slots=True)
class _Told:
    """What was told of an app, and how many failures were not."""

    at_s: float = float("-inf")
    reason: str = ""
    looping: bool = False
    untold: int = 0


class Restarts:
    """Looks at containers that have ended, whenever the fleet or the apps changed.

    The end of a container counts once, under whatever leader: the state names the last one.
    """

    name = "restarts"

    def __init__(self, fleet: Fleet, last_lines: LastLines) -> None:
        self._fleet = fleet
        self._lines = last_lines
        self.reset()

    def reset(self) -> None:
        """Look at everything anew."""
        self._seen: tuple[object, int] = (None, -1)
        self._told: dict[str, _Told] = {}
        self._events_s: deque[float] = deque()

    def step(self, turn: Turn) -> None:
        """Count what ended since the last look."""
        fleet = self._fleet
        if fleet.holds(turn.state) or (
            self._seen[0] is turn.state.apps and self._seen[1] == fleet.version
        ):
            return
        by_app = fleet.by_app()
        wanted: set[Slot] = set()
        for app in turn.state.apps.values():
            places = wanted_places(app)
            wanted.update((app.name, *place) for place in places)
            ended = [one for one in by_app.get(app.name, ())
                     if one.phase == "exited" and (one.revision, one.slot) in places]
            if ended:
                with turn.apart(app.name):
                    self._app(turn, app, ended)
        if fleet.attempts.keep_only(wanted):
            fleet.touch()
        for gone in [name for name in self._told if name not in turn.state.apps]:
            del self._told[gone]
        self._seen = (turn.state.apps, fleet.version)

    def _app(self, turn: Turn, app: App, ended: list[Container]) -> None:
        defaults = spec_defaults(turn.state.config)
        older = old_specs(app, defaults)
        mine = spec_for(app, defaults)
        for container in ended:
            own = container.revision == app.made_from
            spec = mine if own else older.get(container.revision)
            if spec is None or container.exit_code == EXIT_UNKNOWN:
                continue
            # What its own spec says of restarts, the newest revision decides.
            policy = mine or spec
            if self._fleet.attempts.knows(container):
                if self._fleet.attempts.judged_again(container, policy):
                    self._fleet.touch()
            elif container.id not in self._fleet.draining:
                after = self._fleet.attempts.ended(container, policy)
                self._fleet.touch()
                self._tell(turn, container, spec, after)

    def _tell(
        self, turn: Turn, container: Container, spec: AppSpec, after: Attempts
    ) -> None:
        """An event, with the last lines if they can be had soon; not for each of very many."""
        told, now_s = self._told.setdefault(container.app, _Told()), turn.now_s
        assert after.last is not None
        news = after.last.reason != told.reason or (after.looping and not told.looping)
        while self._events_s and now_s - self._events_s[0] >= 60.0:
            self._events_s.popleft()
        if len(self._events_s) >= EVENTS_PER_MINUTE_MAX or (
            now_s - told.at_s < EVENT_GAP_S and not news
        ):
            told.untold += 1
            return
        more, told.untold = told.untold, 0
        told.at_s, told.reason, told.looping = now_s, after.last.reason, after.looping
        self._events_s.append(now_s)
        slot = slot_of(container)

        def tell(lines: Lines) -> None:
            self._fleet.attempts.reads(slot, 0)
            self._fleet.tell(
                "health" if after.over == "finished" else "error", container.app,
                message(container, after), **details(container, after, more), lines=lines)

        if self._fleet.engine_fault or not self._lines.ask(
            container, spec, turn.state.secrets, tell
        ):
            tell(())
        else:
            self._fleet.attempts.reads(slot, now_s + READ_S)


def message(container: Container, after: Attempts) -> str:
    """What happened, in a sentence."""
    name = name_of_slot(container.app, container.slot)
    how = backoff.words(after.last)
    if after.over == "finished":
        return f"Container {name} has finished"
    if after.over == "failed":
        return f"Container {name} died and is not started again: {how}"
    if after.looping:
        return f"Container {name} is in a crash loop: {how}"
    return f"Container {name} died: {how}"


def details(container: Container, after: Attempts, more: int) -> dict[str, object]:
    """The same for programs; `untold` failures of the app had no event of their own."""
    assert after.last is not None
    return {
        "container_id": container.id[:12], "container": container.name,
        "reason": after.last.reason, "exit_code": after.last.exit_code,
        "signal": after.last.signal, "failures": after.failures, "in_a_row": after.in_a_row,
        "crash_loop": after.looping, "next_attempt_at_ms": after.next_at_ms, "untold": more,
    }
