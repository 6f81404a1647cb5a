"""Answers about secrets.

Written by tools/gen_answers.py; do not edit.
"""

from typing import TypedDict


class Secret(TypedDict):
    """What is known of a secret; `key` is the id of the key that its present version has."""

    name: str
    version: int
    fields: list[str]
    key: str
    used_by: list[str]
    created_at: str
    updated_at: str


class Secrets(TypedDict):
    """All secrets that the caller may use, by name."""

    secrets: list[Secret]
    total: int


class SecretSet(TypedDict):
    """A new version; `apps_restarted` of the applications that use it get new replicas."""

    message: str
    name: str
    version: int
    apps_restarted: int
    warning: str | None


class SecretRemoved(TypedDict):
    """A secret that is gone; so many applications still name it."""

    message: str
    name: str
    used_by: int


class SecretRotated(TypedDict):
    """A secret, all versions of which are sealed under the first key now."""

    message: str
    name: str
    key: str
    warning: str | None
