"""Tokens: made here, and known by their hash everywhere else."""

from __future__ import annotations

import hashlib
import secrets

TOKEN_BYTES = 32
TOKEN_PREFIX = "orc_"  # noqa: S105 - what scanners for secrets look for, not a secret
ID_BYTES = 5


def new_token() -> str:
    """A token that nobody can guess: 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def new_id() -> str:
    """A short name for a token, which tells nothing about it."""
    return secrets.token_hex(ID_BYTES)


def token_hash(token: str) -> str:
    """What is kept of a token.

    It is looked up as it is: how long that takes tells something about the hash at most, and
    nobody finds a token from its hash.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
