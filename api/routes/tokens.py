"""Tokens: who may call the API."""

from __future__ import annotations

from typing import Any

from flask import Response

from api import answers_access as answers
from api import errors, writes
from api.access import caller
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, here, read
from api.models import ReadQuery, WriteHeaders, WriteQuery
from api.models_access import TokenBody, TokenPath
from api.times import rfc3339
from cluster.live.tokens import new_id, new_token, token_hash
from cluster.state.commands import CreateToken, RevokeToken
from cluster.state.model import Token
from cluster.state.tokens import is_valid
from orchestry import units
from orchestry.errors import Code, OrchestryError

blueprint = Blueprint(
    "tokens", __name__, url_prefix="/api/v1/tokens",
    abp_tags=[{"name": "Access"}],
)


@blueprint.get("", operation_id="list_tokens", responses={200: answers.Tokens})
@checked
def tokens(query: ReadQuery) -> Response:
    """All tokens, without the tokens themselves, which nobody knows but their owners."""
    found = sorted(read(query).tokens.values(), key=lambda token: (token.created_at_ms, token.id))
    return answer({"tokens": [_view(token) for token in found], "total": len(found)})


@blueprint.post("", operation_id="create_token", responses={201: answers.TokenCreated})
@checked
def create(query: WriteQuery, header: WriteHeaders, body: TokenBody) -> Response:
    """Make a token, which is shown in this answer and never again.

    A repeat under the same Idempotency-Key makes no other one, and does not show it.
    """
    if body.role == "admin" and body.apps:
        raise errors.invalid([("apps", "does not go with the role admin")])
    text = new_token()
    token = Token(
        new_id(), body.name, body.role, token_hash(text), body.apps or "", _expires_ms(body),
        created_by=caller().id)
    applied = writes.propose(CreateToken(token))
    made = applied.get("id") == token.id
    message = "Token created: it is shown only now" if made else (
        "Token was created by an earlier request with this Idempotency-Key, and is not shown "
        "again: if its answer was lost, revoke it and create another")
    known = next((one for one in here().controller.log.state().tokens.values()
                  if one.id == applied.get("id")), None)
    return answer({
        "message": message, "token": text if made else None,
        **(_view(known) if known is not None else {"id": applied.get("id")}),
    }, 201)


@blueprint.delete(
    "/<token_id>", operation_id="revoke_token", responses={200: answers.TokenRevoked})
@checked
def revoke(path: TokenPath, query: WriteQuery, header: WriteHeaders) -> Response:
    """Make a token useless, on every controller as soon as it learns of it."""
    try:
        applied = writes.propose(RevokeToken(path.token_id))
    except OrchestryError as error:
        if error.code is not Code.NOT_FOUND:
            raise
        raise errors.Answered(errors.response(
            Code.NOT_FOUND, error.details, error="No such token")) from None
    return answer({
        "message": "Token revoked", "id": path.token_id, "name": applied.get("name")})


def _expires_ms(body: TokenBody) -> int:
    """When a token ends; 0 for never."""
    if body.expires_in is None:
        return 0
    return here().controller.clock.wall_ms() + units.parse_duration(body.expires_in) * 1000


def _view(token: Token) -> dict[str, Any]:
    return {
        "id": token.id, "name": token.name, "role": token.role, "apps": token.apps or None,
        "created_at": rfc3339(token.created_at_ms), "created_by": token.created_by or None,
        "expires_at": rfc3339(token.expires_at_ms),
        "expired": not is_valid(token, here().controller.clock.wall_ms()),
    }
