"""Answers about the configuration and checks on demand, described in /openapi.json; see
api.answers."""

from __future__ import annotations

from typing import Any, Literal

from api.answers import Amount, Answer, Count, Time
from cluster.state.model import Health


class ControllerConfig(Answer):
    """The controller that answers."""

    host: str
    port: Count
    workers: Count
    log_level: Literal["debug", "info", "warning", "error"]


class DatabaseConfig(Answer):
    """PostgreSQL; null without. The password is masked."""

    host: str | None
    port: Count | None
    name: str | None
    password: str | None
    pool_size: Count


class ScalingConfig(Answer):
    """The autoscaler; seconds."""

    default_check_interval: Amount
    default_cooldown: Count
    max_concurrent_scales: Count


class HealthConfig(Answer):
    """Health checks of specs that do not say otherwise; seconds."""

    default_check_interval: Count
    default_timeout: Count
    default_failure_threshold: Count


class IngressConfig(Answer):
    """Where applications are served."""

    domain: str
    port: Count


class LimitsConfig(Answer):
    """Requests of one client, 0 is no limit; images and hosts that applications may have."""

    per_hour: Count
    per_minute: Count
    trusted_proxies: list[str]
    images: list[str]
    reserved_hosts: list[str]


class ImagesConfig(Answer):
    """Pulls of images; seconds."""

    max_pulls: Count
    pull_idle_timeout: Count
    pull_timeout: Count
    keep_revisions: Count


class ExecConfig(Answer):
    """Commands in containers; seconds."""

    enabled: bool
    max_sessions: Count
    idle_timeout: Count


class RetentionConfig(Answer):
    """How long the history is kept."""

    raw_hours: Count
    minute_days: Count
    hour_days: Count
    events_days: Count


class Configuration(Answer):
    """Every key with its value; `sources` says by path where it comes from."""

    version: str
    node_id: str
    controller: ControllerConfig
    database: DatabaseConfig
    scaling: ScalingConfig
    health: HealthConfig
    ingress: IngressConfig
    limits: LimitsConfig
    images: ImagesConfig
    exec: ExecConfig
    retention: RetentionConfig
    sources: dict[str, Literal["cluster", "environment", "file", "default"]]
    restart_required: list[str]


class ConfigurationUpdated(Answer):
    """The keys that were named, by group, after and before."""

    message: str
    changed: dict[str, dict[str, Any]]
    previous: dict[str, dict[str, Any]]
    restart_required: list[str]


class CheckResult(Answer):
    """One replica, checked now."""

    id: str
    name: str
    container_name: str
    ok: bool
    health: Health
    last_error: str | None
    last_check: Time | None
    consecutive_failures: Count | None
    response_time_ms: Amount | None


class HealthChecked(Answer):
    """What the checks of all replicas said."""

    message: str
    app_name: str
    containers_checked: Count
    healthy: Count
    unhealthy: Count
    results: list[CheckResult]
