"""LeaseKeeper: takes, keeps and gives up the right to act.

Source: docs/adr/0003-lease-and-epoch.md, 0014-an-epoch-begins-when-the-one-before-is-over.md.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass

from cluster.clock import Clock
from cluster.consensus.lease import Lease
from cluster.consensus.log import ReplicatedLog, Ticket
from cluster.state.commands import BeginEpoch, Noop, RenewLease, Stamp
from cluster.state.model import Applied, Leadership
from orchestry.errors import OrchestryError

logger = logging.getLogger(__name__)

DRIFT_MARGIN_S = 0.1
"""Added to a foreign lease: clocks of two machines run at slightly different rates."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A lease command under way."""

    ticket: Ticket
    command: Noop | BeginEpoch | RenewLease
    sent_s: float
    before: Leadership
    """What was there when the command was sent."""


class LeaseKeeper:
    """Stepped by the driver; holds no thread and never waits."""

    def __init__(
        self, controller_id: str, log: ReplicatedLog, clock: Clock, *, ttl_s: float,
        adopt: str = "",
    ) -> None:
        """`adopt` is the id of a lost cluster, which an empty one takes."""
        self._adopt = adopt
        self._id = controller_id
        self._log = log
        self._clock = clock
        self._ttl_s = ttl_s
        self._asked: _Asked | None = None
        self._lease: Lease | None = None
        self._act_from_s = float("inf")
        self._begin_from_s: float | None = None
        self._seen = log.state().leadership
        self._seen_s = clock.monotonic_s()
        self._released_until_s = float("-inf")

    def acting(self) -> Lease | None:
        """The lease under which this controller may act at this very moment."""
        lease, now_s = self._lease, self._clock.monotonic_s()
        if lease is None or not lease.valid(now_s) or now_s < self._act_from_s:
            return None
        return lease

    def release(self, *, until_s: float = float("inf")) -> None:
        """Act no more before `until_s`, and tell the successor that it need not wait."""
        lease = self.acting()
        self._released_until_s = until_s
        self._lease = self._asked = None
        if lease is not None:
            stamp = Stamp(self._clock.wall_ms(), self._id, epoch=lease.epoch)
            self._log.submit(RenewLease(0), stamp)

    def resume(self) -> None:
        """Ask for a lease again when Raft says that we lead; callable from any thread."""
        self._released_until_s = float("-inf")

    def step(self) -> None:
        """Drop a lease that is over, then ask for one or renew it when Raft says we lead."""
        now_s = self._clock.monotonic_s()
        self._watch(now_s)
        if now_s < self._released_until_s:
            return
        if self._lease is not None and not self._lease.valid(now_s):
            logger.warning("the lease of epoch %s ran out", self._lease.epoch)
            self._lease = None
        if not self._log.is_raft_leader():
            self._lease = self._asked = self._begin_from_s = None
            return
        self._settle(now_s)
        self._ask(now_s)

    def _watch(self, now_s: float) -> None:
        """Note when another's lease was last seen to begin or to be renewed."""
        leadership = self._log.state().leadership
        if leadership != self._seen:
            if self._foreign(leadership.holder):
                self._seen_s = now_s
            self._seen = leadership

    def _foreign(self, holder: str) -> bool:
        return holder not in ("", self._id)

    def _settle(self, now_s: float) -> None:
        asked = self._asked
        if asked is None:
            return
        try:
            applied = asked.ticket.poll()
        except OrchestryError:
            self._asked = None
            return
        if applied is None:
            if now_s - asked.sent_s > self._ttl_s:
                self._asked = None
            return
        self._asked = None
        if isinstance(asked.command, Noop):
            self._look(asked)
        elif applied.rejected is not None:
            self._lease = None
        elif isinstance(asked.command, BeginEpoch):
            self._begin(asked, applied)
        elif self._lease is not None:
            self._lease = Lease(self._lease.epoch, asked.sent_s, self._ttl_s)

    def _look(self, asked: _Asked) -> None:
        """An entry of ours is committed: our state now shows all that came before it."""
        lead = self._log.state().leadership
        wait_s = self._wait_s(lead.holder, lead.ttl_ms)
        self._begin_from_s = self._counts_from_s(asked, lead.renewed_at_ms) + wait_s

    def _begin(self, asked: _Asked, applied: Applied) -> None:
        """Act, once the lease of the one before us is over.

        It was sat out before the epoch began. Who was before us, only the log knows for
        sure: should it have been another than we had seen, that one's lease is sat out now.
        """
        wait_s = self._wait_s(applied.get("previous_holder"), applied.get("previous_ttl_ms"))
        self._act_from_s = wait_s + self._counts_from_s(
            asked, applied.get("previous_renewed_at_ms"))
        self._lease = Lease(int(applied.get("epoch")), asked.sent_s, self._ttl_s)
        logger.info("epoch %s begins", self._lease.epoch)

    def _wait_s(self, holder: str, ttl_ms: int) -> float:
        """How long the lease of the one before us may last: it may act until that ends."""
        return ttl_ms / 1000 + DRIFT_MARGIN_S if self._foreign(holder) else 0.0

    def _counts_from_s(self, asked: _Asked, renewed_at_ms: int) -> float:
        """From when the lease before ours counts at the latest.

        That is the send of a renewal that was in our log before we led, so our own send at
        the latest; when we saw its last renewal, if that was the last.
        """
        if renewed_at_ms == asked.before.renewed_at_ms:
            return min(asked.sent_s, self._seen_s)
        return asked.sent_s

    def _ask(self, now_s: float) -> None:
        lease = self._lease
        if self._asked is not None:
            return
        if lease is not None and now_s < lease.renewed_at_s + self._ttl_s / 3:
            return
        if lease is None and self._begin_from_s is not None and now_s < self._begin_from_s:
            return
        ttl_ms = int(self._ttl_s * 1000)
        command: Noop | BeginEpoch | RenewLease
        if lease is not None:
            command = RenewLease(ttl_ms)
        elif self._begin_from_s is None:
            command = Noop()
        else:
            command = BeginEpoch(
                self._id, ttl_ms, self._adopt or uuid.uuid4().hex, adopts=bool(self._adopt))
        stamp = Stamp(
            self._clock.wall_ms(), self._id, epoch=lease.epoch if lease is not None else None)
        self._asked = _Asked(self._log.submit(command, stamp), command, now_s, self._seen)
