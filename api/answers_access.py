"""Answers about tokens and the audit, described in /openapi.json; see api.answers."""

from __future__ import annotations

from api.answers import Answer, Count, Time
from orchestry.access import Role


class Token(Answer):
    """What is known of a token; `apps` is the beginning of the names that it is limited to."""

    id: str
    name: str
    role: Role
    apps: str | None
    created_at: Time | None
    created_by: str | None
    expires_at: Time | None
    expired: bool


class Tokens(Answer):
    """All tokens."""

    tokens: list[Token]
    total: Count


class TokenCreated(Answer):
    """A new token; `token` is null when an earlier request with the same key made it."""

    message: str
    token: str | None
    id: str
    name: str | None = None
    role: Role | None = None
    apps: str | None = None
    created_at: Time | None = None
    created_by: str | None = None
    expires_at: Time | None = None
    expired: bool | None = None


class TokenRevoked(Answer):
    """A token that is of no use any more."""

    message: str
    id: str
    name: str


class AuditEntry(Answer):
    """One write, or refused write, with its place in the chain."""

    id: Count
    timestamp: Time | None
    at_ms: Count
    app: str


class Audit(Answer):
    """A page of the audit, newest first."""

    entries: list[AuditEntry]
    total: Count
    has_more: bool
    complete: bool
