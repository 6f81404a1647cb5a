"""What keeps a Raft node from running."""

from __future__ import annotations


class ConsensusError(Exception):
    """The node cannot run as asked; the text names the cause and the remedy."""


class Halted(Exception):
    """The node must stop applying: going on could make it differ from the others."""
