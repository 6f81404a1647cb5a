"""Answers about tokens and the audit, described in /openapi.json; see api.answers."""

from __future__ import annotations

from api.answers import Answer, Count, Time
from orchestry.access import Role


class Token(Answer):
    """Who may call; the token itself is nowhere kept."""

    id: str
    name: str
    role: Role
    apps: str | None
    created_at: Time | None
    created_by: str | None
    expires_at: Time | None
    expired: bool


class Tokens(Answer):
    """All tokens, the oldest first."""

    tokens: list[Token]
    total: Count


class TokenCreated(Token):
    """A token, shown only now; `token` is null for a repeat."""

    message: str
    token: str | None


class TokenRevoked(Answer):
    """A token that is good for nothing any more."""

    message: str
    id: str
    name: str


class AuditEntry(Answer):
    """A write, or refused writes of one kind; `hash` is over it and `prev`, the one before."""

    id: Count
    timestamp: Time
    at_ms: Count
    token: str
    name: str
    client: str
    method: str
    path: str
    app: str
    code: str
    index: Count
    count: Count
    prev: str
    hash: str


class Audit(Answer):
    """A page of the audit, newest first."""

    entries: list[AuditEntry]
    total: Count
    has_more: bool
    complete: bool
