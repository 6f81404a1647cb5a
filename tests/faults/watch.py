"""Watchers beside a fault: who holds the lease, and what one path answers from moment to moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.faults.clusters import Effect, FaultCluster
from tests.live import call

LOOK_GAP_S = 0.01
ANSWER_S = 1.0


@dataclass(frozen=True, slots=True)
class Epoch:
    """A leader's time in office; at Unix time `begun_s` it proposed the entry that begins it."""

    number: int
    holder: str
    begun_s: float


class Watcher:
    """Calls `look` again and again until it is left."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_GAP_S):
            self._look()


class EpochWatcher(Watcher):
    """Collects every epoch that any controller shows."""

    def __init__(self, cluster: FaultCluster) -> None:
        super().__init__(self._collect)
        self._cluster = cluster
        self._found: dict[int, Epoch] = {}
        self._turn = 0

    def epochs(self) -> list[Epoch]:
        """Those seen so far, oldest first."""
        return [epoch for _, epoch in sorted(self._found.items())]

    def _collect(self) -> None:
        self._turn += 1
        node = self._cluster.ids[self._turn % len(self._cluster.ids)]
        try:
            _, body, _ = call(
                "GET", self._cluster.url(node, "/cluster/status"), timeout_s=ANSWER_S)
        except OSError:
            return
        lease = body.get("lease")
        if lease:
            self._found[lease["term"]] = Epoch(
                lease["term"], lease["leader_id"], lease["acquired_at"])


class LeaderClaims(Watcher):
    """Asks one controller `/cluster/is-leader`, and keeps when it said what (Unix time)."""

    def __init__(self, cluster: FaultCluster, node: str) -> None:
        super().__init__(self._ask)
        self._url = cluster.url(node, "/cluster/is-leader")
        self.answers: list[tuple[float, int]] = []

    def _ask(self) -> None:
        asked_s = time.time()
        try:
            status, _, _ = call("GET", self._url, timeout_s=ANSWER_S)
        except OSError:
            return
        self.answers.append((asked_s, status))

    def denied(self, since_s: float) -> bool:
        """Whether it was asked since a moment, and said at last that it does not lead."""
        at_s, status = self.answers[-1] if self.answers else (0.0, 200)
        return at_s > since_s and status != 200

    def last_claim_s(self) -> float:
        """When it last was asked and said that it leads."""
        return max((at_s for at_s, status in self.answers if status == 200), default=0.0)


def by_others(effects: Sequence[Effect], epochs: Sequence[Epoch]) -> list[tuple[Effect, float]]:
    """Effects of controllers that no longer hold the epoch, with seconds since it ended."""
    found = []
    for effect in effects:
        current = [epoch for epoch in epochs if epoch.begun_s <= effect.at_s]
        if current and current[-1].holder != effect.node:
            found.append((effect, effect.at_s - current[-1].begun_s))
    return found


def overlaps(effects: Sequence[Effect], epochs: Sequence[Epoch]) -> list[Effect]:
    """Effects of a controller after the first one of its successor: two that act."""
    found = []
    for epoch, following in zip(epochs, [*epochs[1:], None], strict=True):
        end_s = following.begun_s if following is not None else float("inf")
        own = [e.at_s for e in effects if e.node == epoch.holder
               and epoch.begun_s <= e.at_s < end_s]
        if own:
            found += [e for e in effects
                      if e.node != epoch.holder and own[0] < e.at_s < min(own[-1], end_s)]
    return found
