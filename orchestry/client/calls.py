"""`Client`: one method for each call of the REST API."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from orchestry.client.errors import InvalidRequest
from orchestry.client.transport import READ_TIMEOUT_S, Answer, Request, Transport

TIMEOUT_S = 30.0
WAIT_TIMEOUT_S = 300
# The controller answers a wait at its timeout; the client listens a little longer.
WAIT_MARGIN_S = 15.0
# Draining and grace period are at most 300 s each; controllers allow 30 s more.
DRAIN_MAX_S = GRACE_MAX_S = 300
STOP_MARGIN_S = 30
HEALTH_CHECK_MAX_S = 60

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_DEGRADED = frozenset({503})


class Client:
    """A cluster, reached through any of its controllers.

    `timeout` bounds each call in seconds, with all its tries; a call that waits has its own
    `timeout` on top. Answers are the JSON objects of the REST API. Errors are
    `orchestry.client.ClientError` and its kinds. Threads may share a client.

    Raises ValueError for a malformed address, token or timeout.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        token: str | None = None,
        timeout: float = TIMEOUT_S,
    ) -> None:
        from orchestry import __version__

        if token is not None and not _VISIBLE_ASCII.fullmatch(token):
            raise ValueError("token must be visible ASCII characters without spaces")
        if not 0 < timeout <= 86_400:
            raise ValueError("timeout must be above 0 and at most 86400 seconds")
        urls = (url,) if isinstance(url, str) else tuple(url)
        self._timeout_s = float(timeout)
        self._transport = Transport(urls, token, f"orchestry-python/{__version__}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self._transport.close()

    @property
    def urls(self) -> tuple[str, ...]:
        """The controllers that this client knows."""
        return self._transport.members

    def gap_s(self, period_s: float) -> float:
        """How long to wait before the next of many calls.

        At least `period_s`, and so long that what is left of the limit of requests lasts.
        """
        return self._transport.pace.gap_s(period_s)

    # Applications

    def register_app(
        self, spec: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Answer:
        """Register an app; raises InvalidRequest with every fault, Conflict if it exists."""
        return self._write("POST", "/api/v1/apps/register", dict(spec), key=idempotency_key)

    def start_app(
        self, app_name: str, replicas: int | None = None, *, wait: bool = True,
        timeout: int = WAIT_TIMEOUT_S, idempotency_key: str | None = None,
    ) -> Answer:
        """Start an app and wait up to `timeout` seconds for its replicas.

        Raises TimedOut while the start goes on, NotFound, ApiError (DOCKER_ERROR, ...).
        """
        body: dict[str, Any] = {"wait": wait, "timeout": timeout}
        if replicas is not None:
            body["replicas"] = replicas
        return self._write("POST", _app(app_name, "/start"), body, key=idempotency_key,
                           wait_s=timeout if wait else 0)

    def stop_app(
        self, app_name: str, *, force: bool = False, timeout: int | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Stop an app; `timeout` is the grace period in seconds instead of the spec's.

        `force` kills at once.
        """
        body: dict[str, Any] = {"force": force}
        if timeout is not None:
            body["timeout"] = timeout
        grace_s = GRACE_MAX_S if timeout is None else timeout
        return self._write("POST", _app(app_name, "/stop"), body, key=idempotency_key,
                           wait_s=DRAIN_MAX_S + grace_s + STOP_MARGIN_S)

    def scale_app(
        self, app_name: str, replicas: int, *, wait: bool = True,
        timeout: int = WAIT_TIMEOUT_S, idempotency_key: str | None = None,
    ) -> Answer:
        """Set the number of replicas and wait up to `timeout` seconds for them."""
        body = {"replicas": replicas, "wait": wait, "timeout": timeout}
        return self._write("POST", _app(app_name, "/scale"), body, key=idempotency_key,
                           wait_s=timeout if wait else 0)

    def remove_app(
        self, app_name: str, *, force: bool = False, keep_data: bool = False,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Remove an app: `force` skips draining, `keep_data` leaves its volumes."""
        query = {"force": _flag(force), "keep_data": _flag(keep_data)}
        return self._write("DELETE", _app(app_name), None, query=query, key=idempotency_key,
                           wait_s=DRAIN_MAX_S + GRACE_MAX_S + STOP_MARGIN_S)

    def get_app_status(self, app_name: str) -> Answer:
        """Status, replicas and containers of one app."""
        return self._read(_app(app_name))

    def list_apps(self, status: str | None = None, format: str | None = None) -> Answer:
        """All apps, or those with one status; `format="summary"` gives the counts only."""
        return self._read("/api/v1/apps", status=status, format=format)

    def get_app_spec(self, app_name: str, *, resolved: bool = False) -> Answer:
        """The spec as registered; `resolved` fills the defaults in."""
        return self._read(_app(app_name, "/spec"), resolved="true" if resolved else None)

    # Scaling and metrics

    def get_scaling_policy(self, app_name: str) -> Answer:
        """The scaling policy in force and the last change of the number of replicas."""
        return self._read(_app(app_name, "/scaling"))

    def update_scaling_policy(
        self, app_name: str, policy: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Answer:
        """Change the keys that `policy` names, such as `max_replicas`; the others stay."""
        return self._write("PUT", _app(app_name, "/scaling"), dict(policy), key=idempotency_key)

    def get_scaling_decisions(
        self, app_name: str, *, limit: int | None = None, since: str | None = None,
        until: str | None = None, changes: bool = False,
    ) -> Answer:
        """The autoscaler's decisions with their inputs and reasons, newest first."""
        return self._read(_app(app_name, "/scaling/decisions"), limit=limit, since=since,
                          until=until, changes="true" if changes else None)

    def simulate_scaling(
        self, app_name: str, policy: Mapping[str, Any] | None = None, *,
        since: str | None = None, samples: Sequence[Mapping[str, Any]] | None = None,
        replicas: int | None = None,
    ) -> Answer:
        """What the policy in force, changed by `policy`, would have done.

        It runs over what was measured since `since`, or over `samples`, which are points as in
        the history of `get_app_metrics`.
        """
        body: dict[str, Any] = {"policy": dict(policy or {})}
        for key, value in (("since", since), ("samples", samples), ("replicas", replicas)):
            if value is not None:
                body[key] = value
        return self._write("POST", _app(app_name, "/scaling/simulate"), body)

    def get_app_metrics(
        self, app_name: str, *, history: int | None = None, interval: str | None = None
    ) -> Answer:
        """Current measurements and the last `history` points, means over `interval` if given."""
        return self._read(_app(app_name, "/metrics"), history=history, interval=interval)

    def system_metrics(self) -> Answer:
        """The host, all apps, and what came through the ingresses."""
        return self._read("/api/v1/metrics")

    # Events, logs, health

    def get_app_events(
        self, app_name: str, *, type: str | None = None, since: str | None = None,
        limit: int | None = None, before: int | None = None,
    ) -> Answer:
        """Events of one app, newest first; `since` is like "1h" or an RFC 3339 time."""
        return self._read(_app(app_name, "/events"), type=type, since=since, limit=limit,
                          before=before)

    def get_events(
        self, *, app: str | None = None, type: str | None = None, since: str | None = None,
        limit: int | None = None, before: int | None = None,
    ) -> Answer:
        """Events of the whole cluster, newest first."""
        return self._read("/api/v1/events", app=app, type=type, since=since, limit=limit,
                          before=before)

    def get_app_logs(
        self, app_name: str, *, container: str | None = None, tail: int | None = None,
        since: str | None = None, level: str | None = None,
    ) -> Answer:
        """The last `tail` log lines of an app's replicas, or of one container.

        `level` (DEBUG, INFO, WARN, ERROR) leaves out what is less bad. Replicas that could not
        be read are under `unavailable`.
        """
        return self._read(_app(app_name, "/logs"), container=container, tail=tail, since=since,
                          level=level)

    def get_health(self, app_name: str) -> Answer:
        """Health of every replica of one app."""
        return self._read(_app(app_name, "/health"))

    def check_health(self, app_name: str) -> Answer:
        """Check every replica now; raises TimedOut when some do not answer."""
        return self._write("POST", _app(app_name, "/health/check"), None,
                           wait_s=HEALTH_CHECK_MAX_S)

    # System and cluster

    def system_health(self) -> Answer:
        """Health of the answering controller and its components, also when it is degraded."""
        return self._read("/health", body_statuses=_DEGRADED)

    def get_config(self) -> Answer:
        """The configuration as it holds on the answering controller, with its sources."""
        return self._read("/api/v1/config")

    def update_config(
        self, changes: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Answer:
        """Change keys on all controllers, such as `{"scaling": {"default_cooldown": 300}}`.

        None takes a change back. Raises InvalidRequest with every fault.
        """
        return self._write("PUT", "/api/v1/config", dict(changes), key=idempotency_key)

    def cluster_status(self) -> Answer:
        """Members and leadership as the answering controller sees them."""
        return self._read("/cluster/status")

    def cluster_leader(self) -> Answer:
        """The present leader; raises NoLeader when there is none."""
        return self._read("/cluster/leader")

    def cluster_health(self) -> Answer:
        """Whether the answering controller is part of a cluster with a leader."""
        return self._read("/cluster/health", body_statuses=_DEGRADED)

    def cluster_members(self) -> Answer:
        """The controllers that vote."""
        return self._read("/cluster/members")

    def add_member(self, node_id: str, raft_address: str, *, key: str | None = None) -> Answer:
        """Let one more controller vote; `join` of the answer is the environment to start it."""
        return self._write("POST", "/cluster/members",
                           {"node_id": node_id, "raft_address": raft_address}, key=key)

    def remove_member(self, node_id: str, *, key: str | None = None) -> Answer:
        """Let a controller vote no more."""
        return self._write("DELETE", f"/cluster/members/{_part('node_id', node_id)}", None, key=key)

    def transfer_leadership(self, to: str | None = None, *, key: str | None = None) -> Answer:
        """Hand leadership over, to controller `to` or to the one that is best prepared."""
        return self._write("POST", "/cluster/transfer", {} if to is None else {"to": to}, key=key)

    def cluster_actions(self, *, after: int = 0, limit: int = 1000) -> Answer:
        """The answering controller's own record of side effects, from number `after` on."""
        return self._read("/cluster/actions", after=after, limit=limit)

    def cluster_containers(self) -> Answer:
        """All containers of the cluster, by the engine of the answering controller."""
        return self._read("/cluster/containers")

    def restore_part(
        self, restore_id: str, part: Mapping[str, Any], *, adopt: bool = False,
        key: str | None = None,
    ) -> Answer:
        """Send one part of a backup to an empty cluster; the last one makes it the state."""
        return self._write("POST", "/cluster/restore", {
            "restore_id": restore_id, "adopt": adopt, "part": dict(part)}, key=key)

    # Access

    def create_token(
        self, name: str, role: str, *, apps: str | None = None, expires_in: str | None = None,
        key: str | None = None,
    ) -> Answer:
        """Make a token; `token` of the answer is shown only now, and null for a repeat."""
        body = {"name": name, "role": role, "apps": apps, "expires_in": expires_in}
        return self._write("POST", "/api/v1/tokens", {
            part: value for part, value in body.items() if value is not None}, key=key)

    def list_tokens(self) -> Answer:
        """All tokens, without the tokens themselves."""
        return self._read("/api/v1/tokens")

    def revoke_token(self, token_id: str, *, key: str | None = None) -> Answer:
        """Make a token useless."""
        return self._write("DELETE", f"/api/v1/tokens/{_part('token_id', token_id)}", None, key=key)

    def get_audit(
        self, *, since: str | None = None, limit: int | None = None, before: int | None = None,
    ) -> Answer:
        """Who wrote what and who was refused, newest first."""
        return self._read("/api/v1/audit", since=since, limit=limit, before=before)

    def _read(
        self, path: str, *, body_statuses: frozenset[int] = frozenset(),
        **query: str | int | None,
    ) -> Answer:
        return self._transport.send(Request(
            "GET", path, {name: str(value) for name, value in query.items() if value is not None},
            budget_s=self._timeout_s, read_timeout_s=min(READ_TIMEOUT_S, self._timeout_s),
            body_statuses=body_statuses,
        ))

    def _write(
        self, method: str, path: str, body: dict[str, Any] | None, *,
        query: Mapping[str, str] | None = None, key: str | None = None, wait_s: float = 0,
    ) -> Answer:
        read_timeout_s = min(READ_TIMEOUT_S, self._timeout_s)
        budget_s = self._timeout_s
        if wait_s:
            read_timeout_s = wait_s + WAIT_MARGIN_S
            budget_s = wait_s + max(self._timeout_s, WAIT_MARGIN_S)
        return self._transport.send(Request(
            method, path, query or {}, None if body is None else _encoded(body),
            budget_s=budget_s, read_timeout_s=read_timeout_s, idempotency_key=key,
        ))


def _app(name: str, rest: str = "") -> str:
    # "." and ".." would change the path; every other name is for the cluster to judge.
    if name in ("", ".", ".."):
        raise InvalidRequest("VALIDATION_ERROR", "Request validation failed",
                             [{"field": "app_name", "message": "give the name of an app"}])
    return f"/api/v1/apps/{quote(name, safe='')}{rest}"


def _part(field: str, text: str) -> str:
    if text in ("", ".", ".."):
        raise InvalidRequest("VALIDATION_ERROR", "Request validation failed",
                             [{"field": field, "message": "give the id"}])
    return quote(text, safe="")


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _encoded(body: dict[str, Any]) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest("VALIDATION_ERROR", "The request is not representable as JSON",
                             str(error)) from None
