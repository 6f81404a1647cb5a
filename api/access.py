"""Access over HTTP: who sends a request, and whether they may; the one place that decides it.

A request is looked at twice: `identify` finds the caller before the request is counted, `guard`
lets it through or refuses it before a route, its body or the leader is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, request

from api import errors
from api.controller import Controller
from api.here import here
from api.roles import Right, right_of
from cluster.control.bootstrap import FILE
from cluster.live.limits import MINUTE_S, Limit, judge
from cluster.live.relay_mark import HEADER
from cluster.live.tokens import token_hash
from cluster.state.tokens import has_admin, is_valid
from orchestry.access import TOKEN_CHARACTERS_MAX, Role, at_least
from orchestry.errors import Code, OrchestryError

QUERY_NAME = "access_token"
"""Where a stream may have its token: a browser's WebSocket sends no headers."""
FAILURES = (Limit(10, MINUTE_S),)
"""So many requests with a wrong token of one address are answered in a minute."""
CATCH_UP_S = 0.3
"""For so long a token that is not known here may be on its way from the leader."""
CHALLENGE = 'Bearer realm="orchestry"'

BARRIER = Right("viewer", "any")
"""What is confirmed by a majority costs an entry of the log, wherever it is asked."""

_CALLER = "orchestry.caller"
_TOKEN = "orchestry.token"  # noqa: S105 - the name of a key


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request: the owner of a token, anybody, or everybody while that is allowed.

    `role` is None for who showed no valid token; `apps` limits a token to some applications;
    `key` is the token's place in the state.
    """

    id: str = ""
    name: str = ""
    role: Role | None = None
    apps: str = ""
    key: str = ""

    def reaches(self, app: str) -> bool:
        """True for an application that this caller may know of."""
        return app.startswith(self.apps)


NOBODY = Caller()
EVERYBODY = Caller(role="admin")
"""While the API asks for no tokens."""


def caller() -> Caller:
    """Who sends the request that is served now."""
    found: Caller = request.environ.get(_CALLER, NOBODY)
    return found


def must_reach(app: str) -> None:
    """Refuse an application that is not the caller's.

    Raises:
        OrchestryError: FORBIDDEN.
    """
    who = caller()
    if not who.reaches(app):
        raise OrchestryError(Code.FORBIDDEN, _out_of_scope(who))


def must_reach_secret(name: str) -> None:
    """Refuse a secret that is not the caller's, by the beginning of its name.

    Raises:
        OrchestryError: FORBIDDEN.
    """
    who = caller()
    if not who.reaches(name):
        raise OrchestryError(Code.FORBIDDEN, _out_of_scope(who, "secrets"))


def still_allowed() -> Callable[[], bool]:
    """Whether the token of this request is good, to be asked later, in any thread."""
    key, controller = caller().key, here().controller

    def allowed() -> bool:
        token = controller.log.state().tokens.get(key)
        return token is not None and is_valid(token, controller.clock.wall_ms())

    return allowed if key else lambda: True


def identify(app: Flask, controller: Controller) -> None:
    """Find out who calls; before requests are counted, for each caller apart."""
    on = controller.settings.auth_on

    @app.before_request
    def before() -> None:
        environ = request.environ
        if not on:
            environ[_CALLER] = EVERYBODY
            return
        text = environ[_TOKEN] = _shown()
        if text:
            environ[_CALLER] = _owner(controller, text)


def guard(app: Flask, controller: Controller) -> None:
    """Let a request through, or refuse it, before anything is done for it."""
    if not controller.settings.auth_on:
        return

    @app.before_request
    def before() -> Response | None:
        rule = request.url_rule
        if rule is None:
            return None  # there is no such route, which is no secret
        right = right_of(request.method, rule.rule)
        if right is None:
            return errors.response(Code.FORBIDDEN, "This route is not open to anybody")
        if right.need == "open":
            if request.args.get("consistency") != "linearizable":
                return None
            right = BARRIER
        text: str | None = request.environ[_TOKEN]
        if text is None:
            if right.need == "peer" and _by_controller(controller):
                return None
            return _unauthorized(controller, None)
        who = caller()
        if who.role is None:
            refused = _wrong_token(controller, text)
            if refused is not None:
                return refused
            who = caller()
        return _forbidden(who, right)


def _shown() -> str | None:
    """The token that a request shows; "" for one that cannot be, None without any."""
    header: str | None = request.environ.get("HTTP_AUTHORIZATION")
    if header is not None:
        scheme, _, text = header.partition(" ")
        return text.strip()[:TOKEN_CHARACTERS_MAX + 1] if scheme.lower() == "bearer" else ""
    rule = request.url_rule
    if rule is not None and rule.rule.endswith(("/stream", "/exec")):
        return request.args.get(QUERY_NAME)
    return None


def _owner(controller: Controller, text: str) -> Caller:
    key = token_hash(text)
    token = controller.log.state().tokens.get(key)
    if token is None or not is_valid(token, controller.clock.wall_ms()):
        return NOBODY
    return Caller(token.id, token.name, token.role, token.apps, key)


def _by_controller(controller: Controller) -> bool:
    """Whether another controller asks; without a secret none can show that."""
    mark = request.headers.get(HEADER)
    return bool(controller.settings.secret) and mark is not None and here().mark.is_valid(
        mark, request.path, remote=request.remote_addr or "",
        proxied="HTTP_X_FORWARDED_FOR" in request.environ)


def failed_too_often(controller: Controller) -> Response | None:
    """Count a wrong token or proof of this client; the refusal once there were too many."""
    client = _client(controller)
    counted = here().failures.hit(client, FAILURES)
    if counted.allowed:
        return None
    wait_s = max(1, math.ceil(judge(FAILURES, counted).reset_s))
    return errors.response(
        Code.RATE_LIMIT_EXCEEDED,
        f"{client} showed {FAILURES[0].requests} wrong tokens in a minute; the next request "
        f"without a good one in {wait_s} s", retry_after_s=wait_s)


def _client(controller: Controller) -> str:
    return controller.limits.client(
        request.remote_addr or "", request.environ.get("HTTP_X_FORWARDED_FOR", ""))


def _wrong_token(controller: Controller, text: str) -> Response | None:
    """The refusal of a token that is not known; None when it became known while one looked."""
    log = controller.log
    if log.leader_id() is None:
        return errors.response(
            Code.CLUSTER_NOT_READY, "This controller knows no leader, and cannot tell whether the "
            "token is good; ask another one")
    refused = failed_too_often(controller)
    if refused is not None:
        return refused
    if text and log.leader_id() != controller.id and _arrives(controller, text):
        here().failures.give_back(_client(controller), FAILURES)
        return None
    return _unauthorized(controller, text)


def _arrives(controller: Controller, text: str) -> bool:
    """Wait for a token that was just made elsewhere."""
    log, clock = controller.log, controller.clock
    until_s = clock.monotonic_s() + CATCH_UP_S
    with here().waiting.place():
        while (left_s := until_s - clock.monotonic_s()) > 0:
            log.wait_applied(log.state().index + 1, left_s)
            found = _owner(controller, text)
            if found.role is not None:
                request.environ[_CALLER] = found
                return True
    return False


def _unauthorized(controller: Controller, text: str | None) -> Response:
    state = controller.log.state()
    if text is not None:
        why = ("The token is unknown, expired or revoked: ask an administrator for another, who "
               "makes it with `orchestry token create`")
    elif not has_admin(state, controller.clock.wall_ms()):
        why = "There is no token yet: the leader makes the first one in a moment"
    else:
        why = ("Send `Authorization: Bearer TOKEN`, with the command line `--token` or "
               f"ORCHESTRY_TOKEN. The first token is in the file {FILE} of a "
               "controller's data folder, others are made with `orchestry token create`")
    answer = errors.response(Code.UNAUTHORIZED, why)
    answer.headers["WWW-Authenticate"] = CHALLENGE if text is None else (
        f'{CHALLENGE}, error="invalid_token"')
    return answer


def _forbidden(who: Caller, right: Right) -> Response | None:
    """The refusal of a valid token that does not suffice; None when it does."""
    assert who.role is not None
    wanted: Any = "admin" if right.need == "peer" else right.need
    if not at_least(who.role, wanted):
        return errors.response(
            Code.FORBIDDEN, f"This needs the role {wanted}, and token '{who.name}' has "
            f"{who.role}: ask an administrator for another token")
    if not who.apps or right.scope in ("filtered", "any"):
        return None
    if right.scope == "all":
        return errors.response(
            Code.FORBIDDEN, f"This is about all applications, and token '{who.name}' is good "
            f"for those only whose names begin with {who.apps}")
    what = "secret" if right.scope == "secret" else "app"
    name = (request.view_args or {}).get(f"{what}_name", "")
    if who.reaches(name):
        return None
    return errors.response(Code.FORBIDDEN, _out_of_scope(
        who, "secrets" if what == "secret" else "applications"))


def _out_of_scope(who: Caller, what: str = "applications") -> str:
    return (f"Token '{who.name}' is good for {what} only whose names begin with "
            f"{who.apps}: ask an administrator for another token")
