"""Admission over HTTP: what administrators and a caller's own token allow an app to be.

Asked when a spec comes in and when an app is started, before anything is proposed: what is
in the log already stands, also when the configuration forbids it later.
"""

from __future__ import annotations

import json
from typing import Any

from api.access import caller, must_reach_secret
from api.here import config_of, here
from api.writes import is_repeat
from cluster.state.addresses import addresses, hosts
from cluster.state.jobs import not_for_jobs
from cluster.state.model import App, ClusterState
from cluster.state.secret_uses import faults, wanted_secrets
from orchestry import admission
from orchestry.access import at_least
from orchestry.errors import Code, OrchestryError
from orchestry.spec import parse
from orchestry.spec.model import AppSpec

ADDRESSES_CHARACTERS_MAX = 4_000_000
"""Of all apps together: the table of an ingress has 8 MiB, and is pushed whole or not at all."""


def must_be_allowed(spec: AppSpec, state: ClusterState) -> None:
    """Refuse an app that this cluster does not allow, or cannot carry out.

    Raises:
        OrchestryError: INVALID_SPEC with every field; FORBIDDEN for a name of another's;
            INSUFFICIENT_RESOURCES when the ingress has no room for its addresses.
    """
    config = config_of(state)
    found = hosts(spec, config.domain)
    for name in sorted(wanted_secrets(spec)):
        must_reach_secret(name)
    problems = (*parse.unsupported(spec), *faults(spec, state.secrets), *admission.objections(
        spec, found, images=config.images, reserved=config.reserved_hosts))
    if problems and not is_repeat():
        raise OrchestryError(
            Code.INVALID_SPEC, [{"field": p.field, "message": p.message} for p in problems])
    _must_reach_hosts(found, config.domain)
    others = sum(len(address) for address, app in state.owners.items() if app != spec.name)
    mine = sum(map(len, addresses(spec, config.domain)))
    if others + mine > ADDRESSES_CHARACTERS_MAX and not is_repeat():
        raise OrchestryError(
            Code.INSUFFICIENT_RESOURCES, "All applications together have hosts and paths of more "
            f"than {ADDRESSES_CHARACTERS_MAX} characters: use fewer or shorter ones")


def _must_reach_hosts(found: tuple[str, ...], domain: str) -> None:
    """Below the domain, the first name is that of an app: another team's is not to be had."""
    who = caller()
    for host in found if who.apps else ():
        name = host.removesuffix(f".{domain}")
        if host == domain or (name != host and not who.reaches(name.rpartition(".")[2])):
            raise OrchestryError(
                Code.FORBIDDEN,
                f"The host {host} belongs to applications that begin otherwise than {who.apps!r}: "
                "use a host outside that domain, or a name of your own")


def secrets_must_be_there(spec: AppSpec) -> None:
    """Refuse to start an app that names a secret, or a field, that does not exist (any more).

    Raises:
        OrchestryError: INVALID_SPEC with every field.
    """
    problems = list(faults(spec, here().controller.log.state().secrets))
    if problems and not is_repeat():
        raise OrchestryError(
            Code.INVALID_SPEC, [{"field": p.field, "message": p.message} for p in problems])


def as_shown(document: Any) -> Any:
    """A spec as its reader may see it: who may not change an app sees no secrets of it."""
    return document if sees_secrets() else admission.masked(document)


def as_registered(document: str) -> bytes:
    """The stored document, as its reader may see it.

    Not parsed and written again for an owner: the keys keep their order, numbers their form.
    """
    if sees_secrets():
        return document.encode()
    return parse.canonical(admission.masked(json.loads(document))).encode()


def sees_secrets() -> bool:
    """Whether who asks may change apps, and so may see what they are given."""
    role = caller().role
    return role is not None and at_least(role, "deployer")


def image_must_be_allowed(spec: AppSpec) -> None:
    """Refuse to start an app whose image is not allowed (any more).

    Raises:
        OrchestryError: FORBIDDEN.
    """
    state = here().controller.log.state()
    patterns = config_of(state).images
    if not admission.is_image_allowed(spec.image, patterns) and not is_repeat():
        raise OrchestryError(
            Code.FORBIDDEN,
            f"{admission.repository(spec.image)} is not among the images that this cluster "
            "allows: ask an administrator to add it to limits.images")


def must_have_replicas(app: App, instead: str) -> None:
    """Raises CONFLICT for a job, with what is done with it `instead`."""
    refusal = not_for_jobs(app, instead)
    if refusal is not None:
        raise OrchestryError(refusal.code, refusal.details)
