"""Answers about cluster.

Written by tools/gen_answers.py; do not edit.
"""

from typing import Any, Literal, NotRequired, TypedDict


class Node(TypedDict):
    """One controller as another sees it; `refused` says why its messages are refused."""

    node_id: str
    hostname: str
    state: Literal["leader", "follower", "candidate", "unreachable"]
    is_healthy: bool
    last_heartbeat: float | None
    api_url: str | None
    version: str | None
    level: int | None
    missing_keys: list[str]
    refused: NotRequired[str | None]


class Lease(TypedDict):
    """The leader's right to act; times are Unix seconds."""

    leader_id: str
    term: int
    acquired_at: float
    expires_at: float
    renewed_at: float
    hostname: str
    api_url: str | None


class ClusterStatus(TypedDict):
    """A node's view of the cluster."""

    node_id: str
    hostname: str
    state: Literal["leader", "follower", "candidate"]
    term: int
    is_leader: bool
    leader_id: str | None
    cluster_size: int
    nodes: list[Node]
    lease: Lease | None
    cluster_id: str | None
    raft_term: int
    applied_index: int
    commit_index: int
    has_quorum: bool
    fault: str | None
    level: int


class Leader(TypedDict):
    """Who leads, and where; `lease_expires_at` is null until it may act."""

    leader_id: str
    hostname: str
    api_url: str
    term: int
    lease_expires_at: float | None


class ClusterHealth(TypedDict):
    """Whether this node is part of a quorum with a leader."""

    status: Literal["healthy", "degraded"]
    clustering: Literal["enabled", "disabled"]
    node_id: str
    state: Literal["leader", "follower", "candidate"]
    is_leader: bool
    leader_id: str | None
    cluster_size: int
    cluster_ready: bool
    timestamp: float
    version: str
    fault: str | None


class Member(TypedDict):
    """One controller that votes."""

    node_id: str
    raft_address: str
    is_leader: bool
    api_url: str | None
    version: str | None
    level: int | None
    connected: bool
    refused: str | None
    joined_index: int
    seen: bool


class Members(TypedDict):
    """The controllers that vote."""

    members: list[Member]
    members_index: int
    majority: int
    leader_id: str | None
    level: int


class Join(TypedDict):
    """The environment that a new controller is started with."""

    CONTROLLER_NODE_ID: str
    CLUSTER_PEERS: str
    CLUSTER_JOIN: Literal["true"]


class MemberAdded(TypedDict):
    """A controller may vote."""

    message: str
    node_id: str
    raft_address: str
    members: list[str]
    join: Join


class MemberRemoved(TypedDict):
    """A controller votes no more."""

    message: str
    node_id: str
    members: list[str]


class Transferred(TypedDict):
    """Who leads now; `previous_leader` is null when nothing was to be done."""

    message: str
    previous_leader: str | None
    leader_id: str
    transfer_time: float


class DrillBegun(TypedDict):
    """A leader fails on purpose; `seconds` is null when it ends only with its next start."""

    message: str
    fault: Literal["leader-kill", "partition", "db-down"]
    node_id: str
    term: int
    seconds: int | None


class Probed(TypedDict):
    """An entry that changes nothing is committed, at `index`."""

    message: str
    index: int


class Restored(TypedDict):
    """A part of a backup is taken; `apps` is a number with the last one, else null."""

    message: str
    restore_id: str
    part: int
    parts: int
    apps: int | None


class Actions(TypedDict):
    """A page of a controller's record of its side effects, the oldest first."""

    node_id: str
    records: list[dict[str, Any]]
    lost: int
    more: bool


class EngineContainer(TypedDict):
    """One container as the engine has it."""

    id: str
    name: str
    app: str
    slot: int
    revision: int
    epoch: int
    phase: str
    started_at_ms: int


class EngineContainers(TypedDict):
    """All containers of the cluster on this node's engine, by start time."""

    containers: list[EngineContainer]


class Component(TypedDict):
    """One part of a node."""

    status: Literal["healthy", "degraded", "unavailable", "disabled"]
    response_time_ms: float | None
    detail: str | None


class DatabaseComponent(TypedDict):
    """The history; `events_behind` were not written yet."""

    status: Literal["healthy", "degraded", "unavailable", "disabled"]
    response_time_ms: float | None
    detail: str | None
    backend: Literal["sqlite", "postgresql"]
    events_behind: int


class DockerComponent(TypedDict):
    """The container engine."""

    status: Literal["healthy", "degraded", "unavailable", "disabled"]
    response_time_ms: float | None
    detail: str | None
    containers_running: int


class NginxComponent(TypedDict):
    """The ingresses."""

    status: Literal["healthy", "degraded", "unavailable", "disabled"]
    response_time_ms: float | None
    detail: str | None
    configs_active: int


class RaftComponent(TypedDict):
    """The replicated log."""

    status: Literal["healthy", "degraded", "unavailable", "disabled"]
    response_time_ms: float | None
    detail: str | None
    role: Literal["leader", "follower", "candidate"]
    applied_index: int


class TlsComponent(TypedDict):
    """The certificate of a node; `expires_at` is null without one."""

    status: Literal["healthy", "degraded", "unavailable", "disabled"]
    response_time_ms: float | None
    detail: str | None
    expires_at: str | None


class Components(TypedDict):
    """The parts of a node."""

    database: DatabaseComponent
    docker: DockerComponent
    nginx: NginxComponent
    raft: RaftComponent
    redis: Component
    secrets: Component
    tls: TlsComponent


class AppCounts(TypedDict):
    """How many applications there are."""

    total: int
    running: int
    stopped: int
    error: int


class SystemHealth(TypedDict):
    """The health of a node and its parts."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: str
    version: str
    uptime_seconds: int
    components: Components
    applications: AppCounts
    warnings: list[str]
