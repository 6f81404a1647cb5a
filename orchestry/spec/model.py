"""AppSpec: what a user asks for, with the defaults filled in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Port:
    """A port that the container listens on."""

    container_port: int
    protocol: Literal["HTTP", "TCP"] = "HTTP"
    name: str = ""


@dataclass(frozen=True, slots=True)
class EnvVar:
    """One environment variable: a literal value, or a source that the cluster resolves."""

    name: str
    value: str | None = None
    source: Literal["", "sdk", "secret"] = ""
    key: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A field of a secret as the file `name` in the folder for them; see docs/secrets.md."""

    name: str
    key: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits of one replica."""

    cpu_millicores: int = 100
    memory_bytes: int = 128 * 1024**2


@dataclass(frozen=True, slots=True)
class Volume:
    """A named Docker volume; `per_replica` gives each slot its own."""

    name: str
    mount_path: str
    per_replica: bool = False
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class IngressRule:
    """Where the app is reachable; empty hosts mean `<name>.<ingress domain>`."""

    hosts: tuple[str, ...] = ()
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Security:
    """Privileges of the container; never privileged, no host mounts, no host network."""

    user: str = ""
    read_only_root_filesystem: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """Replica bounds for a known peak."""

    cron: str
    timezone: str
    min_replicas: int
    max_replicas: int
    duration_s: int


@dataclass(frozen=True, slots=True)
class Scaling:
    """Autoscaling policy."""

    mode: Literal["auto", "manual"] = "auto"
    min_replicas: int = 1
    max_replicas: int = 5
    target_rps_per_replica: float = 50
    max_p95_latency_ms: float = 250
    max_cpu_percent: float = 70
    max_memory_percent: float = 75
    max_conn_per_replica: int = 100
    metrics: tuple[str, ...] = ("cpu", "memory", "rps", "latency", "connections")
    scale_out_threshold_pct: float = 80
    scale_in_threshold_pct: float = 30
    window_s: int = 60
    cooldown_s: int = 180
    max_scale_out_step: int = 0
    max_scale_in_step: int = 1
    stabilization_window_s: int = 300
    schedule: tuple[ScheduleEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How a replica proves that it is healthy.

    `headers` are (name, value) pairs; `expected_status_codes` is a set of single codes,
    empty for the default 200-399.
    """

    protocol: Literal["HTTP", "TCP"] = "HTTP"
    path: str = "/health"
    port: int = 80
    method: Literal["GET", "POST"] = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    expected_status_codes: frozenset[int] = frozenset()
    initial_delay_s: int = 30
    period_s: int = 10
    timeout_s: int = 5
    failure_threshold: int = 3
    success_threshold: int = 1


@dataclass(frozen=True, slots=True)
class Termination:
    """How a replica is stopped."""

    drain_s: int = 30
    grace_period_s: int = 30


@dataclass(frozen=True, slots=True)
class CanaryStep:
    """Percent of the requests for the new revision, and how long that is held.

    A `pause_s` of 0: until somebody promotes it.
    """

    weight: int
    pause_s: int = 0


@dataclass(frozen=True, slots=True)
class Gate:
    """How much worse than the old replicas the new ones may do, by the ingress's measurements.

    `extra_error_percent` are points beside the old share of failed requests, `p95_percent` is
    relative to the old latency; `min_requests` of each kind are needed to tell.
    """

    extra_error_percent: int = 1
    p95_percent: int = 200
    min_requests: int = 100


@dataclass(frozen=True, slots=True)
class PreDeploy:
    """What runs once, in a container of the new revision, before any replica of it."""

    command: tuple[str, ...]
    timeout_s: int = 600


@dataclass(frozen=True, slots=True)
class Deploy:
    """How a new revision replaces the old one."""

    strategy: Literal["rolling", "recreate", "canary"] = "rolling"
    max_surge: int = 1
    max_unavailable: int = 0
    steps: tuple[CanaryStep, ...] = ()
    gate: Gate | None = None
    min_healthy_s: int = 5
    progress_deadline_s: int = 300
    auto_rollback: bool = True
    pre: PreDeploy | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """When something runs once, and what holds for each time; without `schedule` by request."""

    schedule: str = ""
    timezone: str = "UTC"
    concurrency_policy: Literal["Allow", "Forbid", "Replace"] = "Forbid"
    timeout_s: int = 3600
    retries: int = 0
    starting_deadline_s: int = 300
    suspend: bool = False


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the cluster fills in where a spec does not say; the configuration may change it."""

    cooldown_s: int = 180
    period_s: int = 10
    timeout_s: int = 5
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True)
class AppSpec:
    """One app, as asked for by its owner; the system never changes it.

    With a `job` it has no replicas, no ports and no ingress: its containers run once.
    `unnamed` are the parts of `Defaults` that hold for it, since its owner does not name them.
    `image_pull_policy` is "" where its owner leaves it to the image's tag.
    """

    name: str
    image: str
    ports: tuple[Port, ...]
    type: Literal["http", "tcp"] = "http"
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    environment: tuple[EnvVar, ...] = ()
    secret_files: tuple[SecretFile, ...] = ()
    resources: Resources = field(default_factory=Resources)
    volumes: tuple[Volume, ...] = ()
    ingress: IngressRule = field(default_factory=IngressRule)
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    security: Security = field(default_factory=Security)
    scaling: Scaling = field(default_factory=Scaling)
    health_check: HealthCheck = field(default_factory=HealthCheck)
    termination: Termination = field(default_factory=Termination)
    deploy: Deploy = field(default_factory=Deploy)
    job: Job | None = None
    unnamed: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
