"""MemoryCounters: the counts of one controller, for a bounded number of clients."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.clock import Clock
from cluster.live.limits import Counted, Limit, Window

CLIENTS_MAX = 16_384


@dataclass(slots=True)
class _Slot:
    used: int
    ends_s: float


class MemoryCounters:
    """Forgets the client that was silent for longest, when there are too many.

    Thread: any.
    """

    def __init__(self, clock: Clock, *, clients_max: int = CLIENTS_MAX) -> None:
        self._clock = clock
        self._clients_max = clients_max
        self._lock = threading.Lock()
        self._clients: OrderedDict[str, dict[int, _Slot]] = OrderedDict()

    def __len__(self) -> int:
        """How many clients are remembered."""
        return len(self._clients)

    def hit(self, client: str, limits: Sequence[Limit]) -> Counted:
        """Count a request, if it is within all limits."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            slots = self._slots(client, limits, now_s)
            allowed = _within(slots, limits)
            if allowed:
                for slot in slots:
                    slot.used += 1
            return _counted(slots, limits, now_s, allowed=allowed)

    def look(self, client: str, limits: Sequence[Limit]) -> Counted:
        """What `hit` would say, without counting."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            slots = self._slots(client, limits, now_s)
            return _counted(slots, limits, now_s, allowed=_within(slots, limits))

    def give_back(self, client: str, limits: Sequence[Limit]) -> None:
        """Take one counted request back."""
        with self._lock:
            for slot in self._slots(client, limits, self._clock.monotonic_s()):
                slot.used = max(0, slot.used - 1)

    def merge(
        self, client: str, limits: Sequence[Limit], shared: Counted, asked_s: float
    ) -> Counted:
        """Count a request that the shared counters were asked about at `asked_s`.

        Whoever knows of more requests is right: the shared counters know those at other
        controllers, this one knows those that the shared counters lost.
        """
        now_s = self._clock.monotonic_s()
        with self._lock:
            slots = self._slots(client, limits, now_s)
            allowed = shared.allowed and _within(slots, limits)
            for slot, window in zip(slots, shared.windows, strict=True):
                mine = slot.used + 1 if allowed else slot.used
                if window.used >= mine:
                    slot.used, slot.ends_s = window.used, asked_s + window.left_s
                else:
                    slot.used = mine
            return _counted(slots, limits, now_s, allowed=allowed)

    def _slots(self, client: str, limits: Sequence[Limit], now_s: float) -> list[_Slot]:
        """One slot for each limit, begun anew where its window is over."""
        kept = self._clients.get(client)
        if kept is None:
            if len(self._clients) >= self._clients_max:
                self._clients.popitem(last=False)
            kept = self._clients[client] = {}
        else:
            self._clients.move_to_end(client)
        slots = []
        for limit in limits:
            slot = kept.get(limit.window_s)
            if slot is None:
                slot = kept[limit.window_s] = _Slot(0, now_s + limit.window_s)
            elif not slot.used or slot.ends_s <= now_s:
                slot.used, slot.ends_s = 0, now_s + limit.window_s
            slots.append(slot)
        return slots


def _within(slots: Sequence[_Slot], limits: Sequence[Limit]) -> bool:
    return all(
        slot.used < limit.requests for slot, limit in zip(slots, limits, strict=True))


def _counted(
    slots: Sequence[_Slot], limits: Sequence[Limit], now_s: float, *, allowed: bool
) -> Counted:
    return Counted(allowed, tuple(
        # A sum of floating point numbers can be a trifle longer than the window.
        Window(slot.used, min(limit.window_s, max(0.0, slot.ends_s - now_s)))
        for slot, limit in zip(slots, limits, strict=True)))
