"""Logins of registries: secrets of the cluster itself, under names that no app can name; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cluster.state.model import Secret

PREFIX: Final = "@registry/"


def secret_name(host: str) -> str:
    """The name under which the login of a registry is kept."""
    return PREFIX + host


def host_of(name: str) -> str:
    """The registry whose login a secret is; "" for a secret of applications."""
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else ""


def of_apps(secrets: Iterable[Secret]) -> list[Secret]:
    """The secrets that are no logins of registries."""
    return [one for one in secrets if not host_of(one.name)]


def title(name: str) -> str:
    """What a secret is called in a sentence."""
    host = host_of(name)
    return f"Login of registry '{host}'" if host else f"Secret '{name}'"
