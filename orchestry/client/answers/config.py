"""Answers about config.

Written by tools/gen_answers.py; do not edit.
"""

from typing import Any, Literal, TypedDict


class ControllerConfig(TypedDict):
    """The controller that answers."""

    host: str
    port: int
    workers: int
    log_level: Literal["debug", "info", "warning", "error"]


class DatabaseConfig(TypedDict):
    """PostgreSQL; null without. The password is masked."""

    host: str | None
    port: int | None
    name: str | None
    password: str | None
    pool_size: int


class ScalingConfig(TypedDict):
    """The autoscaler; seconds."""

    default_check_interval: float
    default_cooldown: int
    max_concurrent_scales: int


class HealthConfig(TypedDict):
    """Health checks of specs that do not say otherwise; seconds."""

    default_check_interval: int
    default_timeout: int
    default_failure_threshold: int


class IngressConfig(TypedDict):
    """Where applications are served."""

    domain: str
    port: int


class LimitsConfig(TypedDict):
    """Requests of one client, 0 is no limit; images and hosts that applications may have."""

    per_hour: int
    per_minute: int
    trusted_proxies: list[str]
    images: list[str]
    reserved_hosts: list[str]


class ImagesConfig(TypedDict):
    """Pulls of images; seconds."""

    max_pulls: int
    pull_idle_timeout: int
    pull_timeout: int
    keep_revisions: int


class ExecConfig(TypedDict):
    """Commands in containers; seconds."""

    enabled: bool
    max_sessions: int
    idle_timeout: int


class RetentionConfig(TypedDict):
    """How long the history is kept."""

    raw_hours: int
    minute_days: int
    hour_days: int
    events_days: int


class Configuration(TypedDict):
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


class ConfigurationUpdated(TypedDict):
    """The keys that were named, by group, after and before."""

    message: str
    changed: dict[str, dict[str, Any]]
    previous: dict[str, dict[str, Any]]
    restart_required: list[str]


class CheckResult(TypedDict):
    """One replica, checked now."""

    id: str
    name: str
    container_name: str
    ok: bool
    health: Literal["starting", "healthy", "unhealthy"]
    last_error: str | None
    last_check: str | None
    consecutive_failures: int | None
    response_time_ms: float | None


class HealthChecked(TypedDict):
    """What the checks of all replicas said."""

    message: str
    app_name: str
    containers_checked: int
    healthy: int
    unhealthy: int
    results: list[CheckResult]
