"""Secrets of applications: written, listed and removed, and read by nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response

from api import answers_secrets as answers
from api import errors
from api.access import caller
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, here, read
from api.models import ReadQuery, WriteHeaders, WriteQuery
from api.models_secrets import SecretBody, SecretDeleteQuery, SecretPath
from api.times import rfc3339
from api.writes import WRITE_WAIT_S, propose, repeated
from cluster.sealing import SealError
from cluster.state.commands import DeleteSecret, ResealSecret, SetSecret
from cluster.state.model import Secret
from cluster.state.secret_uses import users
from orchestry.errors import Code, OrchestryError

blueprint = Blueprint(
    "secrets", __name__, url_prefix="/api/v1/secrets", abp_tags=[{"name": "Secrets"}],
)

_one_at_a_time = threading.Lock()
"""A version is sealed for its number, so that the next one must wait for it."""


@blueprint.get("", operation_id="list_secrets", responses={200: answers.Secrets})
@checked
def secrets(query: ReadQuery) -> Response:
    """All secrets, with the applications that use them, and without any value."""
    state, who = read(query), caller()
    used = users(state)
    found = [_view(one, used) for name, one in sorted(state.secrets.items()) if who.reaches(name)]
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
    name, keyring = path.secret_name, here().controller.keyring
    with _in_turn():
        known = here().controller.log.state().secrets.get(name)
        version = known.newest.version + 1 if known is not None else 1
        try:
            key_id, sealed = keyring.seal(name, version, body.fields)
        except SealError as error:
            raise OrchestryError(Code.CONFLICT, error.reason) from None
        applied = propose(
            SetSecret(name, version, key_id, tuple(sorted(body.fields)), sealed),
            mark=keyring.mark)
    return answer({
        "message": "Secret set", "name": name, "version": applied.get("version"),
        "apps_restarted": applied.get("apps")})


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
    name, keyring = path.secret_name, here().controller.keyring
    with _in_turn():
        state = here().controller.log.state()
        known, repeat = state.secrets.get(name), repeated(state)
        if known is None:
            raise _missing(name)
        old = [one for one in known.versions if one.key_id != keyring.first]
        if old and repeat is None:
            try:
                sealed = tuple(
                    (one.version, keyring.seal(name, one.version, keyring.open(
                        name, one.version, one.key_id, one.sealed))[1]) for one in old)
            except SealError as error:
                raise OrchestryError(Code.CONFLICT, error.reason) from None
            propose(ResealSecret(name, known.changed, keyring.first, sealed))
    return answer({
        "message": "Secret is sealed under the first key", "name": name, "key": keyring.first})


@contextmanager
def _in_turn() -> Iterator[None]:
    """One change of a secret at a time, in bounded time."""
    with here().waiting.place():
        if not _one_at_a_time.acquire(timeout=WRITE_WAIT_S):
            raise OrchestryError(
                Code.CLUSTER_NOT_READY, "Other changes of secrets take long; try again in a second")
        try:
            yield
        finally:
            _one_at_a_time.release()


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
