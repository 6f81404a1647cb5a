"""Exits: how the replica of a slot ended, how often, and when it may be tried again; values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ExitReason = Literal["exited", "oom_killed", "unhealthy"]


@dataclass(frozen=True, slots=True)
class Exit:
    """How one container ended, or why it was taken down; `container` is its id.

    `signal` is a name such as SIGKILL, "" when none ended it. `exit_code` is None for a
    container that was taken down because of its checks.
    """

    container: str
    reason: ExitReason
    at_ms: int
    exit_code: int | None = None
    signal: str = ""


@dataclass(frozen=True, slots=True)
class Attempts:
    """What one slot of a template has been through; kept as long as the slot is wanted.

    `failures` are all of them, `in_a_row` those since it was last up for long, `recent_ms` the
    times of the newest. `looping` says that too many came in too short a time. Before
    `next_at_ms` it is not started again. `over` says that its restart policy wants it no more.
    """

    revision: int
    slot: int
    failures: int = 0
    oom_kills: int = 0
    in_a_row: int = 0
    recent_ms: tuple[int, ...] = ()
    looping: bool = False
    next_at_ms: int = 0
    over: Literal["", "finished", "failed"] = ""
    last: Exit | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Template and slot."""
        return self.revision, self.slot


def grown(before: tuple[Attempts, ...], after: tuple[Attempts, ...]) -> tuple[int, int]:
    """How many failures, and how many of them for want of memory, `after` has more."""
    known = {one.place: one for one in before}
    failures = oom_kills = 0
    for one in after:
        last = known.get(one.place)
        failures += max(0, one.failures - (last.failures if last else 0))
        oom_kills += max(0, one.oom_kills - (last.oom_kills if last else 0))
    return failures, oom_kills
