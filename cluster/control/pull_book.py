"""Pulls on record: what was on the host before each, so that what they bring is known as ours.

That is in the state before a pull begins. However it ends, and whoever leads then, a look tells
what its name stands for now: an image that was not there before came by us.

Source: docs/adr/0038-pulls-on-record.md.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass

from cluster.control.loop import Turn
from cluster.control.workers import PULL, Outcome, Workers
from cluster.engine.base import Engine, EngineError, Image
from cluster.state.commands import BeginPull, NotePulled
from cluster.state.images import BEGUN_MAX
from cluster.state.model import ClusterState
from cluster.state.pins import HERE_UNKNOWN, BegunPull

logger = logging.getLogger(__name__)

ID_CHARACTERS = 12
HERE_MAX = 2_000
"""Images on the host; what is pulled to one with more is not known as ours, and stays."""
FRESH_S = 10.0
"""So long a list tells what was there just before a pull."""
SETTLE_S = 5.0
"""A pull of a leader before may still end: so long nothing is not its last word."""
LATE_S = 60.0
"""So long after a pull what is there may be from it, and then from anybody."""
RETRY_S = 1.0
LIST_S = 10.0
"""So long a pull waits for a list of what is here."""


@dataclass(slots=True)
class _Listed:
    """What is on the host before a pull; `here` is None while that is asked for.

    `since_s` is when it was asked for first.
    """

    since_s: float
    asked_s: float
    here: tuple[str, ...] | None = None
    failed: bool = False


@dataclass(slots=True)
class _Over:
    """A pull that is over, and what its name stands for since."""

    since_s: float
    busy: bool = False
    looked: bool = False
    image: Image | None = None
    retry_s: float = 0.0


class PullBook:
    """Lets pulls begin when they are on record, and ends their records; names are in full."""

    def __init__(self, engine: Engine, workers: Workers) -> None:
        self._engine = engine
        self._workers = workers
        self.reset()

    def reset(self) -> None:
        """What is not on record yet did not begin."""
        self._listed: dict[str, _Listed] = {}
        self._over: dict[str, _Over] = {}

    def may_begin(self, turn: Turn, name: str) -> bool:
        """Whether the pull of a name may begin now; False while that is prepared."""
        begun, listed = turn.state.pulls.get(name), self._listed.get(name)
        if listed is None and begun is not None:
            # What was there before the pull of a leader before was there before this one, too.
            return begun.epoch != turn.lease.epoch and not self._workers.running(_key(name))
        if listed is None or (listed.here is not None and turn.now_s - listed.asked_s > FRESH_S):
            self._list(turn, name, turn.now_s)
            return False
        if listed.failed and turn.now_s - listed.since_s > LIST_S:
            listed.here, listed.failed = HERE_UNKNOWN, False  # it keeps no pull waiting
        elif listed.failed and turn.now_s - listed.asked_s >= RETRY_S:
            self._list(turn, name, listed.since_s)
        if listed.here is None:
            return False
        if begun is None and len(turn.state.pulls) >= BEGUN_MAX:
            return True  # without a record
        if begun is not None and begun.here == listed.here:
            return True
        turn.propose(f"begin-pull:{name}", BeginPull(name, listed.here))
        return False

    def preparing(self, name: str) -> int:
        """How many others are about to begin."""
        return len(self._listed.keys() - {name})

    def began(self, name: str) -> None:
        """The pull is under way."""
        self._listed.pop(name, None)
        self._over.pop(name, None)

    def _list(self, turn: Turn, name: str, since_s: float) -> None:
        listed = _Listed(since_s, turn.now_s)

        def done(outcome: Outcome) -> None:
            if outcome.error is not None:
                listed.failed = True
            elif len(outcome.value) > HERE_MAX:
                listed.here = HERE_UNKNOWN
            else:
                listed.here = tuple(sorted(short_id(one.id) for one in outcome.value))

        if self._workers.start(
            "image", f"image:here:{name}", self._engine.stored_images, done
        ):
            self._listed[name] = listed

    # -- afterwards --------------------------------------------------------------------

    def step(self, turn: Turn, wanted: Collection[str]) -> None:
        """End the records of pulls that are over; `wanted` are the names that are to be pulled."""
        pulls = turn.state.pulls
        self._listed = {name: one for name, one in self._listed.items() if name in wanted}
        self._over = {name: one for name, one in self._over.items() if name in pulls}
        for name, begun in pulls.items():
            if name in self._listed or self._workers.running(_key(name)):
                continue
            over = self._over.setdefault(name, _Over(turn.now_s))
            if not over.looked:
                self._look(turn, name, over)
                continue
            brought = what_came(turn.state, name, begun, over.image)
            waited_s = turn.now_s - over.since_s
            if waited_s > LATE_S:
                brought = ""
            elif not brought and begun.epoch != turn.lease.epoch and waited_s < SETTLE_S:
                over.looked = False
                continue
            turn.propose(f"end-pull:{name}", NotePulled(brought, name))

    def _look(self, turn: Turn, name: str, over: _Over) -> None:
        if over.busy or turn.now_s < over.retry_s:
            return

        def done(outcome: Outcome) -> None:
            over.busy = False
            if outcome.error is None:
                over.looked, over.image = True, outcome.value
            elif not isinstance(outcome.error, EngineError):
                logger.error("looking for a pulled image failed", exc_info=outcome.error)

        over.retry_s = turn.now_s + RETRY_S
        over.busy = self._workers.start(
            "image", f"image:after:{name}", lambda: self._engine.image(name), done)


def short_id(image_id: str) -> str:
    """As much of an id as tells the images of one host apart."""
    return image_id.removeprefix("sha256:")[:ID_CHARACTERS]


def what_came(state: ClusterState, name: str, begun: BegunPull, image: Image | None) -> str:
    """The id of the image that pulls of a name have brought; "" for none that is ours."""
    if image is None:
        return ""
    is_new = begun.here != HERE_UNKNOWN and short_id(image.id) not in begun.here
    return image.id if is_new or image.id in state.pulled else ""


def _key(name: str) -> str:
    return f"{PULL}{name}"
