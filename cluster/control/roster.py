"""Roster: the leader names the first members and notes with which data folder each came."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cluster.control.loop import Turn
from cluster.state.commands import BindMember, ChangeMembers
from cluster.state.model import ClusterState

RETRY_S = 1.0


class Roster:
    """`seed` maps ids to Raft addresses; `incarnations()` tells the known data folders by id."""

    name = "roster"

    def __init__(
        self, seed: Mapping[str, str], incarnations: Callable[[], Mapping[str, str]]
    ) -> None:
        self._seed = seed
        self._incarnations = incarnations
        self._next_s = 0.0

    def reset(self) -> None:
        """Look again at once."""
        self._next_s = 0.0

    def _moved(self, state: ClusterState) -> bool:
        """Whether the only controller listens elsewhere than when it was last named."""
        if len(state.members) != 1 or state.members.keys() != self._seed.keys():
            return False
        name, address = next(iter(self._seed.items()))
        return state.members[name].raft_address != address

    def step(self, turn: Turn) -> None:
        """Propose what the state lacks."""
        if turn.now_s < self._next_s:
            return
        state = turn.state
        if not state.members_index:
            turn.propose("members", ChangeMembers(0, tuple(sorted(self._seed.items()))))
            self._next_s = turn.now_s + RETRY_S
            return
        if self._moved(state):
            turn.propose("members", ChangeMembers(
                state.members_index, tuple(sorted(self._seed.items()))))
            self._next_s = turn.now_s + RETRY_S
            return
        unbound = [name for name, member in state.members.items() if not member.incarnation]
        if not unbound:
            return
        known = self._incarnations()
        for name in sorted(unbound):
            if name in known:
                turn.propose(f"bind:{name}", BindMember(name, known[name]))
        self._next_s = turn.now_s + RETRY_S
