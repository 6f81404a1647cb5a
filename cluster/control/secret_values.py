"""What a replica gets for the secrets that its spec names; opened only when it is started."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.engine.base import Login
from cluster.sealing import Keyring, SealError
from cluster.state.model import Secret
from cluster.state.registries import secret_name
from cluster.state.secret_uses import faults, field_of, uses_of, version_for
from orchestry.spec.model import AppSpec


class Unresolved(Exception):
    """A replica cannot be started; `reason` is for the owner of its app."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def secret_values(
    spec: AppSpec, secrets: Mapping[str, Secret], template: int, keyring: Keyring
) -> dict[tuple[str, str], str]:
    """The values by name and field; `template` is the one of the replica.

    Raises:
        Unresolved: a secret or a field is missing, or cannot be opened here.
    """
    wanted = [use for _, use in uses_of(spec)]
    if not wanted:
        return {}
    opened: dict[str, dict[str, str]] = {}
    found = {}
    for variable in wanted:
        secret, name = secrets.get(variable.key), field_of(variable)
        if secret is None:
            raise Unresolved(_missing(spec, secrets))
        if secret.name not in opened:
            opened[secret.name] = _opened(secret, template, keyring)
        if name not in opened[secret.name]:
            raise Unresolved(_missing(spec, secrets) or (
                f"Secret '{secret.name}' had no field '{name}' when this revision began: restart "
                "the application"))
        found[secret.name, name] = opened[secret.name][name]
    return found


def lacking(
    spec: AppSpec, secrets: Mapping[str, Secret], template: int, keyring: Keyring
) -> str:
    """Why a replica of this template would not get its secrets; "" when it would."""
    try:
        secret_values(spec, secrets, template, keyring)
    except Unresolved as error:
        return error.reason
    return ""


def registry_login(
    host: str, secrets: Mapping[str, Secret], keyring: Keyring
) -> Login | None:
    """How the registry knows the cluster; None when it has no login there.

    Raises:
        Unresolved: it cannot be opened here.
    """
    secret = secrets.get(secret_name(host))
    if secret is None:
        return None
    values = _opened(secret, secret.newest.index, keyring)
    return Login(values.get("username", ""), values.get("password", ""))


def _opened(secret: Secret, template: int, keyring: Keyring) -> dict[str, str]:
    version = version_for(secret, template)
    try:
        return keyring.open(secret.name, version.version, version.key_id, version.sealed)
    except SealError as error:
        raise Unresolved(error.reason) from None


def _missing(spec: AppSpec, secrets: Mapping[str, Secret]) -> str:
    return "; ".join(f"{one.field} {one.message}" for one in faults(spec, secrets))
