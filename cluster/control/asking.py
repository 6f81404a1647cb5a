"""asking: calls of the engine in workers, which hold back what hangs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from cluster.control.fleet import Fleet
from cluster.control.workers import Done, Outcome, Workers


@dataclass(frozen=True, slots=True)
class Call:
    """A call about `app`; `key` is that of its worker, `what` says in words what it does."""

    lane: Literal["start", "stop"]
    key: str
    app: str
    what: str

    @property
    def quarantine_key(self) -> str:
        """What it is set aside by."""
        return f"{self.lane}:{self.app}:{self.key}"


def ask(
    fleet: Fleet, workers: Workers, call: Call, job: Callable[[], Any], done: Done
) -> bool:
    """Begin a call, ever more seldom where it hangs; True when it was begun."""
    key = call.quarantine_key
    if not fleet.quarantine.may_begin(key):
        return False

    def ended(outcome: Outcome) -> None:
        fleet.operation_ended(key, call.app, call.what, outcome.error)
        done(outcome)

    if not workers.start(call.lane, call.key, job, ended):
        return False
    fleet.quarantine.began(key)
    return True
