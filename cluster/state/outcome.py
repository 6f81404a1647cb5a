"""Applied: the outcome of one command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestry.errors import Code


@dataclass(frozen=True, slots=True)
class Applied:
    """Accepted with a value, or rejected with a code; `index` is the log index."""

    index: int
    rejected: Code | None = None
    details: str = ""
    value: tuple[tuple[str, Any], ...] = ()

    def get(self, name: str) -> Any:
        """One part of the value, or None."""
        return dict(self.value).get(name)
