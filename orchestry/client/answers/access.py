"""Answers about access.

Written by tools/gen_answers.py; do not edit.
"""

from typing import Literal, TypedDict


class Token(TypedDict):
    """Who may call; the token itself is nowhere kept."""

    id: str
    name: str
    role: Literal["viewer", "deployer", "admin"]
    apps: str | None
    created_at: str | None
    created_by: str | None
    expires_at: str | None
    expired: bool


class Tokens(TypedDict):
    """All tokens, the oldest first."""

    tokens: list[Token]
    total: int


class TokenCreated(TypedDict):
    """A token, shown only now; `token` is null for a repeat."""

    id: str
    name: str
    role: Literal["viewer", "deployer", "admin"]
    apps: str | None
    created_at: str | None
    created_by: str | None
    expires_at: str | None
    expired: bool
    message: str
    token: str | None


class TokenRevoked(TypedDict):
    """A token that is good for nothing any more."""

    message: str
    id: str
    name: str


class AuditEntry(TypedDict):
    """A write, or refused writes of one kind; `hash` is over it and `prev`, the one before."""

    id: int
    timestamp: str
    at_ms: int
    token: str
    name: str
    client: str
    method: str
    path: str
    app: str
    code: str
    index: int
    count: int
    prev: str
    hash: str


class Audit(TypedDict):
    """A page of the audit, newest first."""

    entries: list[AuditEntry]
    total: int
    has_more: bool
    complete: bool
