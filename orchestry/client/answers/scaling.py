"""Answers about scaling.

Written by tools/gen_answers.py; do not edit.
"""

from typing import Literal, NotRequired, TypedDict


class ScheduleEntry(TypedDict):
    """Other bounds of the number of replicas for some time."""

    cron: str
    timezone: str
    min_replicas: int
    max_replicas: int
    duration_seconds: int


class Policy(TypedDict):
    """What the autoscaler goes by."""

    min_replicas: int
    max_replicas: int
    target_rps_per_replica: float
    max_p95_latency_ms: float
    max_cpu_percent: float
    max_memory_percent: float
    max_conn_per_replica: int
    metrics: list[Literal["cpu", "memory", "rps", "latency", "connections"]]
    scale_out_threshold_pct: float
    scale_in_threshold_pct: float
    window_seconds: int
    cooldown_seconds: int
    max_scale_out_step: int
    max_scale_in_step: int
    stabilization_window_seconds: int
    schedule: list[ScheduleEntry]


class ModePolicy(TypedDict):
    """A policy with its mode."""

    min_replicas: int
    max_replicas: int
    target_rps_per_replica: float
    max_p95_latency_ms: float
    max_cpu_percent: float
    max_memory_percent: float
    max_conn_per_replica: int
    metrics: list[Literal["cpu", "memory", "rps", "latency", "connections"]]
    scale_out_threshold_pct: float
    scale_in_threshold_pct: float
    window_seconds: int
    cooldown_seconds: int
    max_scale_out_step: int
    max_scale_in_step: int
    stabilization_window_seconds: int
    schedule: list[ScheduleEntry]
    mode: Literal["auto", "manual"]


class LastScaling(TypedDict):
    """The last change of the number of replicas."""

    timestamp: str
    action: Literal["scale_out", "scale_in"]
    from_replicas: int
    to_replicas: int
    reason: str


class ScalingPolicy(TypedDict):
    """The policy in force."""

    app_name: str
    mode: Literal["auto", "manual"]
    policy: Policy
    last_scaling_event: LastScaling | None


class PolicyUpdated(TypedDict):
    """A policy before and after."""

    message: str
    app_name: str
    previous_policy: ModePolicy
    new_policy: ModePolicy


class Signal(TypedDict):
    """One signal at a decision; null where it was not measured or asks for no number."""

    signal: str
    unit: str
    counts: bool
    reading: float | None
    target: float
    factor: float | None
    needed_replicas: int | None


class Decision(TypedDict):
    """One look at an application, what came of it, and all that it rests on."""

    timestamp: str
    action: Literal["scale_out", "scale_in", "stay"]
    from_replicas: int
    to_replicas: int
    healthy_replicas: int
    reason: Literal[
        "above_max",
        "asleep",
        "at_max",
        "at_min",
        "below_min",
        "by_hand",
        "cooldown",
        "frozen",
        "idle",
        "latency",
        "latency_not_capacity",
        "load",
        "manual",
        "missing",
        "none_healthy",
        "quiet",
        "settling",
        "slow",
        "stabilising",
        "steady",
        "wake",
        "warming",
    ]
    would_be: int
    would_reason: Literal[
        "above_max",
        "asleep",
        "at_max",
        "at_min",
        "below_min",
        "by_hand",
        "cooldown",
        "frozen",
        "idle",
        "latency",
        "latency_not_capacity",
        "load",
        "manual",
        "missing",
        "none_healthy",
        "quiet",
        "settling",
        "slow",
        "stabilising",
        "steady",
        "wake",
        "warming",
    ]
    min_replicas: int
    max_replicas: int
    needed_replicas: int | None
    signals: list[Signal]
    explanation: str


class Decisions(TypedDict):
    """Decisions, newest first."""

    app_name: str
    decisions: list[Decision]
    total: int
    has_more: bool


class SimulatedRound(TypedDict):
    """A decision that a policy would have made, beside the replicas that there were."""

    timestamp: str
    action: Literal["scale_out", "scale_in", "stay"]
    from_replicas: int
    to_replicas: int
    healthy_replicas: int
    reason: Literal[
        "above_max",
        "asleep",
        "at_max",
        "at_min",
        "below_min",
        "by_hand",
        "cooldown",
        "frozen",
        "idle",
        "latency",
        "latency_not_capacity",
        "load",
        "manual",
        "missing",
        "none_healthy",
        "quiet",
        "settling",
        "slow",
        "stabilising",
        "steady",
        "wake",
        "warming",
    ]
    would_be: int
    would_reason: Literal[
        "above_max",
        "asleep",
        "at_max",
        "at_min",
        "below_min",
        "by_hand",
        "cooldown",
        "frozen",
        "idle",
        "latency",
        "latency_not_capacity",
        "load",
        "manual",
        "missing",
        "none_healthy",
        "quiet",
        "settling",
        "slow",
        "stabilising",
        "steady",
        "wake",
        "warming",
    ]
    min_replicas: int
    max_replicas: int
    needed_replicas: int | None
    signals: list[Signal]
    explanation: str
    recorded_replicas: int


class SimulationSummary(TypedDict):
    """A simulation in numbers; `turns` counts changes of direction."""

    changes: int
    turns: int
    least_replicas: int
    most_replicas: int
    mean_replicas: float
    last_replicas: int


class Simulation(TypedDict):
    """What a policy would have done."""

    app_name: str
    policy: ModePolicy
    rounds: list[SimulatedRound]
    summary: SimulationSummary


class MeasuredNow(TypedDict):
    """The newest measurements with the replicas that they are of."""

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
    healthy_replicas: int
    total_replicas: int


class ReplicaLoad(TypedDict):
    """What one replica used."""

    name: str
    cpu_percent: float | None
    cpu_cores: float | None
    memory_percent: float | None
    memory_bytes: int | None


class HistoryPoint(TypedDict):
    """One point of the history; null where it was not measured."""

    timestamp: str
    cpu_percent: float | None
    memory_percent: float | None
    memory_bytes: int | None
    rps: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    active_connections: int | None
    errors_per_second: float | None
    bytes_per_second: float | None
    healthy_replicas: int
    total_replicas: int


class AppMetrics(TypedDict):
    """Measurements of one application; the history is oldest first."""

    app_name: str
    timestamp: str
    current: MeasuredNow
    replicas: list[ReplicaLoad]
    history: list[HistoryPoint]


class Host(TypedDict):
    """The machine of a controller; null what was not measured yet."""

    cpu_percent: float | None
    memory_used_gb: float
    memory_total_gb: float
    disk_used_gb: float
    disk_total_gb: float
    containers_running: int | None
    containers_total: int


class HostOfNode(TypedDict):
    """The machine of one controller; null when it does not answer."""

    node_id: str
    reachable: bool
    system: Host | None


class AppUsage(TypedDict):
    """One application in the system metrics; null where nothing was measured lately."""

    name: str
    cpu_percent: float | None
    memory_mb: float | None
    replicas: int
    rps: float | None
    latency_p95_ms: float | None


class Network(TypedDict):
    """What the ingresses carried; null where nothing was measured lately."""

    requests_per_second: float | None
    total_requests: int
    error_rate_percent: float | None
    avg_response_time_ms: float | None


class SystemMetrics(TypedDict):
    """Host, applications and ingresses; `nodes` only where no `node` was asked for."""

    timestamp: str
    node_id: str
    system: Host
    applications: list[AppUsage]
    network: Network
    nodes: list[HostOfNode]


class AppMeasured(TypedDict):
    """What was measured last, as it is streamed."""

    app_name: str
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
    healthy_replicas: int
    total_replicas: int
