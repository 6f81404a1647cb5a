"""Answers about secrets, described in /openapi.json; see api.answers. None has a value in it."""

from __future__ import annotations

from api.answers import Answer, Count, Time


class Secret(Answer):
    """What is known of a secret; `key` is the id of the key that its present version has."""

    name: str
    version: Count
    fields: list[str]
    key: str
    used_by: list[str]
    created_at: Time
    updated_at: Time


class Secrets(Answer):
    """All secrets that the caller may use, by name."""

    secrets: list[Secret]
    total: Count


class SecretSet(Answer):
    """A new version; `apps_restarted` of the applications that use it get new replicas.

    `warning` names controllers that do not have the key.
    """

    message: str
    name: str
    version: Count
    apps_restarted: Count
    warning: str | None


class SecretRemoved(Answer):
    """A secret that is gone; so many applications still name it."""

    message: str
    name: str
    used_by: Count


class SecretRotated(Answer):
    """A secret, all versions of which are sealed under the first key now."""

    message: str
    name: str
    key: str
    warning: str | None
