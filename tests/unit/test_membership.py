"""Who votes, according to a log: the same answer however the log came to be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.consensus.errors import Halted
from cluster.consensus.membership import (
    MEMBERS_KIND,
    Configuration,
    Configurations,
    majority,
    objection,
)
from cluster.state.codec import decode_snapshot, encode_envelope, encode_snapshot
from cluster.state.commands import ChangeMembers, Noop, Stamp
from cluster.state.machine import apply
from cluster.state.model import ClusterState

SEED = {"a": "h:1", "b": "h:2", "c": "h:3"}
SETS = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 5), min_size=1).map(
    lambda found: tuple(sorted((name, f"h:{port}") for name, port in found.items())))
CHANGES = st.builds(ChangeMembers, previous=st.integers(0, 12), members=SETS)
STAMP = Stamp(at_ms=1, by="a")


def entry(command: ChangeMembers) -> bytes:
    """As it is in the log."""
    return MEMBERS_KIND + encode_envelope(command, STAMP).encode()


class Model:
    """The plain truth: all entries, looked at from the first."""

    def __init__(self) -> None:
        self.log: list[ChangeMembers | None] = []

    def latest(self) -> Configuration:
        """The configuration by definition."""
        found = Configuration(0, SEED)
        for index, command in enumerate(self.log, 1):
            if command is not None and command.previous == found.index:
                found = Configuration(index, dict(command.members))
        return found


@given(st.lists(st.one_of(
    st.tuples(st.just("add"), st.none() | CHANGES),
    st.tuples(st.just("cut"), st.integers(1, 12)),
    st.tuples(st.just("commit"), st.integers(1, 12)),
    st.tuples(st.just("restart"), st.none()),
), max_size=30))
@settings(deadline=None)
def test_appends_cuts_and_restarts_lead_to_one_answer(steps: list[tuple[str, object]]) -> None:
    """The configurations kept in memory, by the state, and by definition are the same."""
    model, kept, committed = Model(), Configurations(Configuration(0, SEED)), 0
    for step, value in steps:
        if step == "add":
            command = value if isinstance(value, ChangeMembers) else None
            model.log.append(command)
            kept.add(entry(command) if command else b"\x00{}", len(model.log))
        elif step == "cut":
            assert isinstance(value, int)
            first = max(value, committed + 1)
            del model.log[first - 1:]
            kept.cut(first)
        elif step == "commit":
            assert isinstance(value, int)
            committed = max(committed, min(value, len(model.log)))
            kept.settle(committed)
        else:
            kept = restarted(model, committed)
        assert kept.latest == model.latest()


def restarted(model: Model, committed: int) -> Configurations:
    """From a snapshot of what is committed, and the entries behind it."""
    state = ClusterState()
    for index, command in enumerate(model.log[:committed], 1):
        state, _ = apply(state, command or Noop(), STAMP, index)
    state = decode_snapshot(encode_snapshot(state))
    found = Configurations(Configuration.of(state, SEED))
    found.read([
        (entry(command) if command else b"\x00{}", index, 1)
        for index, command in enumerate(model.log, 1) if index > committed
    ])
    return found


@given(SETS, SETS, st.frozensets(st.sampled_from("abcde")))
@settings(deadline=None)
def test_sets_that_may_follow_each_other_share_a_voter(
    before: tuple[tuple[str, str], ...], after: tuple[tuple[str, str], ...], live: frozenset[str]
) -> None:
    """Any majority of one meets any majority of the other, and the new one is up."""
    me = before[0][0]
    latest = Configuration(4, dict(before))
    if objection(ChangeMembers(4, after), latest, me=me, live=live | {me}):
        return
    old, new = set(dict(before)), set(dict(after))
    assert majority(len(old)) + majority(len(new)) > len(old | new)
    assert me in new
    assert len(old) == 1 or len((live | {me}) & new) >= majority(len(new))


@pytest.mark.parametrize(("command", "live", "why"), [
    (ChangeMembers(3, tuple(SEED.items())), "abc", "meanwhile"),
    (ChangeMembers(4, (("b", "h:2"), ("c", "h:3"))), "abc", "transfer leadership"),
    (ChangeMembers(4, (("a", "h:1"),)), "abc", "one controller at a time"),
    (ChangeMembers(4, (("a", "h:1"), ("b", "h:9"), ("c", "h:3"))), "abc", "one controller"),
    (ChangeMembers(4, (("a", "h:9"),)), "abc", "one controller"),
    (ChangeMembers(4, (*SEED.items(), ("d", "h:3"))), "abc", "that Raft address"),
    (ChangeMembers(4, (*SEED.items(), ("d", "h:4"))), "ab", "majority of 3"),
    (ChangeMembers(4, (("a", "h:1"), ("b", "h:2"))), "ac", "majority of 2"),
    (ChangeMembers(4, (*SEED.items(), ("d", "h:4"))), "abc", ""),
    (ChangeMembers(4, (("a", "h:1"), ("b", "h:2"))), "ab", ""),
])
def test_what_a_leader_refuses(command: ChangeMembers, live: str, why: str) -> None:
    """Each refusal says why."""
    found = objection(command, Configuration(4, SEED), me="a", live=frozenset(live))
    assert (why in found) if why else found == ""


def test_the_only_controller_may_move() -> None:
    """Its address concerns nobody else."""
    alone = Configuration(4, {"a": "h:1"})
    moved = ChangeMembers(4, (("a", "h:9"),))
    assert objection(moved, alone, me="a", live=frozenset("a")) == ""


def test_an_entry_that_cannot_be_read_halts() -> None:
    """Nobody goes on without knowing who votes."""
    with pytest.raises(Halted, match="members in entry 7"):
        Configurations(Configuration(0, SEED)).add(MEMBERS_KIND + b"{", 7)
