"""Answers about applications: what a client may rely on, described in /openapi.json.

These models describe and are never run over an answer: that would cost every read its speed.
tests/contract and tests/acceptance/test_schemathesis.py hold real answers against them.

Source: docs/adr/0019-answers-are-described-not-validated.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cluster.state.exits import ExitReason
from cluster.state.model import Health, Phase, RolloutKind, RolloutPhase
from cluster.state.status import Status

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, UTC."""
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
ReplicaState = Literal[
    "created", "running", "exited", "waiting", "crash_loop", "finished", "failed"]
"""`waiting` for its next attempt; `finished` and `failed` are not started again."""


class Answer(BaseModel):
    """A JSON object; a later version may add keys."""

    model_config = ConfigDict(frozen=True, defer_build=True)


class Document(Answer):
    """This document."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]
    tags: list[dict[str, Any]]


class Registered(Answer):
    """An application is registered."""

    message: str
    app_name: str
    status: Literal["registered"]
    revision: Count


class Started(Answer):
    """An application runs, or begins to; `warning` when the autoscaler will change the number."""

    message: str
    app_name: str
    replicas: Count
    status: Status
    warning: str | None


class Stopped(Answer):
    """An application is stopped."""

    message: str
    app_name: str
    status: Literal["stopped"]


class Scaled(Answer):
    """An application has its number of replicas, or gets it.

    `warning`, when the scaling policy does not allow it, so that the autoscaler changes it.
    """

    message: str
    app_name: str
    previous_replicas: Count
    current_replicas: Count
    desired_replicas: Count
    scaling_time: Amount = Field(description="Seconds")
    warning: str | None


class Removed(Answer):
    """An application is gone, with these volumes; of many, not all are named."""

    message: str
    app_name: str
    containers_removed: Count
    volumes_removed: Count
    removed_volumes: list[str]


class ReplicaCounts(Answer):
    """Replicas that are there, wanted and healthy."""

    current: Count
    desired: Count
    healthy: Count


class Measured(Answer):
    """The newest measurements; null where nothing was measured lately."""

    cpu_percent: Amount | None
    memory_percent: Amount | None
    rps: Amount | None
    latency_p95_ms: Amount | None
    active_connections: Count | None
    memory_bytes: Count | None = None
    latency_p50_ms: Amount | None = None
    latency_p99_ms: Amount | None = None
    errors_per_second: Amount | None = None
    bytes_per_second: Amount | None = None
    measured_at: Time | None = None


class Container(Answer):
    """One replica; `name` is its place (shop-1), `container_name` the engine's name."""

    id: str
    name: str
    container_name: str
    ip: str
    port: int
    status: Phase
    health: Health
    started_at: Time | None
    slot: Count
    revision: Count
    restarts: Count
    last_error: str | None
    state: ReplicaState
    next_attempt_at: Time | None


class LastExit(Answer):
    """How a replica last ended; `exit_code` is null where its checks were the reason."""

    reason: ExitReason
    exit_code: int | None
    signal: str | None
    container_id: str
    at: Time | None


class ReplicaRestarts(Answer):
    """What the place of one replica has been through; `over` when it is not started again."""

    name: str
    slot: Count
    revision: Count
    failures: Count
    failures_in_a_row: Count
    oom_kills: Count
    crash_loop: bool
    over: Literal["finished", "failed"] | None
    next_attempt_at: Time | None
    last_exit: LastExit | None


class Restarts(Answer):
    """Failures of all replicas since registration, and those that have something to tell."""

    failures: Count
    oom_kills: Count
    replicas: list[ReplicaRestarts]


class Problem(Answer):
    """Why an application is not as it should be."""

    code: str
    message: str


class Pulling(Answer):
    """A pull that an application waits for; bytes of the layers that are known so far."""

    image: str
    began_at: Time
    done_bytes: Count
    total_bytes: Count


class UnderWay(Answer):
    """The deployment that is under way; `available` new replicas have proved themselves."""

    id: Count
    kind: RolloutKind
    phase: RolloutPhase
    wanted: Count
    available: Count


class AppStatus(Answer):
    """One application."""

    name: str
    kind: Literal["App", "Job"]
    status: Status
    replicas: ReplicaCounts
    metrics: Measured
    created_at: Time
    updated_at: Time
    last_scaled_at: Time | None
    containers: list[Container]
    revision: Count
    image: str
    pinned: str | None = Field(description="What `image` is for its replicas: a digest, or an id")
    pulling: Pulling | None
    problem: Problem | None
    deployment: UnderWay | None
    restarts: Restarts


class AppRow(Answer):
    """One application in a list."""

    name: str
    kind: Literal["App", "Job"]
    status: Status
    replicas: ReplicaCounts
    image: str
    created_at: Time
    revision: Count


class AppList(Answer):
    """All applications, and how many are in each status; `format=summary` leaves out `apps`."""

    apps: list[AppRow] = []
    total: Count
    registered: Count
    starting: Count
    running: Count
    updating: Count
    stopping: Count
    stopped: Count
    error: Count


class ContainerHealth(Answer):
    """The health of one replica; null where only the leader knows."""

    id: str
    name: str
    container_name: str
    health: Health
    last_check: Time | None
    consecutive_failures: Count | None
    response_time_ms: Amount | None
    last_error: str | None


class HealthCheckConfig(Answer):
    """How the replicas are checked; `path` is null for TCP."""

    path: str | None
    port: int
    protocol: Literal["HTTP", "TCP"]
    period_seconds: Count
    timeout_seconds: Count
    failure_threshold: Count
    success_threshold: Count
    initial_delay_seconds: Count


class AppHealth(Answer):
    """The health of one application."""

    app_name: str
    overall_health: Literal["healthy", "degraded", "unhealthy", "starting", "stopped"]
    healthy_replicas: Count
    total_replicas: Count
    containers: list[ContainerHealth]
    health_check_config: HealthCheckConfig


class Event(Answer):
    """Something that happened; `id` grows. `app_name` is null for the cluster itself."""

    id: Count
    type: Literal["scaling", "health", "config", "error", "cluster"]
    app_name: str | None
    message: str
    timestamp: Time
    details: dict[str, Any]


class Events(Answer):
    """Events, newest first; `complete` is false where older ones may be missing."""

    events: list[Event]
    total: Count
    has_more: bool
    complete: bool


class AppEvents(Events):
    """Events of one application, newest first."""

    app_name: str


class LogEntry(Answer):
    """One line of a container; `level` is read from the line, else INFO."""

    timestamp: Time | None
    container: str
    level: Literal["DEBUG", "INFO", "WARN", "ERROR"]
    message: str
    stream: Literal["stdout", "stderr"]
    truncated: bool = Field(description="The line was longer")


class UnreadContainer(Answer):
    """A replica whose lines are missing, and why."""

    container: str
    reason: str


class Logs(Answer):
    """Lines of an application's containers."""

    app_name: str
    logs: list[LogEntry]
    total_lines: Count
    has_more: bool
    unavailable: list[UnreadContainer]
