"""Steps that keep, remove and reseal the secrets of applications.

Commands have values only as the proposer sealed them: nothing here could open one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from immutables import Map

from cluster.state import commands as c
from cluster.state.model import ClusterState, Secret, SecretVersion
from cluster.state.registries import title
from cluster.state.rollouts import renew
from cluster.state.secret_uses import users
from cluster.state.step import Refusal, Step, tell
from orchestry.errors import Code

SECRETS_MAX = 1000
SEALED_CHARACTERS_MAX = 8 * 1024**2
"""Of all versions together, which are in every snapshot and backup."""
VERSIONS_KEPT = 2
USERS_SHOWN_MAX = 5


def set_secret(state: ClusterState, command: c.SetSecret, stamp: c.Stamp) -> Step:
    """Keep a new version, and give every app that uses it new replicas, one after the other."""
    known = state.secrets.get(command.name)
    newest = known.newest.version if known is not None else 0
    if command.version != newest + 1:
        return Refusal(
            Code.CONFLICT, f"Secret '{command.name}' was changed at the same time: send it again "
            "with another Idempotency-Key")
    version = SecretVersion(
        command.version, state.index, stamp.at_ms, command.key_id, command.fields, command.sealed)
    before = known.versions if known is not None else ()
    secret = Secret(
        command.name, (*before, version)[-VERSIONS_KEPT:], state.index,
        known.created_at_ms if known is not None else stamp.at_ms)
    secrets = state.secrets.set(secret.name, secret)
    if len(secrets) > SECRETS_MAX or _size(secrets.values()) > SEALED_CHARACTERS_MAX:
        return Refusal(
            Code.CONFLICT, f"A cluster has at most {SECRETS_MAX} secrets, of about "
            f"{SEALED_CHARACTERS_MAX // 1024**2} MiB together: remove some with "
            "`orchestry secret rm`")
    state = tell(
        replace(state, secrets=secrets), stamp, "config", "", f"{title(secret.name)} set",
        secret=secret.name, version=version.version, fields=", ".join(command.fields))
    rolled = users(state).get(secret.name, [])
    for app in rolled:
        state = renew(state, app, f"renewed for another version of secret '{secret.name}'", stamp)
    return state, (("version", version.version), ("apps", len(rolled)))


def delete_secret(state: ClusterState, command: c.DeleteSecret, stamp: c.Stamp) -> Step:
    """Forget all versions, unless an app uses them; by force also then."""
    if command.name not in state.secrets:
        return Refusal(
            Code.NOT_FOUND, f"There is no secret '{command.name}'; `orchestry secret list` shows "
            "all")
    used = users(state).get(command.name, [])
    if used and not command.force:
        more = f" and {len(used) - USERS_SHOWN_MAX} more" if len(used) > USERS_SHOWN_MAX else ""
        return Refusal(
            Code.CONFLICT, f"Secret '{command.name}' is used by {', '.join(used[:USERS_SHOWN_MAX])}"
            f"{more}: change their specs first, or remove it by force, after which they get no "
            "new replicas")
    state = tell(
        state, stamp, "config", "", f"{title(command.name)} removed", secret=command.name,
        force=command.force)
    return replace(state, secrets=state.secrets.delete(command.name)), (("apps", len(used)),)


def reseal_secret(state: ClusterState, command: c.ResealSecret, stamp: c.Stamp) -> Step:
    """Keep the same values under another key: no version, and no replica, is new."""
    secret = state.secrets.get(command.name)
    if secret is None or secret.changed != command.changed:
        return Refusal(
            Code.CONFLICT, f"Secret '{command.name}' was changed at the same time: run "
            "`orchestry secret rotate` again")
    sealed = dict(command.sealed)
    after = replace(secret, changed=state.index, versions=tuple(
        replace(one, key_id=command.key_id, sealed=sealed[one.version])
        if one.version in sealed else one for one in secret.versions))
    state = tell(
        state, stamp, "config", "", f"{title(secret.name)} is sealed under another key",
        secret=secret.name, key=command.key_id)
    return replace(state, secrets=state.secrets.set(secret.name, after)), ()


def merged(secrets: Map[str, Secret], restored: Iterable[Secret]) -> Map[str, Secret]:
    """Those of a backup, and those of this cluster that have other names."""
    for secret in restored:
        if secret.versions and (secret.name in secrets or len(secrets) < SECRETS_MAX):
            secrets = secrets.set(secret.name, secret)
    return secrets


def _size(secrets: Iterable[Secret]) -> int:
    return sum(len(one.sealed) for secret in secrets for one in secret.versions)
