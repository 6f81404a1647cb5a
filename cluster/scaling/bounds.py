"""bounds: between which counts an app may scale at a given hour; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cluster.scaling.cron import parse
from orchestry.spec.model import Scaling, ScheduleEntry


@dataclass(frozen=True, slots=True)
class Bounds:
    """The fewest and the most replicas; `entries` are the positions of the schedule's entries
    that set them, none when the policy's own hold."""

    minimum: int
    maximum: int
    entries: tuple[int, ...] = ()

    def within(self, replicas: int) -> int:
        """What the autoscaler makes of a number, whatever the load."""
        return min(max(replicas, self.minimum), self.maximum)


def bounds(policy: Scaling, wall_ms: int) -> Bounds:
    """The bounds at a moment, milliseconds since 1970.

    An entry holds for its duration from each moment at which its cron expression fires, in
    real seconds. It replaces the policy's own bounds; of several that hold at once, the highest
    minimum and the highest maximum count.
    """
    if not policy.schedule:
        return Bounds(policy.min_replicas, policy.max_replicas)
    now = datetime.fromtimestamp(wall_ms // 60_000 * 60, UTC)
    second = timedelta(milliseconds=wall_ms % 60_000)
    active = tuple(
        position for position, entry in enumerate(policy.schedule)
        if (fired := _fired(entry, now)) is not None
        and now + second < fired + timedelta(seconds=entry.duration_s)
    )
    if not active:
        return Bounds(policy.min_replicas, policy.max_replicas)
    entries = [policy.schedule[position] for position in active]
    return Bounds(
        max(entry.min_replicas for entry in entries),
        max(entry.max_replicas for entry in entries), active,
    )


@lru_cache(maxsize=4096)
def _fired(entry: ScheduleEntry, now: datetime) -> datetime | None:
    """Cached, as a round of decisions asks many times in one minute."""
    most = timedelta(seconds=entry.duration_s + 60)
    try:
        return parse(entry.cron).last(entry.timezone, now, most)
    except (LookupError, ValueError, OSError):
        return None  # a zone that only another controller knows: the policy's own bounds hold
