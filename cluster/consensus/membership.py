"""Membership: who votes, according to one node's log.

A configuration holds from when its entry is in a log, committed or not; when the entry is
cut off again, the one before holds. Two that follow each other differ by one controller, so
each majority of one shares a voter with each majority of the other.

Source: Ongaro, Consensus: Bridging Theory and Practice, chapter 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cluster.consensus.errors import Halted
from cluster.state import codec
from cluster.state.commands import ChangeMembers
from cluster.state.model import ClusterState

MEMBERS_KIND = b"\x10"  # the first byte of its entries, which PySyncObj does not use


@dataclass(frozen=True, slots=True)
class Configuration:
    """The voters, id -> Raft address, by the log entry at `index`; 0: by the settings."""

    index: int
    addresses: Mapping[str, str]

    @classmethod
    def of(cls, state: ClusterState, seed: Mapping[str, str]) -> Configuration:
        """What a snapshot says, or `seed` before the first change."""
        if not state.members_index:
            return cls(0, seed)
        found = {name: member.raft_address for name, member in state.members.items()}
        return cls(state.members_index, found)


def majority(voters: int) -> int:
    """How many of `voters` decide."""
    return voters // 2 + 1


class Configurations:
    """All configurations of a log from the last committed one on; the Raft thread's."""

    def __init__(self, base: Configuration) -> None:
        self._found = [base]

    @property
    def latest(self) -> Configuration:
        """The one that holds."""
        return self._found[-1]

    def read(self, entries: Iterable[tuple[bytes, int, int]]) -> None:
        """Take over a log's entries behind the base."""
        for command, index, _ in entries:
            if index > self.latest.index:
                self.add(command, index)

    def add(self, entry: bytes, index: int) -> None:
        """Note an entry at the end of the log.

        Raises:
            Halted: it cannot be read, so nobody here knows who votes.
        """
        if not entry.startswith(MEMBERS_KIND):
            return
        try:
            command, _ = codec.decode_envelope(entry[1:].decode())
        except (codec.UnknownFormat, ValueError, KeyError, TypeError) as error:
            raise Halted(
                f"the members in entry {index} of the log cannot be read ({error}); start "
                "the version that the other controllers run"
            ) from error
        if isinstance(command, ChangeMembers) and command.previous == self.latest.index:
            self._found.append(Configuration(index, dict(command.members)))

    def cut(self, index: int) -> None:
        """The log lost its entries from `index` on; the base is committed and stays."""
        while len(self._found) > 1 and self.latest.index >= index:
            self._found.pop()

    def open(self) -> tuple[Configuration, ...]:
        """All that may still hold: the last committed one, and those behind it."""
        return tuple(self._found)

    def settle(self, commit_index: int) -> bool:
        """Forget what can hold no more: those before the last committed one; True if any."""
        count = len(self._found)
        while len(self._found) > 1 and self._found[1].index <= commit_index:
            del self._found[0]
        return len(self._found) < count

    def rebase(self, base: Configuration) -> None:
        """A snapshot took the place of the log."""
        self._found = [base]


def objection(
    command: ChangeMembers, latest: Configuration, *, me: str, live: frozenset[str]
) -> str:
    """Why a leader must not append a change; "" when it may.

    `live` holds the ids of the voters that answer, this one included.

    Source: etcd's strict check of reconfigurations.
    """
    after, before = dict(command.members), latest.addresses
    if command.previous != latest.index:
        return "the members changed meanwhile: look at them and ask again"
    if me not in after:
        return "the leader cannot be removed: transfer leadership first"
    added, removed = after.keys() - before.keys(), before.keys() - after.keys()
    moved = [name for name in after.keys() & before.keys() if after[name] != before[name]]
    if len(before) == len(after) == 1:
        moved = []  # nobody else has to know where the only controller listens
    if moved or len(added) + len(removed) > 1:
        return "one controller at a time can be added or removed"
    if len(set(after.values())) != len(after):
        return "another controller has that Raft address"
    voting = len(live & after.keys())
    first_addition = bool(added) and len(before) == 1
    if voting < majority(len(after)) and not first_addition:
        return (
            f"only {voting} of then {len(after)} controllers would be up, fewer than a "
            f"majority of {majority(len(after))}: first start those that are down, or remove them"
        )
    return ""
