"""What calls send: `from orchestry.client.bodies import PolicyChanges`.

Written by tools/gen_answers.py; do not edit.
"""

from typing import Any, Literal, NotRequired, TypedDict

from orchestry.client.answers.jobs import JobSpec
from orchestry.client.answers.spec import AppSpec


class ConfigChangesController(TypedDict):
    """A part of a spec."""

    log_level: NotRequired[Literal["debug", "info", "warning", "error"] | None]


class ConfigChangesDatabase(TypedDict):
    """A part of a spec."""

    pool_size: NotRequired[int | None]


class ConfigChangesScaling(TypedDict):
    """A part of a spec."""

    default_check_interval: NotRequired[float | None]
    default_cooldown: NotRequired[int | None]
    max_concurrent_scales: NotRequired[int | None]


class ConfigChangesHealth(TypedDict):
    """A part of a spec."""

    default_check_interval: NotRequired[int | None]
    default_timeout: NotRequired[int | None]
    default_failure_threshold: NotRequired[int | None]


class ConfigChangesIngress(TypedDict):
    """A part of a spec."""

    domain: NotRequired[str | None]


class ConfigChangesLimits(TypedDict):
    """A part of a spec."""

    per_hour: NotRequired[int | None]
    per_minute: NotRequired[int | None]
    trusted_proxies: NotRequired[list[str] | None]
    images: NotRequired[list[str] | None]
    reserved_hosts: NotRequired[list[str] | None]


class ConfigChangesImages(TypedDict):
    """A part of a spec."""

    max_pulls: NotRequired[int | None]
    pull_idle_timeout: NotRequired[int | None]
    pull_timeout: NotRequired[int | None]
    keep_revisions: NotRequired[int | None]


class ConfigChangesExec(TypedDict):
    """A part of a spec."""

    enabled: NotRequired[bool | None]
    max_sessions: NotRequired[int | None]
    idle_timeout: NotRequired[int | None]


class ConfigChangesRetention(TypedDict):
    """A part of a spec."""

    raw_hours: NotRequired[int | None]
    minute_days: NotRequired[int | None]
    hour_days: NotRequired[int | None]
    events_days: NotRequired[int | None]


class ConfigChanges(TypedDict):
    """Groups of keys of the configuration, each with its new value, or null to take it back."""

    controller: NotRequired[ConfigChangesController]
    database: NotRequired[ConfigChangesDatabase]
    scaling: NotRequired[ConfigChangesScaling]
    health: NotRequired[ConfigChangesHealth]
    ingress: NotRequired[ConfigChangesIngress]
    limits: NotRequired[ConfigChangesLimits]
    images: NotRequired[ConfigChangesImages]
    exec: NotRequired[ConfigChangesExec]
    retention: NotRequired[ConfigChangesRetention]


class DrillBody(TypedDict):
    """Let the leader fail on purpose; it ends by itself."""

    fault: Literal["leader-kill", "partition", "db-down"]
    term: int
    seconds: NotRequired[int]


class MemberBody(TypedDict):
    """A controller that is to vote."""

    node_id: str
    raft_address: str


class PolicyChangesSchedule(TypedDict):
    """A part of a spec."""

    cron: str
    timezone: str
    min_replicas: int
    max_replicas: int
    duration_seconds: int


class PolicyChanges(TypedDict):
    """Keys of the scaling policy; what is not named stays as it is."""

    mode: NotRequired[Literal["auto", "manual"]]
    min_replicas: NotRequired[int]
    max_replicas: NotRequired[int]
    target_rps_per_replica: NotRequired[float]
    max_p95_latency_ms: NotRequired[float]
    max_cpu_percent: NotRequired[float]
    max_memory_percent: NotRequired[float]
    max_conn_per_replica: NotRequired[int]
    metrics: NotRequired[list[Literal["cpu", "memory", "rps", "latency", "connections"]]]
    scale_out_threshold_pct: NotRequired[float]
    scale_in_threshold_pct: NotRequired[float]
    window_seconds: NotRequired[int]
    cooldown_seconds: NotRequired[int]
    max_scale_out_step: NotRequired[int]
    max_scale_in_step: NotRequired[int]
    stabilization_window_seconds: NotRequired[int]
    schedule: NotRequired[list[PolicyChangesSchedule]]


class PromoteBody(TypedDict):
    """How far to go on; the key is optional."""

    all: NotRequired[bool]


class RegistryBody(TypedDict):
    """How the registry knows the cluster."""

    username: str
    password: str


class ReleaseBody(TypedDict):
    """What a chart rendered."""

    chart: str
    chart_version: str
    values: NotRequired[dict[str, Any]]
    specs: list[AppSpec | JobSpec]


class ReleaseRollbackBody(TypedDict):
    """Where a release goes back to."""

    revision: NotRequired[int | None]


class RollbackBody(TypedDict):
    """Where to go back to; the key is optional."""

    revision: NotRequired[int | None]


class RunBody(TypedDict):
    """What is run once."""

    command: list[str]
    timeout_s: NotRequired[int]


class Sample(TypedDict):
    """What was measured at one moment, as in the history of `GET .../metrics`."""

    timestamp: str | float
    total_replicas: NotRequired[int]
    cpu_percent: NotRequired[float | None]
    memory_percent: NotRequired[float | None]
    rps: NotRequired[float | None]
    latency_p95_ms: NotRequired[float | None]
    active_connections: NotRequired[float | None]


class ScaleBody(TypedDict):
    """Scale an application."""

    replicas: int
    wait: NotRequired[bool]
    timeout: NotRequired[int]


class SecretBody(TypedDict):
    """The next version of a secret, with all its fields: exactly one of the two keys."""

    value: NotRequired[str]
    values: NotRequired[dict[str, str]]


class SimulateBody(TypedDict):
    """Run a policy over what was recorded or given."""

    policy: NotRequired[PolicyChanges]
    since: NotRequired[Any]
    samples: NotRequired[list[Sample] | None]
    replicas: NotRequired[int | None]


class StartBody(TypedDict):
    """Start an application; every key is optional."""

    replicas: NotRequired[int | None]
    wait: NotRequired[bool]
    timeout: NotRequired[int]


class StopBody(TypedDict):
    """Stop an application; every key is optional."""

    force: NotRequired[bool]
    timeout: NotRequired[int | None]


class TokenBody(TypedDict):
    """A token that is to be made; one of an admin is good for all applications."""

    name: str
    role: Literal["viewer", "deployer", "admin"]
    apps: NotRequired[str | None]
    expires_in: NotRequired[str | None]


class TransferBody(TypedDict):
    """Hand leadership over; the key is optional."""

    to: NotRequired[str | None]
