"""Image cleaner: what was pulled for revisions that are long over leaves the host.

Level-triggered: what may go follows from the state and from what is on the host, so that a
successor goes on by looking. The engine has the last word on what is in use.

Source: docs/adr/0036-unused-images.md.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.clock import Clock
from cluster.config.effective import Configured
from cluster.control.fleet import Fleet
from cluster.control.loop import Effect, Fenced, Turn
from cluster.control.unused_images import in_doubt, needed, unused
from cluster.control.workers import Outcome, Workers
from cluster.engine.base import Engine, EngineError, StoredImage
from cluster.state.commands import ForgetPulled
from cluster.state.pins import PulledImage

logger = logging.getLogger(__name__)

EVERY_S = 30.0
"""Also how long a new leader only looks on."""
AGAIN_S = 600.0
"""After the engine has said that an image is in use."""
AT_ONCE_MAX = 4
"""Images that are removed between two looks at the host."""
KEY = "image-cleaner"


@dataclass(slots=True)
class _Pass:
    """One look at the host, and what was done then."""

    absent: list[str] = field(default_factory=list)
    removed: list[StoredImage] = field(default_factory=list)
    in_use: list[str] = field(default_factory=list)
    error: EngineError | None = None


class ImageCleaner:
    """Removes unused images that the cluster has pulled, a few at a time and never by force."""

    name = "image-cleaner"

    def __init__(
        self, engine: Engine, fleet: Fleet, workers: Workers, clock: Clock, *,
        configured: Configured,
    ) -> None:
        self._engine = engine
        self._fleet = fleet
        self._workers = workers
        self._clock = clock
        self._configured = configured
        self.reset()

    def reset(self) -> None:
        """What was under way under an older lease is found again: a removal may be repeated."""
        self._due_s: float | None = None
        self._not_before_s: dict[str, float] = {}
        self._gone: dict[str, int] = {}

    def step(self, turn: Turn) -> None:
        """Forget what is gone; look at the host now and then, and remove what may go."""
        state, fleet = turn.state, self._fleet
        for image_id, index in list(self._gone.items()):
            found = state.pulled.get(image_id)
            if found is None or found.index != index:
                del self._gone[image_id]
            else:
                turn.propose(f"forget:{image_id}", ForgetPulled(image_id, index))
        if self._due_s is None:
            self._due_s = turn.now_s + EVERY_S
        if (
            turn.now_s < self._due_s or not state.pulled or state.restore is not None
            or fleet.holds(state) or fleet.engine_fault or fleet.quarantine.reason
        ):
            return
        self._pass(turn)

    def _pass(self, turn: Turn) -> None:
        needs = needed(turn.state, self._configured(turn.state.config).keep_images)
        pulled = {
            image_id: one for image_id, one in turn.state.pulled.items()
            if image_id not in self._gone}
        gone = self._gone
        held = {image_id for image_id, at_s in self._not_before_s.items() if at_s > turn.now_s}

        def job() -> _Pass:
            stored = self._engine.stored_images()
            here = {one.id for one in stored}
            found = _Pass(absent=[image_id for image_id in pulled if image_id not in here])
            may_go = [] if needs is None else [
                one for one in unused(pulled, stored, needs) if one.id not in held]
            for image in may_go[:AT_ONCE_MAX]:
                try:
                    with turn.act(Effect("docker", "remove image", "", image.id)):
                        is_gone = self._engine.remove_image(image.id)
                except EngineError as error:
                    found.error = error
                    found.in_use.append(image.id)
                    break
                if is_gone:
                    found.removed.append(image)
                else:
                    found.in_use.append(image.id)
            return found

        def done(outcome: Outcome) -> None:
            if gone is self._gone:
                self._fleet.cleaning = frozenset()
            if outcome.error is None:
                if gone is self._gone:  # of this lease; the next one finds it by looking
                    self._passed(outcome.value, pulled)
            elif isinstance(outcome.error, EngineError):
                logger.warning("unused images are not known: %s", outcome.error.reason)
            elif not isinstance(outcome.error, Fenced):
                logger.error("removing images failed", exc_info=outcome.error)

        if self._workers.start("image", KEY, job, done):
            self._due_s = turn.now_s + EVERY_S
            self._fleet.cleaning = frozenset() if needs is None else in_doubt(pulled, needs)

    def _passed(self, found: _Pass, pulled: Mapping[str, PulledImage]) -> None:
        now_s = self._clock.monotonic_s()
        self._not_before_s = {
            image_id: at_s for image_id, at_s in self._not_before_s.items() if at_s > now_s}
        for image_id in found.in_use:
            self._not_before_s[image_id] = now_s + AGAIN_S
        if found.error is not None:
            logger.warning("an image is not removed: %s", found.error.reason)
        for image in found.removed:
            name = (image.names or image.digests or (image.id,))[0]
            self._fleet.tell(
                "config", "", f"Image {name} is removed from the host, {_size(image)}: no "
                "application, run or kept revision needs it", image=name, image_id=image.id,
                size_bytes=image.size_bytes)
        for image_id in (*found.absent, *(image.id for image in found.removed)):
            self._gone[image_id] = pulled[image_id].index
        if len(found.removed) + len(found.in_use) >= AT_ONCE_MAX and found.error is None:
            self._due_s = now_s  # there may be more


def _size(image: StoredImage) -> str:
    return f"up to {image.size_bytes / 1_000_000:.1f} MB"
