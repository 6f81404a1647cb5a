"""`Calls`: one method for each call of the REST API, of the client that blocks and the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestry.client import streams
from orchestry.client.basis import R
from orchestry.client.exchange import S
from orchestry.client.parts import app_path, flag, given, path_part
from orchestry.client.registries import RegistryCalls
from orchestry.client.release_calls import ReleaseCalls
from orchestry.client.run_calls import RunCalls
from orchestry.client.secrets import SecretCalls
from orchestry.client.volumes import VolumeCalls

WAIT_TIMEOUT_S = 300
# Draining and grace period are at most 300 s each; controllers allow 30 s more.
DRAIN_MAX_S = GRACE_MAX_S = 300
STOP_MARGIN_S = 30
HEALTH_CHECK_MAX_S = 60

_DEGRADED = frozenset({503})


class Calls(
    ReleaseCalls[R, S], SecretCalls[R, S], RegistryCalls[R, S], VolumeCalls[R, S], RunCalls[R, S],
):
    """Every call that is answered once."""

    # Applications

    def register_app(
        self, spec: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> R:
        """Register an app; raises InvalidRequest with every fault, Conflict if it exists."""
        return self._write("POST", "/api/v1/apps/register", dict(spec), key=idempotency_key)

    def start_app(
        self, app_name: str, replicas: int | None = None, *, wait: bool = True,
        timeout: int = WAIT_TIMEOUT_S, idempotency_key: str | None = None,
    ) -> R:
        """Start an app and wait up to `timeout` seconds for its replicas.

        Raises TimedOut while the start goes on, NotFound, ApiError (DOCKER_ERROR, ...).
        """
        body: dict[str, Any] = {"wait": wait, "timeout": timeout}
        if replicas is not None:
            body["replicas"] = replicas
        return self._write("POST", app_path(app_name, "/start"), body, key=idempotency_key,
                           wait_s=timeout if wait else 0)

    def stop_app(
        self, app_name: str, *, force: bool = False, timeout: int | None = None,
        idempotency_key: str | None = None,
    ) -> R:
        """Stop an app; `timeout` is the grace period in seconds instead of the spec's.

        `force` kills at once.
        """
        body: dict[str, Any] = {"force": force}
        if timeout is not None:
            body["timeout"] = timeout
        grace_s = GRACE_MAX_S if timeout is None else timeout
        return self._write("POST", app_path(app_name, "/stop"), body, key=idempotency_key,
                           wait_s=DRAIN_MAX_S + grace_s + STOP_MARGIN_S)

    def scale_app(
        self, app_name: str, replicas: int, *, wait: bool = True,
        timeout: int = WAIT_TIMEOUT_S, idempotency_key: str | None = None,
    ) -> R:
        """Set the number of replicas and wait up to `timeout` seconds for them."""
        body = {"replicas": replicas, "wait": wait, "timeout": timeout}
        return self._write("POST", app_path(app_name, "/scale"), body, key=idempotency_key,
                           wait_s=timeout if wait else 0)

    def remove_app(
        self, app_name: str, *, force: bool = False, keep_data: bool = False,
        idempotency_key: str | None = None,
    ) -> R:
        """Remove an app: `force` skips draining, `keep_data` leaves its volumes."""
        query = {"force": flag(force), "keep_data": flag(keep_data)}
        return self._write("DELETE", app_path(app_name), None, query=query, key=idempotency_key,
                           wait_s=DRAIN_MAX_S + GRACE_MAX_S + STOP_MARGIN_S)

    def get_app_status(self, app_name: str) -> R:
        """Status, replicas and containers of one app."""
        return self._read(app_path(app_name))

    def list_apps(self, status: str | None = None, format: str | None = None) -> R:
        """All apps, or those with one status; `format="summary"` gives the counts only."""
        return self._read("/api/v1/apps", status=status, format=format)

    def get_app_spec(self, app_name: str, *, resolved: bool = False) -> R:
        """The spec as registered; `resolved` fills the defaults in."""
        return self._read(app_path(app_name, "/spec"), resolved="true" if resolved else None)

    # Updates

    def update_app(
        self, spec: Mapping[str, Any], *, dry_run: bool = False,
        idempotency_key: str | None = None,
    ) -> R:
        """Give the app of this name this spec, or register it.

        Answers with the id of the deployment, for `get_deployment`; `dry_run` only tells the
        plan. Raises InvalidRequest with every fault.
        """
        name = str((spec.get("metadata") or {}).get("name", ""))
        query = {"dry_run": "true"} if dry_run else None
        return self._write("PUT", app_path(name), dict(spec), query=query, key=idempotency_key)

    def list_revisions(self, app_name: str) -> R:
        """The specs that an app has and had, newest first."""
        return self._read(app_path(app_name, "/revisions"))

    def rollback_app(
        self, app_name: str, revision: int | None = None, *, idempotency_key: str | None = None
    ) -> R:
        """Go back to a revision, by default to the last one that was healthy."""
        body = {} if revision is None else {"revision": revision}
        return self._write("POST", app_path(app_name, "/rollback"), body, key=idempotency_key)

    def restart_app(self, app_name: str, *, idempotency_key: str | None = None) -> R:
        """Replace all replicas by new ones of the same spec, without a gap."""
        return self._write("POST", app_path(app_name, "/restart"), None, key=idempotency_key)

    def pause_app(self, app_name: str, *, idempotency_key: str | None = None) -> R:
        """Hold the deployment that is under way; raises Conflict when none is."""
        return self._write("POST", app_path(app_name, "/pause"), None, key=idempotency_key)

    def resume_app(self, app_name: str, *, idempotency_key: str | None = None) -> R:
        """Let a deployment that is paused or has failed go on."""
        return self._write("POST", app_path(app_name, "/resume"), None, key=idempotency_key)

    def promote_app(
        self, app_name: str, *, all: bool = False, idempotency_key: str | None = None
    ) -> R:
        """Let the deployment that is under way wait for nothing but healthy replicas.

        A canary goes on to its next step, with `all` to the end.
        """
        body = {"all": True} if all else {}
        return self._write("POST", app_path(app_name, "/promote"), body, key=idempotency_key)

    def list_deployments(self, app_name: str) -> R:
        """The last deployments of an app, newest first."""
        return self._read(app_path(app_name, "/deployments"))

    def get_deployment(self, app_name: str, deployment: int) -> R:
        """One deployment: its steps with their reasons, and its replicas."""
        return self._read(app_path(app_name, f"/deployments/{deployment:d}"))

    # Scaling and metrics

    def get_scaling_policy(self, app_name: str) -> R:
        """The scaling policy in force and the last change of the number of replicas."""
        return self._read(app_path(app_name, "/scaling"))

    def update_scaling_policy(
        self, app_name: str, policy: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> R:
        """Change the keys that `policy` names, such as `max_replicas`; the others stay."""
        return self._write("PUT", app_path(app_name, "/scaling"), dict(policy), key=idempotency_key)

    def get_scaling_decisions(
        self, app_name: str, *, limit: int | None = None, since: str | None = None,
        until: str | None = None, changes: bool = False,
    ) -> R:
        """The autoscaler's decisions with their inputs and reasons, newest first."""
        return self._read(app_path(app_name, "/scaling/decisions"), limit=limit, since=since,
                          until=until, changes="true" if changes else None)

    def simulate_scaling(
        self, app_name: str, policy: Mapping[str, Any] | None = None, *,
        since: str | None = None, samples: Sequence[Mapping[str, Any]] | None = None,
        replicas: int | None = None,
    ) -> R:
        """What the policy in force, changed by `policy`, would have done.

        It runs over what was measured since `since`, or over `samples`, which are points as in
        the history of `get_app_metrics`.
        """
        body: dict[str, Any] = {"policy": dict(policy or {})}
        for key, value in (("since", since), ("samples", samples), ("replicas", replicas)):
            if value is not None:
                body[key] = value
        return self._write("POST", app_path(app_name, "/scaling/simulate"), body)

    def get_app_metrics(
        self, app_name: str, *, history: int | None = None, interval: str | None = None
    ) -> R:
        """Current measurements and the last `history` points, means over `interval` if given."""
        return self._read(app_path(app_name, "/metrics"), history=history, interval=interval)

    def system_metrics(self) -> R:
        """The host, all apps, and what came through the ingresses."""
        return self._read("/api/v1/metrics")

    # Events, logs, health

    def get_app_events(
        self, app_name: str, *, type: str | None = None, since: str | None = None,
        limit: int | None = None, before: int | None = None,
    ) -> R:
        """Events of one app, newest first; `since` is like "1h" or an RFC 3339 time."""
        return self._read(app_path(app_name, "/events"), type=type, since=since, limit=limit,
                          before=before)

    def get_events(
        self, *, app: str | None = None, type: str | None = None, since: str | None = None,
        limit: int | None = None, before: int | None = None,
    ) -> R:
        """Events of the whole cluster, newest first."""
        return self._read("/api/v1/events", app=app, type=type, since=since, limit=limit,
                          before=before)

    def get_app_logs(
        self, app_name: str, *, container: str | None = None, tail: int | None = None,
        since: str | None = None, level: str | None = None,
    ) -> R:
        """The last `tail` log lines of an app's replicas, or of one `container`.

        That is a name or an id, also the `container` of a run; of a job all runs are read.

        `level` (DEBUG, INFO, WARN, ERROR) leaves out what is less bad. Replicas that could not
        be read are under `unavailable`.
        """
        return self._read(app_path(app_name, "/logs"), container=container, tail=tail, since=since,
                          level=level)

    def get_health(self, app_name: str) -> R:
        """Health of every replica of one app."""
        return self._read(app_path(app_name, "/health"))

    def check_health(self, app_name: str) -> R:
        """Check every replica now; raises TimedOut when some do not answer."""
        return self._write("POST", app_path(app_name, "/health/check"), None,
                           wait_s=HEALTH_CHECK_MAX_S)

    # System and cluster

    def system_health(self) -> R:
        """Health of the answering controller and its components, also when it is degraded."""
        return self._read("/health", body_statuses=_DEGRADED)

    def get_config(self) -> R:
        """The configuration as it holds on the answering controller, with its sources."""
        return self._read("/api/v1/config")

    def update_config(
        self, changes: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> R:
        """Change keys on all controllers, such as `{"scaling": {"default_cooldown": 300}}`.

        None takes a change back. Raises InvalidRequest with every fault.
        """
        return self._write("PUT", "/api/v1/config", dict(changes), key=idempotency_key)

    def cluster_status(self) -> R:
        """Members and leadership as the answering controller sees them."""
        return self._read("/cluster/status")

    def cluster_leader(self) -> R:
        """The present leader; raises NoLeader when there is none."""
        return self._read("/cluster/leader")

    def cluster_health(self) -> R:
        """Whether the answering controller is part of a cluster with a leader."""
        return self._read("/cluster/health", body_statuses=_DEGRADED)

    def cluster_members(self) -> R:
        """The controllers that vote."""
        return self._read("/cluster/members")

    def add_member(self, node_id: str, raft_address: str, *, key: str | None = None) -> R:
        """Let one more controller vote; `join` of the answer is the environment to start it."""
        return self._write("POST", "/cluster/members",
                           {"node_id": node_id, "raft_address": raft_address}, key=key)

    def remove_member(self, node_id: str, *, key: str | None = None) -> R:
        """Let a controller vote no more."""
        path = f"/cluster/members/{path_part('node_id', node_id)}"
        return self._write("DELETE", path, None, key=key)

    def begin_drill(
        self, fault: str, *, term: int, seconds: int = 10, key: str | None = None
    ) -> R:
        """Let the leader of `term` fail on purpose: leader-kill, partition or db-down."""
        body = {"fault": fault, "term": term, "seconds": seconds}
        return self._write("POST", "/cluster/drill", body, key=key, once=True)

    def probe_drill(self, *, key: str | None = None) -> R:
        """Commit an entry that changes nothing."""
        return self._write("POST", "/cluster/drill/probe", None, key=key)

    def transfer_leadership(self, to: str | None = None, *, key: str | None = None) -> R:
        """Hand leadership over, to controller `to` or to the one that is best prepared."""
        return self._write("POST", "/cluster/transfer", {} if to is None else {"to": to}, key=key,
                           once=True)

    def cluster_actions(self, *, after: int = 0, limit: int = 1000) -> R:
        """The answering controller's own record of side effects, from number `after` on."""
        return self._read("/cluster/actions", after=after, limit=limit)

    def cluster_containers(self) -> R:
        """All containers of the cluster, by the engine of the answering controller."""
        return self._read("/cluster/containers")

    def restore_part(
        self, restore_id: str, part: Mapping[str, Any], *, adopt: bool = False,
        key: str | None = None,
    ) -> R:
        """Send one part of a backup to an empty cluster; the last one makes it the state."""
        return self._write("POST", "/cluster/restore", {
            "restore_id": restore_id, "adopt": adopt, "part": dict(part)}, key=key)

    # Access

    def create_token(
        self, name: str, role: str, *, apps: str | None = None, expires_in: str | None = None,
        key: str | None = None,
    ) -> R:
        """Make a token; `token` of the answer is shown only now, and null for a repeat."""
        body = {"name": name, "role": role, "apps": apps, "expires_in": expires_in}
        return self._write("POST", "/api/v1/tokens", {
            part: value for part, value in body.items() if value is not None}, key=key, once=True)

    def list_tokens(self) -> R:
        """All tokens, without the tokens themselves."""
        return self._read("/api/v1/tokens")

    def revoke_token(self, token_id: str, *, key: str | None = None) -> R:
        """Make a token useless."""
        path = f"/api/v1/tokens/{path_part('token_id', token_id)}"
        return self._write("DELETE", path, None, key=key)

    def get_audit(
        self, *, since: str | None = None, limit: int | None = None, before: int | None = None,
    ) -> R:
        """Who wrote what and who was refused, newest first."""
        return self._read("/api/v1/audit", since=since, limit=limit, before=before)


def log_source(
    app_name: str, tail: int | None, container: str | None, level: str | None, since: str | None
) -> streams.LogLines:
    """The lines of an app."""
    return streams.LogLines(
        app_path(app_name, "/logs/stream"), given(container=container, level=level),
        given(tail=tail, since=since))


def event_source(since_id: int | None, app: str | None, type: str | None) -> streams.Events:
    """The events of the cluster."""
    return streams.Events(given(app=app, type=type), since_id)


def deployment_source(app_name: str, deployment_id: int) -> streams.Measurements:
    """How a deployment goes: what is newer replaces what was before, as of measurements."""
    return streams.Measurements(app_path(app_name, f"/deployments/{deployment_id}/stream"))


def metric_source(app_name: str) -> streams.Measurements:
    """The measurements of an app."""
    return streams.Measurements(app_path(app_name, "/metrics/stream"))
