"""Driver: one step of everything that a controller does by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from cluster.clock import Clock
from cluster.consensus.lease import Lease
from cluster.consensus.log import ReplicatedLog, Ticket
from cluster.control.actions import NoRecorder, Recorder
from cluster.control.fleet import Fleet
from cluster.control.lease_keeper import LeaseKeeper
from cluster.control.loop import Effect, Fenced, Loop, Turn
from cluster.control.specs import Reader
from cluster.control.workers import PULL, Workers
from cluster.state.commands import Command, Stamp
from orchestry.errors import OrchestryError

logger = logging.getLogger(__name__)

BACKOFF_MIN_S = 1.0
BACKOFF_MAX_S = 60.0
PROPOSAL_TIMEOUT_S = 5.0
PROPOSALS_MAX = 256
SAID_AGAIN_S = 60.0
SAID_MAX = 1000


@dataclass
class _Trouble:
    """A loop that raised: a programmer's error must not stop the other loops."""

    next_s: float = 0.0
    delay_s: float = BACKOFF_MIN_S


@dataclass(slots=True)
class Timing:
    """The steps of one loop so far."""

    steps: int = 0
    total_s: float = 0.0
    failures: int = 0


class _Apart:
    """Ends here what is raised about one app; made for each app at each step, so it is small."""

    __slots__ = ("_app", "_blame", "_loop")

    def __init__(
        self, blame: Callable[[str, str, Exception], None], loop: str, app: str
    ) -> None:
        self._blame, self._loop, self._app = blame, loop, app

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Blame the app."""
        if not isinstance(error, Exception):
            return False
        self._blame(self._loop, self._app, error)
        return True


class Driver:
    """Owns the lease and steps the loops while it holds; has no thread of its own.

    The controller steps it in the control thread, the simulation in virtual time.
    """

    def __init__(
        self,
        controller_id: str,
        log: ReplicatedLog,
        *,
        loops: Sequence[Loop],
        fleet: Fleet,
        workers: Workers,
        clock: Clock,
        lease_ttl_s: float,
        recorder: Recorder | None = None,
        adopt: str = "",
    ) -> None:
        self._id = controller_id
        self._log = log
        self._loops = list(loops)
        self._fleet = fleet
        self._workers = workers
        self._clock = clock
        self.keeper = LeaseKeeper(controller_id, log, clock, ttl_s=lease_ttl_s, adopt=adopt)
        self._recorder = recorder or NoRecorder()
        self._epoch = 0
        self._aside_until_s = float("-inf")
        self._specs = Reader()
        self._trouble: dict[str, _Trouble] = {}
        self._proposals: dict[str, tuple[Ticket, float]] = {}
        self._said_s: dict[tuple[str, str], float] = {}
        """When a fault of a loop about an app was written down last."""
        self.timings = {loop.name: Timing() for loop in self._loops}

    def step(self) -> None:
        """Deliver results, keep the lease, run the loops when acting; never blocks."""
        self._workers.drain()
        self._forget_settled()
        self.keeper.step()
        if self._clock.monotonic_s() < self._aside_until_s and self._is_idle():
            self.keeper.release(until_s=self._aside_until_s)
        lease = self.keeper.acting()
        if lease is None:
            if self._epoch:
                self._leave()
            self._specs.step(self._log.state())  # who may lead next has them parsed
            return
        if self._clock.monotonic_s() < self._aside_until_s:
            return
        if lease.epoch != self._epoch:
            self._leave()
            self._epoch = lease.epoch
            logger.info("acting under epoch %s", lease.epoch)
        while not self._specs.step(self._log.state()):
            self.keeper.step()
            now = self.keeper.acting()
            if now is None or now.epoch != lease.epoch:
                return
        for loop in self._loops:
            self._run(loop, lease)
            self.keeper.step()  # with thousands of apps a loop takes its time

    def stand_aside(self, until_s: float) -> None:
        """Begin nothing, and give the lease up once nothing of ours is on its way.

        A lease given up earlier would let the successor act beside a call of ours that is
        still under way; when one does not end, the successor waits the lease out.
        """
        self._aside_until_s = until_s

    def resume(self) -> None:
        """Stand aside no more."""
        self._aside_until_s = float("-inf")
        self.keeper.resume()

    def _is_idle(self) -> bool:
        """Nothing of ours is on its way but pulls, which harm no successor and end by the lease."""
        return self._workers.running("") == self._workers.running(PULL)

    def _leave(self) -> None:
        self._epoch = 0
        self._fleet.forget()
        self._trouble.clear()
        self._said_s.clear()
        self._proposals.clear()
        for loop in self._loops:
            loop.reset()

    def _run(self, loop: Loop, lease: Lease) -> None:
        now_s = self._clock.monotonic_s()
        trouble = self._trouble.get(loop.name)
        if trouble is not None and now_s < trouble.next_s:
            return
        turn = Turn(
            state=self._log.state(), lease=lease, now_s=now_s, now_ms=self._clock.wall_ms(),
            guard=lambda: self._guard(lease.epoch),
            act=lambda effect: self._act(lease.epoch, effect),
            propose=lambda key, command: self._propose(key, command, lease),
            apart=lambda app: _Apart(self._blame, loop.name, app),
        )
        timing = self.timings[loop.name]
        timing.steps += 1
        try:
            loop.step(turn)
            self._trouble.pop(loop.name, None)
        except Exception:
            timing.failures += 1
            delay_s = trouble.delay_s if trouble else BACKOFF_MIN_S
            self._trouble[loop.name] = _Trouble(
                now_s + delay_s, min(delay_s * 2, BACKOFF_MAX_S)
            )
            logger.exception("loop %s failed; next try in %s s", loop.name, delay_s)
        timing.total_s += self._clock.monotonic_s() - now_s

    def _blame(self, loop: str, app: str, error: Exception) -> None:
        """A programmer's error that one app brings to light must not stop the others."""
        self.timings[loop].failures += 1
        now_s, key = self._clock.monotonic_s(), (loop, app)
        said_s = self._said_s.get(key)
        if said_s is None and len(self._said_s) >= SAID_MAX:
            return
        if said_s is None:
            self._fleet.tell(
                "error", app, f"An error of Orchestry itself holds up '{app}' (loop {loop}): see "
                "the log of this controller", loop=loop)
        if said_s is None or now_s - said_s >= SAID_AGAIN_S:
            self._said_s[key] = now_s
            logger.error(
                "loop %s failed about %s; the others go on", loop, app, exc_info=error)

    @contextmanager
    def _act(self, epoch: int, effect: Effect) -> Iterator[None]:
        lease = self.keeper.acting()
        if lease is None or lease.epoch != epoch:
            raise Fenced(f"epoch {epoch} is over")
        now_s = self._clock.monotonic_s()
        with self._recorder.act(lease, now_s, effect):
            self._guard(epoch)
            yield

    def _guard(self, epoch: int) -> None:
        lease = self.keeper.acting()
        if lease is None or lease.epoch != epoch:
            raise Fenced(f"epoch {epoch} is over")

    def _propose(self, key: str, command: Command, lease: Lease) -> bool:
        """Submit unless the same key is still under way; the log is asked again later."""
        if key in self._proposals or len(self._proposals) >= PROPOSALS_MAX:
            return False
        stamp = Stamp(self._clock.wall_ms(), self._id, epoch=lease.epoch)
        ticket = self._log.submit(command, stamp)
        self._proposals[key] = (ticket, self._clock.monotonic_s() + PROPOSAL_TIMEOUT_S)
        self._forget_settled()
        return True

    def _forget_settled(self) -> None:
        now_s = self._clock.monotonic_s()
        for key, (ticket, until_s) in list(self._proposals.items()):
            try:
                settled = ticket.poll() is not None
            except OrchestryError:
                settled = True
            if settled or now_s > until_s:
                del self._proposals[key]
