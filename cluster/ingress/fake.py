"""FakeIngress: a table in memory, with faults on demand."""

from __future__ import annotations

from collections import deque

from cluster.ingress.base import IngressError, IngressState, IngressStats, PeerStats, Table

PUSHES_KEPT = 10_000
BOUNDS_MS = tuple(float(2**power) for power in range(16))


class FakeIngress:
    """Behaves like an ingress; fails when told to. `pushes` are (epoch, version), in order.

    `settles` is False for one with a worker that is late, None for one that does not tell.
    """

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.down = False
        self.settles: bool | None = True
        self.pushes: deque[tuple[int, int]] = deque(maxlen=PUSHES_KEPT)
        self._boots = 0
        self.restart()

    def restart(self) -> None:
        """Lose the table, as nginx does."""
        self._boots += 1
        self.table: Table | None = None
        self.counted: list[PeerStats] = []
        self.waiting: dict[str, int] = {}
        self.refused: dict[str, int] = {}

    def push(self, table: Table) -> IngressState:
        """Replace the table unless a newer one is there."""
        self._check()
        if self.table is not None:
            if table.cluster_id != self.table.cluster_id:
                raise IngressError("it belongs to another cluster")
            held = (self.table.epoch, self.table.version)
            if (table.epoch, table.version) < held:
                raise IngressError(f"it holds {held}", stale=True)
        self.table = table
        self.pushes.append((table.epoch, table.version))
        return self.state()

    def state(self) -> IngressState:
        """What it holds."""
        self._check()
        table = self.table
        return IngressState(
            f"boot-{self._boots}", table.epoch if table else 0, table.version if table else 0
        )

    def stats(self, *, wait_ms: int = 0) -> IngressStats:
        """What a test says that it counted; nobody has to wait for it."""
        self._check()
        return IngressStats(
            f"boot-{self._boots}", BOUNDS_MS, tuple(self.counted), dict(self.waiting),
            dict(self.refused), self._settled())

    def _settled(self) -> tuple[int, int] | None:
        if self.settles is None:
            return None
        table = self.table
        return (table.epoch, table.version) if table and self.settles else (0, 0)

    def _check(self) -> None:
        if self.down:
            raise IngressError("connection refused")
