"""Tokens in the state: made, bounded, revoked, kept in snapshots and backups."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from cluster.state import backup
from cluster.state import commands as c
from cluster.state.codec import (
    decode_envelope,
    decode_part,
    decode_snapshot,
    encode_envelope,
    encode_part,
    encode_snapshot,
)
from cluster.state.machine import apply
from cluster.state.model import Applied, ClusterState, Token
from cluster.state.tokens import TOKENS_MAX, has_admin, is_valid, merged
from orchestry.access import ROLES, Role, at_least
from orchestry.errors import Code

ROOT = c.Origin("root", "me", "10.0.0.1", "POST", "/api/v1/tokens")


def token(name: str, role: Role = "viewer", **parts: Any) -> Token:
    """A token whose hash follows from its name."""
    return Token(name, name, role, f"{name:0>64}", **parts)


def run(state: ClusterState, *commands: c.Command, at_ms: int = 1000) -> tuple[
        ClusterState, Applied]:
    """The state after some commands, and the last outcome."""
    applied = Applied(0)
    for command in commands:
        state, applied = apply(
            state, command, c.Stamp(at_ms, "one", origin=ROOT), state.index + 1)
    return state, applied


def test_a_token_has_its_time_and_maker() -> None:
    """The stamp says when; the event names the token and who made it, and not its hash."""
    state, applied = run(ClusterState(), c.CreateToken(token("ci", apps="shop-")))
    (kept,) = state.tokens.values()
    assert (kept.created_at_ms, kept.apps, applied.get("id")) == (1000, "shop-", "ci")
    details = dict(state.events[-2].details)
    assert (details["actor"], details["token"], details["by"]) == ("root", "ci", "one")
    assert kept.hash not in str(state.events)


@pytest.mark.parametrize("bad", [
    replace(token("a"), hash="short"), replace(token("a"), role=cast(Any, "root")),
    token("a", "admin", apps="shop-"),
])
def test_a_token_that_makes_no_sense_is_refused(bad: Token) -> None:
    """Whatever the proposer checked, the state holds only what can be used."""
    state, applied = run(ClusterState(), c.CreateToken(bad))
    assert (applied.rejected, len(state.tokens)) == (Code.VALIDATION_ERROR, 0)


def test_neither_id_nor_hash_is_there_twice() -> None:
    """Both name one token."""
    state, _ = run(ClusterState(), c.CreateToken(token("a")))
    for other in (replace(token("b"), id="a"), replace(token("b"), hash=token("a").hash)):
        after, applied = run(state, c.CreateToken(other))
        assert (applied.rejected, after.tokens) == (Code.CONFLICT, state.tokens)


def test_tokens_are_bounded_and_expired_ones_make_room() -> None:
    """At the limit the expired go; without any, no more are made."""
    first = token("old", expires_at_ms=5000)
    made = [c.CreateToken(token(f"t{n}")) for n in range(TOKENS_MAX - 1)]
    state, _ = run(ClusterState(), c.CreateToken(first), *made)
    assert len(state.tokens) == TOKENS_MAX
    _, applied = run(state, c.CreateToken(token("new")), at_ms=4999)
    assert applied.rejected is Code.CONFLICT
    state, applied = run(state, c.CreateToken(token("new")), at_ms=5000)
    assert applied.rejected is None
    assert first.hash not in state.tokens
    _, applied = run(state, c.CreateToken(token("another")), at_ms=9000)
    assert "at most" in applied.details


def test_revoking_is_by_id() -> None:
    """Gone for good; what is not there is not found."""
    state, _ = run(ClusterState(), c.CreateToken(token("a")), c.CreateToken(token("b")))
    state, applied = run(state, c.RevokeToken("a"))
    assert (applied.get("name"), [t.id for t in state.tokens.values()]) == ("a", ["b"])
    assert run(state, c.RevokeToken("a"))[1].rejected is Code.NOT_FOUND


def test_the_first_token_is_made_only_without_an_admin() -> None:
    """One that expired counts as none; viewers do not count."""
    state, _ = run(ClusterState(), c.CreateToken(token("v")))
    assert not has_admin(state, 1000)
    state, applied = run(
        state, c.CreateToken(token("a", "admin", expires_at_ms=5000), first=True))
    assert applied.rejected is None
    first = c.CreateToken(token("b", "admin"), first=True)
    assert run(state, first, at_ms=4999)[1].rejected is Code.CONFLICT
    assert run(state, first, at_ms=5000)[1].rejected is None
    assert is_valid(token("x"), 10**15)


def test_snapshots_and_entries_carry_tokens_and_old_ones_have_none() -> None:
    """What is written is read back, and what an older version wrote still is."""
    command = c.CreateToken(token("a", "deployer", apps="shop-", expires_at_ms=7), first=True)
    stamp = c.Stamp(1, "one", origin=ROOT)
    assert decode_envelope(encode_envelope(command, stamp)) == (command, stamp)
    state, _ = run(ClusterState(), command)
    assert decode_snapshot(encode_snapshot(state)) == state
    old = decode_snapshot('{"v":1,"state":{"index":3}}')
    assert (old.index, len(old.tokens)) == (3, 0)


def test_a_restore_adds_to_the_tokens_that_are_there() -> None:
    """Who restores is not locked out, who had a token is let in, and the bound holds."""
    state, _ = run(ClusterState(), c.CreateToken(token("a")), c.CreateToken(token("b")))
    (part,) = backup.parts(state)
    part = decode_part(encode_part(part))
    assert [one.id for one in part.tokens] == ["a", "b"]
    there, _ = run(ClusterState(), c.CreateToken(replace(token("a"), hash="f" * 64)))
    restored, applied = run(there, replace(part, restore_id="r"))
    assert applied.rejected is None
    assert {one.id: one.hash[-1] for one in restored.tokens.values()} == {"a": "f", "b": "b"}
    many = [token(f"t{n}") for n in range(TOKENS_MAX + 5)]
    assert len(merged(there.tokens, many)) == TOKENS_MAX


def test_roles_contain_one_another() -> None:
    """From viewer to admin."""
    assert [[at_least(role, wanted) for wanted in ROLES] for role in ROLES] == [
        [True, False, False], [True, True, False], [True, True, True]]
