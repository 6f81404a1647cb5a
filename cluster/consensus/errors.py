"""What keeps a Raft node from running."""

from __future__ import annotations


class ConsensusError(Exception):
    """The node cannot run as asked; `reason` names the cause and the remedy."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Halted(Exception):
    """The node must stop applying: going on could make it differ from the others."""
