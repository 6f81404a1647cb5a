"""What goes wrong with certificates."""

from __future__ import annotations


class TlsError(Exception):
    """A file that cannot be used; `reason` names it, and what is right."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
