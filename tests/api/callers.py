"""Callers of an API that asks for tokens: a node, tokens, requests."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cluster.live.tokens import new_token, token_hash
from cluster.state.commands import CreateToken
from cluster.state.model import Token
from orchestry.access import Role
from tests.api.support import SPEC, Node, make

SECRET = "correct horse battery"
ON = {"ORCHESTRY_AUTH": "on", "CLUSTER_SECRET": SECRET}
REGISTER = "/api/v1/apps/register"
OLD_REGISTER = "/apps/register"
_addresses = (f"10.{a}.{b}.{c}" for a, b, c in itertools.product(range(256), repeat=3))


def give(node: Node, role: Role, apps: str = "", *, name: str = "", expires_at_ms: int = 0) -> str:
    """A token of the node's cluster."""
    text = new_token()
    name = name or f"{role}-{len(node.log.state().tokens)}"
    applied = node.submit(CreateToken(
        Token(name, name, role, token_hash(text), apps, expires_at_ms=expires_at_ms)))
    assert applied.rejected is None
    return text


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


def ask(
    client: FlaskClient, method: str, path: str, headers: Mapping[str, str], json: Any = None
) -> TestResponse:
    """A request from an address that nobody has used before."""
    return client.open(path, method=method, headers=dict(headers), json=json,
                       environ_base={"REMOTE_ADDR": next(_addresses)})


def asking() -> tuple[Node, FlaskClient]:
    """A node that asks for tokens and has the app `shop`."""
    node, _, client = make(ON)
    root = bearer(give(node, "admin", name="root"))
    assert client.post(REGISTER, json=SPEC, headers=root).status_code == 201
    return node, client
