"""Secrets of applications: written, listed and removed, and read by nobody."""

from __future__ import annotations

from typing import Any

from flask import Response

from api import answers_secrets as answers
from api import errors, sealed
from api.access import caller
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, here, read
from api.models import ReadQuery, WriteHeaders, WriteQuery
from api.models_secrets import SecretBody, SecretDeleteQuery, SecretPath
from api.times import rfc3339
from api.writes import propose
from cluster.state.commands import DeleteSecret
from cluster.state.model import Secret
from cluster.state.registries import of_apps
from cluster.state.secret_uses import users
from orchestry.errors import Code, OrchestryError

blueprint = Blueprint(
    "secrets", __name__, url_prefix="/api/v1/secrets", abp_tags=[{"name": "Secrets"}],
)

@blueprint.get("", operation_id="list_secrets", responses={200: answers.Secrets})
@checked
def secrets(query: ReadQuery) -> Response:
    """All secrets, with the applications that use them, and without any value."""
    state, who = read(query), caller()
    used = users(state)
    found = [_view(one, used) for one in of_apps(state.secrets[name] for name in sorted(
        state.secrets)) if who.reaches(one.name)]
    return answer({"secrets": found, "total": len(found)})


@blueprint.get("/<secret_name>", operation_id="get_secret", responses={200: answers.Secret})
@checked
def secret(path: SecretPath, query: ReadQuery) -> Response:
    """One secret, without its values."""
    state = read(query)
    found = state.secrets.get(path.secret_name)
    if found is None:
        raise _missing(path.secret_name)
    return answer(_view(found, users(state)))


@blueprint.put("/<secret_name>", operation_id="set_secret", responses={200: answers.SecretSet})
@checked
def put(path: SecretPath, query: WriteQuery, header: WriteHeaders, body: SecretBody) -> Response:
    """Keep a new version with these fields; applications that use it get new replicas.

    No answer, event, log or backup has a value in it.
    """
    name = path.secret_name
    applied = sealed.keep(name, body.fields)
    return answer({
        "message": "Secret set", "name": name, "version": applied.get("version"),
        "apps_restarted": applied.get("apps"),
        "warning": sealed.warning(here().controller.keyring.first)})


@blueprint.delete(
    "/<secret_name>", operation_id="delete_secret", responses={200: answers.SecretRemoved})
@checked
def delete(path: SecretPath, query: SecretDeleteQuery, header: WriteHeaders) -> Response:
    """Remove a secret with all its versions; one that applications use only by force."""
    try:
        applied = propose(DeleteSecret(path.secret_name, query.force))
    except OrchestryError as error:
        if error.code is not Code.NOT_FOUND:
            raise
        raise _missing(path.secret_name) from None
    return answer({
        "message": "Secret removed", "name": path.secret_name, "used_by": applied.get("apps")})


@blueprint.post(
    "/<secret_name>/rotate", operation_id="rotate_secret", responses={200: answers.SecretRotated})
@checked
def rotate(path: SecretPath, query: WriteQuery, header: WriteHeaders) -> Response:
    """Seal all versions under the first key of the controllers; the values stay as they are."""
    name = path.secret_name
    if not sealed.reseal(name):
        raise _missing(name)
    return answer({
        "message": "Secret is sealed under the first key", "name": name,
        "key": here().controller.keyring.first,
        "warning": sealed.warning(here().controller.keyring.first)})


def _missing(name: str) -> errors.Answered:
    return errors.Answered(errors.response(
        Code.NOT_FOUND, f"There is no secret {name!r}; `orchestry secret list` shows all",
        error="No such secret"))


def _view(secret: Secret, used: dict[str, list[str]]) -> dict[str, Any]:
    newest, who = secret.newest, caller()
    return {
        "name": secret.name, "version": newest.version, "fields": list(newest.fields),
        "key": newest.key_id,
        "used_by": [app for app in used.get(secret.name, []) if who.reaches(app)],
        "created_at": rfc3339(secret.created_at_ms), "updated_at": rfc3339(newest.at_ms),
    }
