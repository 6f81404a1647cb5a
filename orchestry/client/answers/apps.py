"""Answers about apps.

Written by tools/gen_answers.py; do not edit.
"""

from typing import Any, Literal, NotRequired, TypedDict


class Registered(TypedDict):
    """An application is registered."""

    message: str
    app_name: str
    status: Literal["registered"]
    revision: int


class Started(TypedDict):
    """An application runs, or begins to; `warning` when the autoscaler will change the number."""

    message: str
    app_name: str
    replicas: int
    status: Literal["registered", "starting", "running", "updating", "stopping", "stopped", "error"]
    warning: str | None


class Stopped(TypedDict):
    """An application is stopped."""

    message: str
    app_name: str
    status: Literal["stopped"]


class Scaled(TypedDict):
    """An application has its number of replicas, or gets it."""

    message: str
    app_name: str
    previous_replicas: int
    current_replicas: int
    desired_replicas: int
    scaling_time: float
    warning: str | None


class Removed(TypedDict):
    """An application is gone, with these volumes; of many, not all are named."""

    message: str
    app_name: str
    containers_removed: int
    volumes_removed: int
    removed_volumes: list[str]


class ReplicaCounts(TypedDict):
    """Replicas that are there, wanted and healthy."""

    current: int
    desired: int
    healthy: int


class Measured(TypedDict):
    """The newest measurements; null where nothing was measured lately."""

    cpu_percent: float | None
    memory_percent: float | None
    rps: float | None
    latency_p95_ms: float | None
    active_connections: int | None
    memory_bytes: NotRequired[int | None]
    latency_p50_ms: NotRequired[float | None]
    latency_p99_ms: NotRequired[float | None]
    errors_per_second: NotRequired[float | None]
    bytes_per_second: NotRequired[float | None]
    measured_at: NotRequired[str | None]


class Container(TypedDict):
    """One replica; `name` is its place (shop-1), `container_name` the engine's name."""

    id: str
    name: str
    container_name: str
    ip: str
    port: int
    status: Literal["created", "running", "exited"]
    health: Literal["starting", "healthy", "unhealthy"]
    started_at: str | None
    slot: int
    revision: int
    restarts: int
    last_error: str | None
    state: Literal["created", "running", "exited", "waiting", "crash_loop", "finished", "failed"]
    next_attempt_at: str | None


class LastExit(TypedDict):
    """How a replica last ended; `exit_code` is null where its checks were the reason."""

    reason: Literal["exited", "oom_killed", "unhealthy"]
    exit_code: int | None
    signal: str | None
    container_id: str
    at: str | None


class ReplicaRestarts(TypedDict):
    """What the place of one replica has been through; `over` when it is not started again."""

    name: str
    slot: int
    revision: int
    failures: int
    failures_in_a_row: int
    oom_kills: int
    crash_loop: bool
    over: Literal["finished", "failed"] | None
    next_attempt_at: str | None
    last_exit: LastExit | None


class Restarts(TypedDict):
    """Failures of all replicas since registration, and those that have something to tell."""

    failures: int
    oom_kills: int
    replicas: list[ReplicaRestarts]


class Problem(TypedDict):
    """Why an application is not as it should be."""

    code: str
    message: str


class Pulling(TypedDict):
    """A pull that an application waits for; bytes of the layers that are known so far."""

    image: str
    began_at: str
    done_bytes: int
    total_bytes: int


class UnderWay(TypedDict):
    """The deployment that is under way; `available` new replicas have proved themselves."""

    id: int
    kind: Literal["update", "rollback", "restart"]
    phase: Literal["running", "paused", "failed", "done", "superseded", "stopped"]
    wanted: int
    available: int


class AppStatus(TypedDict):
    """One application."""

    name: str
    kind: Literal["App", "Job"]
    status: Literal["registered", "starting", "running", "updating", "stopping", "stopped", "error"]
    replicas: ReplicaCounts
    metrics: Measured
    created_at: str
    updated_at: str
    last_scaled_at: str | None
    containers: list[Container]
    revision: int
    image: str
    pinned: str | None
    pulling: Pulling | None
    problem: Problem | None
    deployment: UnderWay | None
    restarts: Restarts


class AppRow(TypedDict):
    """One application in a list."""

    name: str
    kind: Literal["App", "Job"]
    status: Literal["registered", "starting", "running", "updating", "stopping", "stopped", "error"]
    replicas: ReplicaCounts
    image: str
    created_at: str
    revision: int


class AppList(TypedDict):
    """All applications, and how many are in each status; `format=summary` leaves out `apps`."""

    apps: list[AppRow]
    total: int
    registered: int
    starting: int
    running: int
    updating: int
    stopping: int
    stopped: int
    error: int


class ContainerHealth(TypedDict):
    """The health of one replica; null where only the leader knows."""

    id: str
    name: str
    container_name: str
    health: Literal["starting", "healthy", "unhealthy"]
    last_check: str | None
    consecutive_failures: int | None
    response_time_ms: float | None
    last_error: str | None


class HealthCheckConfig(TypedDict):
    """How the replicas are checked; `path` is null for TCP."""

    path: str | None
    port: int
    protocol: Literal["HTTP", "TCP"]
    period_seconds: int
    timeout_seconds: int
    failure_threshold: int
    success_threshold: int
    initial_delay_seconds: int


class AppHealth(TypedDict):
    """The health of one application."""

    app_name: str
    overall_health: Literal["healthy", "degraded", "unhealthy", "starting", "stopped"]
    healthy_replicas: int
    total_replicas: int
    containers: list[ContainerHealth]
    health_check_config: HealthCheckConfig


class Event(TypedDict):
    """Something that happened; `id` grows. `app_name` is null for the cluster itself."""

    id: int
    type: Literal["scaling", "health", "config", "error", "cluster"]
    app_name: str | None
    message: str
    timestamp: str
    details: dict[str, Any]


class Events(TypedDict):
    """Events, newest first; `complete` is false where older ones may be missing."""

    events: list[Event]
    total: int
    has_more: bool
    complete: bool


class AppEvents(TypedDict):
    """Events of one application, newest first."""

    events: list[Event]
    total: int
    has_more: bool
    complete: bool
    app_name: str


class LogEntry(TypedDict):
    """One line of a container; `level` is read from the line, else INFO."""

    timestamp: str | None
    container: str
    level: Literal["DEBUG", "INFO", "WARN", "ERROR"]
    message: str
    stream: Literal["stdout", "stderr"]
    truncated: bool


class UnreadContainer(TypedDict):
    """A replica whose lines are missing, and why."""

    container: str
    reason: str


class Logs(TypedDict):
    """Lines of an application's containers."""

    app_name: str
    logs: list[LogEntry]
    total_lines: int
    has_more: bool
    unavailable: list[UnreadContainer]


class AppTotals(TypedDict):
    """As `AppList`, without `apps`."""

    total: int
    registered: int
    starting: int
    running: int
    updating: int
    stopping: int
    stopped: int
    error: int
