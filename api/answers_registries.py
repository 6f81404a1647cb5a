"""Answers about logins of registries; see api.answers. None has a password in it."""

from __future__ import annotations

from api.answers import Answer, Count, Time


class Registry(Answer):
    """A registry that the cluster has a login for; `key` is the id of the key that seals it.

    `username` is null on a controller that lacks this key.
    """

    host: str
    username: str | None
    version: Count
    key: str
    updated_at: Time


class Registries(Answer):
    """All logins, by host."""

    registries: list[Registry]
    total: Count


class RegistrySet(Answer):
    """A login that images are pulled with from now on; see `SecretSet` for `warning`."""

    message: str
    host: str
    version: Count
    warning: str | None


class RegistryChanged(Answer):
    """A login that is gone, or sealed under the first key."""

    message: str
    host: str
