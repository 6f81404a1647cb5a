"""Limits over HTTP: who is counted, what a client is told, and 429."""

from __future__ import annotations

import math
from typing import Any

from flask import Flask, Response, request

from api import errors, writes
from api.access import caller
from api.controller import Controller
from api.here import here
from cluster.live.limits import HOUR_S, MINUTE_S, Verdict
from cluster.live.relay_mark import HEADER
from cluster.live.sharing import Limits
from orchestry.errors import Code

EXEMPT = frozenset({
    "/livez", "/readyz", "/health", "/metrics",
    "/cluster/health", "/cluster/leader", "/cluster/is-leader",
})
"""What load balancers, supervisors and Prometheus ask all the time."""

PROBE = "/cluster/drill/probe"
"""What a drill measures with; exempt where drills are allowed."""

_CLIENT = "orchestry.client"
_VERDICT = "orchestry.verdict"
_SENT_ON = "orchestry.sent_on"
_WINDOWS = {MINUTE_S: "a minute", HOUR_S: "an hour"}


def install(app: Flask, controller: Controller) -> None:
    """Count requests before anything else is done for them.

    A write that comes to a follower is counted by the leader, to which it is sent on; the
    follower refuses it only if it knows already that the client is over its limit.
    """
    limits, log, node = controller.limits, controller.log, controller.id
    also = frozenset({PROBE} if controller.settings.drill == "on" else ())

    @app.before_request
    def before() -> Response | None:
        if not limits.on or request.path in also or _exempt():
            return None
        environ = request.environ
        client = environ[_CLIENT] = _client(limits)
        sent_on = request.method in writes.METHODS and log.leader_id() not in (None, node)
        verdict = limits.look(client) if sent_on else limits.count(client)
        if verdict is None:
            return None
        environ[_VERDICT] = verdict
        if not verdict.allowed:
            return _refusal(client, verdict)
        environ[_SENT_ON] = sent_on
        return None

    @app.after_request
    def after(response: Response) -> Response:
        environ = request.environ
        verdict: Verdict | None = environ.get(_VERDICT)
        if verdict is None:
            return response
        sent_on: bool | None = environ.get(_SENT_ON)
        if sent_on is not None and sent_on is not (response.status_code == 307):
            client = environ[_CLIENT]
            if sent_on:  # It was answered here after all.
                verdict = limits.count(client) or verdict
            else:
                limits.give_back(client)
        add = response.headers.add
        add("X-RateLimit-Limit", str(verdict.limit.requests))
        add("X-RateLimit-Remaining", str(verdict.remaining))
        add("X-RateLimit-Reset", str(math.ceil(controller.clock.wall_ms() / 1000
                                               + verdict.reset_s)))
        return response


def _client(limits: Limits) -> str:
    """The caller's token, wherever it is used; else the address."""
    token = caller().id
    return f"token {token}" if token else limits.client(
        request.remote_addr or "", request.environ.get("HTTP_X_FORWARDED_FOR", ""))


def _exempt() -> bool:
    environ: dict[str, Any] = request.environ
    if request.path in EXEMPT:
        # What is confirmed by a majority costs an entry of the log: that is no mere check.
        return b"linearizable" not in request.query_string
    mark = request.headers.get(HEADER)
    return mark is not None and here().mark.is_valid(
        mark, request.path, remote=request.remote_addr or "",
        proxied="HTTP_X_FORWARDED_FOR" in environ)


def _refusal(client: str, verdict: Verdict) -> Response:
    wait_s = max(1, math.ceil(verdict.reset_s))
    limit = verdict.limit
    return errors.response(
        Code.RATE_LIMIT_EXCEEDED,
        f"{client} may send {limit.requests} requests in {_WINDOWS[limit.window_s]};"
        f" the next one in {wait_s} s", retry_after_s=wait_s)

