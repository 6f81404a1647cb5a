"""Answers about scaling and measurements, described in /openapi.json; see api.answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.answers import Amount, Answer, Count, Measured, Time
from cluster.scaling.decision import Reason

Action = Literal["scale_out", "scale_in", "stay"]


class ScheduleEntry(Answer):
    """Other bounds of the number of replicas for some time."""

    cron: str
    timezone: str
    min_replicas: Count
    max_replicas: Count
    duration_seconds: Count


class Policy(Answer):
    """What the autoscaler goes by."""

    min_replicas: Count
    max_replicas: Count
    target_rps_per_replica: Amount
    max_p95_latency_ms: Amount
    max_cpu_percent: Amount
    max_memory_percent: Amount
    max_conn_per_replica: Count
    metrics: list[Literal["cpu", "memory", "rps", "latency", "connections"]]
    scale_out_threshold_pct: Amount
    scale_in_threshold_pct: Amount
    window_seconds: Count
    cooldown_seconds: Count
    max_scale_out_step: Count
    max_scale_in_step: Count
    stabilization_window_seconds: Count
    schedule: list[ScheduleEntry]


class ModePolicy(Policy):
    """A policy with its mode."""

    mode: Literal["auto", "manual"]


class LastScaling(Answer):
    """The last change of the number of replicas."""

    timestamp: Time
    action: Literal["scale_out", "scale_in"]
    from_replicas: Count
    to_replicas: Count
    reason: str


class ScalingPolicy(Answer):
    """The policy in force."""

    app_name: str
    mode: Literal["auto", "manual"]
    policy: Policy
    last_scaling_event: LastScaling | None


class PolicyUpdated(Answer):
    """A policy before and after."""

    message: str
    app_name: str
    previous_policy: ModePolicy
    new_policy: ModePolicy


class Signal(Answer):
    """One signal at a decision; null where it was not measured or asks for no number."""

    signal: str
    unit: str
    counts: bool
    reading: Amount | None
    target: Amount
    factor: Amount | None
    needed_replicas: Count | None


class Decision(Answer):
    """One look at an application, what came of it, and all that it rests on."""

    timestamp: Time
    action: Action
    from_replicas: Count
    to_replicas: Count
    healthy_replicas: Count
    reason: Reason
    would_be: Count
    would_reason: Reason
    min_replicas: Count
    max_replicas: Count
    needed_replicas: Count | None
    signals: list[Signal]
    explanation: str


class Decisions(Answer):
    """Decisions, newest first."""

    app_name: str
    decisions: list[Decision]
    total: Count
    has_more: bool


class SimulatedRound(Decision):
    """A decision that a policy would have made, beside the replicas that there were."""

    recorded_replicas: Count


class SimulationSummary(Answer):
    """A simulation in numbers; `turns` counts changes of direction."""

    changes: Count
    turns: Count
    least_replicas: Count
    most_replicas: Count
    mean_replicas: Amount
    last_replicas: Count


class Simulation(Answer):
    """What a policy would have done."""

    app_name: str
    policy: ModePolicy
    rounds: list[SimulatedRound]
    summary: SimulationSummary


class MeasuredNow(Measured):
    """The newest measurements with the replicas that they are of."""

    healthy_replicas: Count
    total_replicas: Count


class ReplicaLoad(Answer):
    """What one replica used."""

    name: str
    cpu_percent: Amount | None
    cpu_cores: Amount | None
    memory_percent: Amount | None
    memory_bytes: Count | None


class HistoryPoint(Answer):
    """One point of the history; null where it was not measured."""

    timestamp: Time
    cpu_percent: Amount | None
    memory_percent: Amount | None
    memory_bytes: Count | None
    rps: Amount | None
    latency_p50_ms: Amount | None
    latency_p95_ms: Amount | None
    latency_p99_ms: Amount | None
    active_connections: Count | None
    errors_per_second: Amount | None
    bytes_per_second: Amount | None
    healthy_replicas: Count
    total_replicas: Count


class AppMetrics(Answer):
    """Measurements of one application; the history is oldest first."""

    app_name: str
    timestamp: Time
    current: MeasuredNow
    replicas: list[ReplicaLoad]
    history: list[HistoryPoint]


class Host(Answer):
    """The machine of a controller; null what was not measured yet."""

    cpu_percent: Amount | None
    memory_used_gb: Amount
    memory_total_gb: Amount
    disk_used_gb: Amount
    disk_total_gb: Amount
    containers_running: Count | None
    containers_total: Count


class NodeHost(Answer):
    """The machine of the controller that answers."""

    node_id: str
    system: Host


class HostOfNode(Answer):
    """The machine of one controller; null when it does not answer."""

    node_id: str
    reachable: bool
    system: Host | None


class AppUsage(Answer):
    """One application in the system metrics; null where nothing was measured lately."""

    name: str
    cpu_percent: Amount | None
    memory_mb: Amount | None
    replicas: Count
    rps: Amount | None
    latency_p95_ms: Amount | None


class Network(Answer):
    """What the ingresses carried; null where nothing was measured lately."""

    requests_per_second: Amount | None
    total_requests: Count
    error_rate_percent: Amount | None
    avg_response_time_ms: Amount | None


class SystemMetrics(Answer):
    """Host, applications and ingresses; `nodes` only where no `node` was asked for."""

    timestamp: Time
    node_id: str
    system: Host
    applications: list[AppUsage]
    network: Network
    nodes: list[HostOfNode] = Field(default_factory=list)


class Measurements(Answer):
    """The newest measurements of each application, by name."""

    apps: dict[str, Measured]


class PastSample(Answer):
    """One measurement on disk."""

    app: str
    at_ms: Count
    cpu_percent: Amount | None
    memory_percent: Amount | None
    memory_bytes: Count | None
    rps: Amount | None
    p50_ms: Amount | None
    p95_ms: Amount | None
    p99_ms: Amount | None
    connections: Amount | None
    errors_per_s: Amount | None
    bytes_per_s: Amount | None
    healthy: Count
    total: Count


class PastSamples(Answer):
    """Measurements of a node, oldest first."""

    samples: list[PastSample]


class PastEvent(Answer):
    """One event on disk; `app` is empty for the cluster itself."""

    id: Count
    type: Literal["scaling", "health", "config", "error", "cluster"]
    app: str
    message: str
    at_ms: Count
    details: dict[str, Any]


class PastEvents(Answer):
    """Events of a node, oldest first."""

    complete: bool = Field(description="None is missing between the bounds")
    events: list[PastEvent]
