"""Answers about registries.

Written by tools/gen_answers.py; do not edit.
"""

from typing import TypedDict


class Registry(TypedDict):
    """A registry that the cluster has a login for; `key` is the id of the key that seals it."""

    host: str
    username: str | None
    version: int
    key: str
    updated_at: str


class Registries(TypedDict):
    """All logins, by host."""

    registries: list[Registry]
    total: int


class RegistrySet(TypedDict):
    """A login that images are pulled with from now on; see `SecretSet` for `warning`."""

    message: str
    host: str
    version: int
    warning: str | None


class RegistryChanged(TypedDict):
    """A login that is gone, or sealed under the first key."""

    message: str
    host: str
