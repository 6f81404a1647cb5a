"""Which apps use which secrets, and which version a replica gets; pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from cluster.state.model import App, ClusterState, Secret, SecretVersion
from orchestry.spec.model import AppSpec, EnvVar, SecretFile
from orchestry.spec.shapes import Problem

DOCUMENTS_MAX: Final = 4096
VALUE_FIELD: Final = "value"
"""The field of a secret that has one value only, and of a variable that names none."""


def field_of(use: EnvVar | SecretFile) -> str:
    """The field that a variable or a file asks for."""
    return use.field or VALUE_FIELD


def uses_of(spec: AppSpec) -> list[tuple[str, EnvVar | SecretFile]]:
    """What a spec gets from secrets, with the path of each."""
    return [
        *((f"spec.environment[{number}]", one) for number, one in enumerate(spec.environment)
          if one.source == "secret"),
        *((f"spec.secretFiles[{number}]", one) for number, one in enumerate(spec.secret_files)),
    ]


def wanted_secrets(spec: AppSpec) -> frozenset[str]:
    """The names of the secrets that a spec names."""
    return frozenset(one.key for _, one in uses_of(spec))


def secrets_of(document: str) -> frozenset[str]:
    """Those that a stored document names.

    Not by way of the parser: steps ask, and all versions must find the same in a spec that only
    the newest of them understands.
    """
    if '"secret"' not in document and '"secretFiles"' not in document:
        return frozenset()  # most of them, and there may be thousands
    return _named(document)


@lru_cache(DOCUMENTS_MAX)
def _named(document: str) -> frozenset[str]:
    try:
        spec = json.loads(document)["spec"]
        variables = [*spec.get("environment", ()), *spec.get("env", ())]
        return frozenset(str(one["key"]) for one in (
            *(one for one in variables if one.get("source") == "secret"),
            *spec.get("secretFiles", ())))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return frozenset()


def uses_now(app: App) -> frozenset[str]:
    """The secrets that its replicas need, also those of older templates in a rollout."""
    found = secrets_of(app.document)
    if app.rollout is not None and app.rollout.old:
        templates = {place[0] for place in app.rollout.old}
        for one in app.revisions:
            if one.template in templates:
                found |= secrets_of(one.document)
    return found


def uses_of_template(app: App, template: int) -> frozenset[str]:
    """The secrets that a replica of this template has, also one that is on its way out."""
    return frozenset().union(*(
        secrets_of(one.document) for one in app.revisions if one.template == template))


def users(state: ClusterState) -> dict[str, list[str]]:
    """Name of a secret -> the apps that use it, sorted."""
    found: dict[str, list[str]] = {}
    for name in sorted(state.apps):
        if not state.apps[name].deleting:
            for secret in uses_now(state.apps[name]):
                found.setdefault(secret, []).append(name)
    return found


def newest_change(secrets: Mapping[str, Secret], document: str) -> int:
    """The log index at which one of a document's secrets got its present version; else 0."""
    return max((secrets[name].newest.index for name in secrets_of(document) if name in secrets),
               default=0)


def version_for(secret: Secret, template: int) -> SecretVersion:
    """The version that replicas of a template get: the newest that was there when it began.

    So the old replicas of a rollout, and those of a rollback, keep the value that they ran
    with. Where that version is kept no more it is the newest.
    """
    return next(
        (one for one in reversed(secret.versions) if one.index <= template), secret.newest)


def faults(spec: AppSpec, secrets: Mapping[str, Secret]) -> Iterator[Problem]:
    """What a spec asks for of secrets that is not there, by field."""
    for at, variable in uses_of(spec):
        secret = secrets.get(variable.key)
        if secret is None:
            yield Problem(
                f"{at}.key", f'must be a secret that exists, not "{variable.key}": make it with '
                f"`orchestry secret set {variable.key}`")
        elif field_of(variable) not in secret.newest.fields:
            yield Problem(
                f"{at}.field", f'must be a field of secret "{secret.name}", which has '
                f"{', '.join(secret.newest.fields)}")
