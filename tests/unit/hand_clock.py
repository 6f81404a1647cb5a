"""A clock for tests of what goes by time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class HandClock:
    """Moves when told to."""

    now_s: float = 1000.0

    def monotonic_s(self) -> float:
        """Seconds."""
        return self.now_s

    def wall_ms(self) -> int:
        """Milliseconds."""
        return round(self.now_s * 1000)
