"""Memory: the outcomes of past writes by request id, so that a repeat changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from immutables import Map

from cluster.state.outcome import Applied

KEPT_MS = 24 * 3600 * 1000
KEPT_MAX = 50_000
KEPT_MIN = 1_000
"""So many are kept whatever the clock says: a clock that jumped must not forget them all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one write; `fingerprint` tells it from another under the same id."""

    request_id: str
    fingerprint: str
    at_ms: int
    applied: Applied


@dataclass(frozen=True, slots=True)
class Memory:
    """A persistent queue with look-up: every change is O(log n) and leaves the old one whole."""

    outcomes: Map[str, Outcome] = field(default_factory=Map)
    order: Map[int, str] = field(default_factory=Map)
    first: int = 0

    def recall(self, request_id: str) -> Outcome | None:
        """The outcome of an earlier write under this id."""
        return self.outcomes.get(request_id)

    def remember(self, outcome: Outcome) -> Memory:
        """One more; the oldest go when they are older than a day or too many."""
        number = self.first + len(self.order)
        outcomes = self.outcomes.set(outcome.request_id, outcome)
        order, first = self.order.set(number, outcome.request_id), self.first
        while len(order) > KEPT_MIN:
            oldest = outcomes[order[first]]
            if len(order) <= KEPT_MAX and oldest.at_ms > outcome.at_ms - KEPT_MS:
                break
            outcomes, order = outcomes.delete(oldest.request_id), order.delete(first)
            first += 1
        return Memory(outcomes, order, first)

    def __iter__(self) -> Iterator[Outcome]:
        """Oldest first."""
        return (
            self.outcomes[self.order[number]]
            for number in range(self.first, self.first + len(self.order))
        )

    def __len__(self) -> int:
        return len(self.order)

    def __eq__(self, other: object) -> bool:
        """Equal when they hold the same outcomes in the same order."""
        if not isinstance(other, Memory):
            return NotImplemented
        return len(self) == len(other) and all(
            mine == theirs for mine, theirs in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]
