"""Logins of registries: written, listed and removed; no password is read back by anybody."""

from __future__ import annotations

import contextlib
from typing import Any

from flask import Response

from api import answers_registries as answers
from api import errors, sealed
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, config_of, here, read
from api.models import ReadQuery, WriteHeaders, WriteQuery
from api.models_registries import RegistryBody, RegistryPath
from api.times import rfc3339
from api.writes import propose
from cluster.sealing import SealError
from cluster.state.commands import DeleteSecret
from cluster.state.model import Secret
from cluster.state.registries import host_of, secret_name
from orchestry.admission import is_registry_allowed, registry_of
from orchestry.errors import Code, OrchestryError

blueprint = Blueprint(
    "registries", __name__, url_prefix="/api/v1/registries", abp_tags=[{"name": "Registries"}],
)


@blueprint.get("", operation_id="list_registries", responses={200: answers.Registries})
@checked
def registries(query: ReadQuery) -> Response:
    """All registries that the cluster has a login for, without passwords."""
    found = [_view(one) for name, one in sorted(read(query).secrets.items()) if host_of(name)]
    return answer({"registries": found, "total": len(found)})


@blueprint.put(
    "/<registry_host>", operation_id="set_registry_login", responses={200: answers.RegistrySet})
@checked
def put(
    path: RegistryPath, query: WriteQuery, header: WriteHeaders, body: RegistryBody
) -> Response:
    """Pull with this login from now on; what waits for the registry is tried again at once.

    No answer, event, log or backup has the password in it.
    """
    host = path.registry_host
    known = registry_of(f"{host}/any")
    if known != host:
        raise OrchestryError(Code.VALIDATION_ERROR, [{
            "field": "registry_host",
            "message": f"images of {host} are those of {known}: log in to {known}"}])
    if not is_registry_allowed(host, config_of(here().controller.log.state()).images):
        raise OrchestryError(Code.VALIDATION_ERROR, [{
            "field": "registry_host", "message": f"no image of {host} is among those that this "
            "cluster allows: add them to limits.images first"}])
    applied = sealed.keep(
        secret_name(host), {"username": body.username, "password": body.password})
    return answer({
        "message": "Login kept", "host": host, "version": applied.get("version"),
        "warning": sealed.warning(here().controller.keyring.first)})


@blueprint.delete(
    "/<registry_host>", operation_id="delete_registry_login",
    responses={200: answers.RegistryChanged})
@checked
def delete(path: RegistryPath, query: WriteQuery, header: WriteHeaders) -> Response:
    """Forget a login; images that are on the host stay there."""
    try:
        propose(DeleteSecret(secret_name(path.registry_host)))
    except OrchestryError as error:
        if error.code is not Code.NOT_FOUND:
            raise
        raise _missing(path.registry_host) from None
    return answer({"message": "Login removed", "host": path.registry_host})


@blueprint.post(
    "/<registry_host>/rotate", operation_id="rotate_registry_login",
    responses={200: answers.RegistryChanged})
@checked
def rotate(path: RegistryPath, query: WriteQuery, header: WriteHeaders) -> Response:
    """Seal a login under the first key of the controllers; it stays as it is."""
    if not sealed.reseal(secret_name(path.registry_host)):
        raise _missing(path.registry_host)
    return answer({"message": "Login is sealed under the first key", "host": path.registry_host})


def _missing(host: str) -> errors.Answered:
    return errors.Answered(errors.response(
        Code.NOT_FOUND, f"There is no login of registry {host!r}; `orchestry registry list` shows "
        "all", error="No such login"))


def _view(secret: Secret) -> dict[str, Any]:
    newest = secret.newest
    username: str | None = None
    with contextlib.suppress(SealError):  # this controller lacks the key, as /health says
        username = here().controller.keyring.open(
            secret.name, newest.version, newest.key_id, newest.sealed).get("username")
    return {"host": host_of(secret.name), "username": username, "version": newest.version,
            "key": newest.key_id, "updated_at": rfc3339(newest.at_ms)}
