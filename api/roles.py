"""Roles: who may call what; one line for each route, and nobody calls a route without a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestry.access import Role

Need = Literal["open", "peer"] | Role
"""`open`: everybody; `peer`: another controller, or an admin; else a token of that role or more."""

Scope = Literal["app", "secret", "filtered", "any", "all"]
"""What holds for a token that is limited to some apps. `app`: the app of the path must be one of
them; `secret`: the name of the secret must begin as theirs do; `filtered`: the route looks at its
app, or leaves others out of its answer; `any`: it is not about apps; `all`: it is about all apps,
so that such a token may not call it."""


@dataclass(frozen=True, slots=True)
class Right:
    """What a route asks of its caller."""

    need: Need
    scope: Scope


_APP = "/api/v1/apps/<app_name>"
_KEPT = "/api/v1/secrets/<secret_name>"
_REGISTRY = "/api/v1/registries/<registry_host>"
_OLD_APP = "/apps/<app_name>"
TABLE: dict[tuple[str, str], Right] = {
    ("GET", "/livez"): Right("open", "any"),
    ("GET", "/readyz"): Right("open", "any"),
    ("GET", "/health"): Right("open", "any"),
    ("GET", "/cluster/health"): Right("open", "any"),
    ("GET", "/cluster/is-leader"): Right("open", "any"),
    # The second asks for a join token itself.
    ("GET", "/cluster/ca"): Right("open", "any"),
    ("GET", "/cluster/ca/certificate"): Right("open", "any"),
    ("GET", "/docs"): Right("open", "any"),
    ("GET", "/docs/<file_name>"): Right("open", "any"),
    ("GET", "/openapi.json"): Right("open", "any"),

    ("GET", "/cluster/history/events"): Right("peer", "all"),
    ("GET", "/cluster/history/samples"): Right("peer", "all"),
    ("GET", "/cluster/measurements"): Right("peer", "all"),
    ("GET", "/cluster/host"): Right("peer", "all"),

    ("GET", "/api/v1/apps"): Right("viewer", "filtered"),
    ("GET", _APP): Right("viewer", "app"),
    ("GET", f"{_APP}/spec"): Right("viewer", "app"),
    ("GET", f"{_APP}/scaling"): Right("viewer", "app"),
    ("GET", f"{_APP}/scaling/decisions"): Right("viewer", "app"),
    ("POST", f"{_APP}/scaling/simulate"): Right("viewer", "app"),
    ("GET", f"{_APP}/revisions"): Right("viewer", "app"),
    ("GET", f"{_APP}/deployments"): Right("viewer", "app"),
    ("GET", f"{_APP}/deployments/<deployment_id>"): Right("viewer", "app"),
    ("GET", "/api/v1/jobs"): Right("viewer", "filtered"),
    ("GET", "/api/v1/jobs/<app_name>"): Right("viewer", "app"),
    ("GET", f"{_APP}/runs"): Right("viewer", "app"),
    ("GET", f"{_APP}/runs/<run_id>"): Right("viewer", "app"),
    ("GET", f"{_APP}/health"): Right("viewer", "app"),
    ("GET", f"{_APP}/metrics"): Right("viewer", "app"),
    ("GET", f"{_APP}/metrics/stream"): Right("viewer", "app"),
    ("GET", f"{_APP}/deployments/<deployment_id>/stream"): Right("viewer", "app"),
    ("GET", f"{_APP}/events"): Right("viewer", "app"),
    ("GET", f"{_APP}/logs"): Right("viewer", "app"),
    ("GET", f"{_APP}/volumes"): Right("viewer", "app"),
    ("GET", "/api/v1/volumes"): Right("viewer", "filtered"),
    ("GET", f"{_APP}/logs/stream"): Right("viewer", "app"),
    ("GET", "/api/v1/events"): Right("viewer", "filtered"),
    ("GET", "/api/v1/events/stream"): Right("viewer", "filtered"),
    ("GET", "/api/v1/metrics"): Right("viewer", "filtered"),
    ("GET", "/metrics"): Right("viewer", "all"),
    ("GET", "/cluster/status"): Right("viewer", "any"),
    ("GET", "/cluster/leader"): Right("viewer", "any"),
    ("GET", "/cluster/members"): Right("viewer", "any"),

    ("POST", "/api/v1/apps/register"): Right("deployer", "filtered"),
    ("POST", f"{_APP}/start"): Right("deployer", "app"),
    ("POST", f"{_APP}/stop"): Right("deployer", "app"),
    ("POST", f"{_APP}/scale"): Right("deployer", "app"),
    ("DELETE", _APP): Right("deployer", "app"),
    ("PUT", _APP): Right("deployer", "app"),
    ("POST", f"{_APP}/rollback"): Right("deployer", "app"),
    ("POST", f"{_APP}/restart"): Right("deployer", "app"),
    ("POST", f"{_APP}/pause"): Right("deployer", "app"),
    ("POST", f"{_APP}/resume"): Right("deployer", "app"),
    ("POST", f"{_APP}/promote"): Right("deployer", "app"),
    ("POST", f"{_APP}/run"): Right("deployer", "app"),
    ("POST", f"{_APP}/runs/<run_id>/cancel"): Right("deployer", "app"),
    # Also asks for the secrets of the app, which its containers have.
    ("GET", f"{_APP}/exec"): Right("deployer", "app"),
    ("PUT", f"{_APP}/scaling"): Right("deployer", "app"),
    ("POST", "/api/v1/jobs/<app_name>/trigger"): Right("deployer", "app"),
    ("POST", "/api/v1/jobs/<app_name>/suspend"): Right("deployer", "app"),
    ("POST", "/api/v1/jobs/<app_name>/resume"): Right("deployer", "app"),
    ("GET", "/api/v1/secrets"): Right("deployer", "filtered"),
    ("GET", _KEPT): Right("deployer", "secret"),
    ("PUT", _KEPT): Right("deployer", "secret"),
    ("DELETE", _KEPT): Right("deployer", "secret"),
    ("POST", f"{_KEPT}/rotate"): Right("deployer", "secret"),
    ("POST", f"{_APP}/health/check"): Right("deployer", "app"),

    ("GET", "/api/v1/releases"): Right("viewer", "filtered"),
    ("GET", "/api/v1/releases/<release>"): Right("viewer", "filtered"),
    ("GET", "/api/v1/releases/<release>/revisions/<revision>"): Right("viewer", "filtered"),
    ("PUT", "/api/v1/releases/<release>"): Right("deployer", "filtered"),
    ("POST", "/api/v1/releases/<release>/rollback"): Right("deployer", "filtered"),
    ("DELETE", "/api/v1/releases/<release>"): Right("deployer", "filtered"),
    # The older command line's, see api/routes/compat.py.
    ("GET", "/apps"): Right("viewer", "filtered"),
    ("GET", f"{_OLD_APP}/status"): Right("viewer", "app"),
    ("GET", f"{_OLD_APP}/raw"): Right("viewer", "app"),
    ("GET", f"{_OLD_APP}/logs"): Right("viewer", "app"),
    ("GET", f"{_OLD_APP}/metrics"): Right("viewer", "app"),
    ("GET", "/events"): Right("viewer", "filtered"),
    ("POST", "/apps/register"): Right("deployer", "filtered"),
    ("POST", f"{_OLD_APP}/up"): Right("deployer", "app"),
    ("POST", f"{_OLD_APP}/down"): Right("deployer", "app"),
    ("POST", f"{_OLD_APP}/scale"): Right("deployer", "app"),
    ("POST", f"{_OLD_APP}/policy"): Right("deployer", "app"),
    ("DELETE", _OLD_APP): Right("deployer", "app"),

    ("GET", "/api/v1/registries"): Right("admin", "all"),
    ("PUT", _REGISTRY): Right("admin", "all"),
    ("DELETE", _REGISTRY): Right("admin", "all"),
    ("POST", f"{_REGISTRY}/rotate"): Right("admin", "all"),
    ("GET", "/api/v1/config"): Right("admin", "all"),
    ("PUT", "/api/v1/config"): Right("admin", "all"),
    ("GET", "/api/v1/audit"): Right("admin", "all"),
    ("DELETE", "/api/v1/volumes/<volume_name>"): Right("admin", "all"),
    ("GET", "/api/v1/tokens"): Right("admin", "all"),
    ("POST", "/api/v1/tokens"): Right("admin", "all"),
    ("DELETE", "/api/v1/tokens/<token_id>"): Right("admin", "all"),
    ("POST", "/cluster/members"): Right("admin", "all"),
    ("DELETE", "/cluster/members/<node_id>"): Right("admin", "all"),
    ("POST", "/cluster/transfer"): Right("admin", "all"),
    ("POST", "/cluster/drill"): Right("admin", "all"),
    ("POST", "/cluster/drill/probe"): Right("admin", "all"),
    ("GET", "/cluster/backup"): Right("admin", "all"),
    ("POST", "/cluster/restore"): Right("admin", "all"),
    ("GET", "/cluster/actions"): Right("admin", "all"),
    ("GET", "/cluster/containers"): Right("admin", "all"),
}


def right_of(method: str, rule: str) -> Right | None:
    """What a route asks; None for one without a line."""
    return TABLE.get(("GET" if method == "HEAD" else method, rule))
