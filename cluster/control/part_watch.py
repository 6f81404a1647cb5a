"""PartWatch: tells the cluster when a part around a controller fails, and when it is back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.control.vitals import Component
from cluster.state.commands import RecordEvent

STEADY_S = 4.0
"""A new status counts when it holds for so long; vitals are measured every 2 s."""
WELL = frozenset({"healthy", "disabled"})


@dataclass(slots=True)
class _Part:
    told: bool
    seen: bool
    since_s: float


class PartWatch:
    """One controller's; `step` belongs to one thread."""

    def __init__(self, node_id: str) -> None:
        self._id = node_id
        self._parts: dict[str, _Part] = {}

    def step(self, components: Mapping[str, Component], now_s: float) -> list[RecordEvent]:
        """The events that are due; a part is taken to be well until it was not for a while."""
        due = []
        for name, component in components.items():
            well = component.status in WELL
            part = self._parts.setdefault(name, _Part(told=True, seen=well, since_s=now_s))
            if well != part.seen:
                part.seen, part.since_s = well, now_s
            if part.seen != part.told and now_s >= part.since_s + STEADY_S:
                part.told = part.seen
                due.append(self._event(name, component, well=well))
        return due

    def _event(self, name: str, component: Component, *, well: bool) -> RecordEvent:
        before, after = ("failing", component.status) if well else ("healthy", component.status)
        what = "works again" if well else f"is {component.status}"
        return RecordEvent(
            "cluster", "", f"{name} of {self._id} {what}", tuple(sorted({
                "node": self._id, "part": name, "before": before, "after": after,
                "reason": component.detail,
            }.items())))
