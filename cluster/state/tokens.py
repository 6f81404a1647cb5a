"""Steps that make and revoke tokens; of a token only its hash is known here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from immutables import Map

from cluster.state import commands as c
from cluster.state.model import ClusterState, Token
from cluster.state.step import Refusal, Step, tell
from orchestry.access import ROLES
from orchestry.errors import Code

TOKENS_MAX = 1000
HASH_CHARACTERS = 64


def is_valid(token: Token, now_ms: int) -> bool:
    """True until a token expires; one that was revoked is no longer in the state."""
    return not token.expires_at_ms or now_ms < token.expires_at_ms


def has_admin(state: ClusterState, now_ms: int) -> bool:
    """True when somebody may make tokens."""
    return any(
        token.role == "admin" and is_valid(token, now_ms) for token in state.tokens.values())


def create_token(state: ClusterState, command: c.CreateToken, stamp: c.Stamp) -> Step:
    """Let whoever knows the token with this hash in; expired tokens make room."""
    token = command.token
    if command.first and has_admin(state, stamp.at_ms):
        return Refusal(Code.CONFLICT, "There is an admin token already")
    if token.role not in ROLES or len(token.hash) != HASH_CHARACTERS:
        return Refusal(Code.VALIDATION_ERROR, "role or hash is none")
    if token.role == "admin" and token.apps:
        return Refusal(Code.VALIDATION_ERROR, "an admin token cannot be limited to some apps")
    tokens = state.tokens
    if token.hash in tokens or any(token.id == other.id for other in tokens.values()):
        return Refusal(Code.CONFLICT, "There is such a token already")
    if len(tokens) >= TOKENS_MAX:
        tokens = Map({
            key: other for key, other in tokens.items() if is_valid(other, stamp.at_ms)})
    if len(tokens) >= TOKENS_MAX:
        return Refusal(
            Code.CONFLICT, f"A cluster has at most {TOKENS_MAX} tokens: revoke some with "
            "`orchestry token revoke`")
    token = replace(token, created_at_ms=stamp.at_ms)
    state = tell(
        state, stamp, "config", "", f"Token '{token.name}' created with the role {token.role}",
        token=token.id, role=token.role, apps=token.apps,
    )
    return replace(state, tokens=tokens.set(token.hash, token)), (
        ("id", token.id), ("created_at_ms", token.created_at_ms))


def revoke_token(state: ClusterState, command: c.RevokeToken, stamp: c.Stamp) -> Step:
    """Forget a token, which nobody can use from then on."""
    for key, token in state.tokens.items():
        if token.id == command.id:
            state = tell(
                state, stamp, "config", "", f"Token '{token.name}' revoked",
                token=token.id, role=token.role, apps=token.apps)
            return replace(state, tokens=state.tokens.delete(key)), (("name", token.name),)
    return Refusal(
        Code.NOT_FOUND, f"There is no token {command.id!r}; `orchestry token list` shows all")


def merged(tokens: Map[str, Token], restored: Iterable[Token]) -> Map[str, Token]:
    """Those of this cluster, and those of a backup as long as there is room."""
    ids = {token.id for token in tokens.values()}
    for token in sorted(restored, key=lambda one: one.id):
        if token.id not in ids and token.hash not in tokens and len(tokens) < TOKENS_MAX:
            tokens = tokens.set(token.hash, token)
            ids.add(token.id)
    return tokens
