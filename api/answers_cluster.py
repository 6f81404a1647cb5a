"""Answers about the cluster and its nodes, described in /openapi.json; see api.answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from api.answers import Amount, Answer, Count, Time

Role = Literal["leader", "follower", "candidate"]
Seconds = Amount
"""A moment in Unix seconds."""
Level = Annotated[int, Field(ge=1, description="What commands a controller understands")]


class Node(Answer):
    """One controller as another sees it; `refused` says why its messages are refused.

    `missing_keys` are the ids of keys that secrets are kept under, and that it does not have.
    """

    node_id: str
    hostname: str
    state: Literal["leader", "follower", "candidate", "unreachable"]
    is_healthy: bool
    last_heartbeat: Seconds | None
    api_url: str | None
    version: str | None
    level: Level | None
    missing_keys: list[str]
    refused: str | None = None


class Lease(Answer):
    """The leader's right to act; times are Unix seconds."""

    leader_id: str
    term: Count
    acquired_at: Seconds
    expires_at: Seconds
    renewed_at: Seconds
    hostname: str
    api_url: str | None


class ClusterStatus(Answer):
    """A node's view of the cluster."""

    node_id: str
    hostname: str
    state: Role
    term: Count
    is_leader: bool
    leader_id: str | None
    cluster_size: Count
    nodes: list[Node]
    lease: Lease | None
    cluster_id: str | None
    raft_term: Count
    applied_index: Count
    commit_index: Count
    has_quorum: bool
    fault: str | None
    level: Level


class Leader(Answer):
    """Who leads, and where; `lease_expires_at` is null until it may act."""

    leader_id: str
    hostname: str
    api_url: str
    term: Count
    lease_expires_at: Seconds | None


class ClusterHealth(Answer):
    """Whether this node is part of a quorum with a leader."""

    status: Literal["healthy", "degraded"]
    clustering: Literal["enabled", "disabled"]
    node_id: str
    state: Role
    is_leader: bool
    leader_id: str | None
    cluster_size: Count
    cluster_ready: bool
    timestamp: Seconds
    version: str
    fault: str | None


class IsLeader(Answer):
    """Whether this node leads."""

    is_leader: bool
    node_id: str
    leader_id: str | None


class Member(Answer):
    """One controller that votes."""

    node_id: str
    raft_address: str
    is_leader: bool
    api_url: str | None
    version: str | None
    level: Level | None
    connected: bool
    refused: str | None
    joined_index: Count
    seen: bool


class Members(Answer):
    """The controllers that vote."""

    members: list[Member]
    members_index: Count
    majority: Count
    leader_id: str | None
    level: Level


class Join(Answer):
    """The environment that a new controller is started with."""

    CONTROLLER_NODE_ID: str
    CLUSTER_PEERS: str
    CLUSTER_JOIN: Literal["true"]


class MemberAdded(Answer):
    """A controller may vote."""

    message: str
    node_id: str
    raft_address: str
    members: list[str]
    join: Join


class MemberRemoved(Answer):
    """A controller votes no more."""

    message: str
    node_id: str
    members: list[str]


class Transferred(Answer):
    """Who leads now; `previous_leader` is null when nothing was to be done."""

    message: str
    previous_leader: str | None
    leader_id: str
    transfer_time: Amount = Field(description="Seconds")


class DrillBegun(Answer):
    """A leader fails on purpose; `seconds` is null when it ends only with its next start."""

    message: str
    fault: Literal["leader-kill", "partition", "db-down"]
    node_id: str
    term: Count
    seconds: Count | None


class Probed(Answer):
    """An entry that changes nothing is committed, at `index`."""

    message: str
    index: Count


class Restored(Answer):
    """A part of a backup is taken; `apps` is a number with the last one, else null."""

    message: str
    restore_id: str
    part: Count
    parts: Count
    apps: Count | None


class Actions(Answer):
    """A page of a controller's record of its side effects, the oldest first."""

    node_id: str
    records: list[dict[str, Any]]
    lost: Count
    more: bool


class EngineContainer(Answer):
    """One container as the engine has it."""

    id: str
    name: str
    app: str
    slot: Count
    revision: Count
    epoch: Count
    phase: str
    started_at_ms: Count


class EngineContainers(Answer):
    """All containers of the cluster on this node's engine, by start time."""

    containers: list[EngineContainer]


class Alive(Answer):
    """The process answers."""

    status: Literal["alive"]


class ReadyChecks(Answer):
    """What makes a node ready."""

    state_loaded: bool
    leader_known: bool
    no_fault: bool


class Readiness(Answer):
    """Whether a node is ready to serve, and what is missing."""

    status: Literal["ready", "not ready"]
    checks: ReadyChecks
    fault: str | None


class Component(Answer):
    """One part of a node."""

    status: Literal["healthy", "degraded", "unavailable", "disabled"]
    response_time_ms: Amount | None
    detail: str | None


class DatabaseComponent(Component):
    """The history; `events_behind` were not written yet."""

    backend: Literal["sqlite", "postgresql"]
    events_behind: Count


class DockerComponent(Component):
    """The container engine."""

    containers_running: Count


class NginxComponent(Component):
    """The ingresses."""

    configs_active: Count


class RaftComponent(Component):
    """The replicated log."""

    role: Role
    applied_index: Count


class TlsComponent(Component):
    """The certificate of a node; `expires_at` is null without one."""

    expires_at: Time | None


class Ca(Answer):
    """The CAs that the cluster believes in PEM, its own first; `pin` is the SHA-256 of its key."""

    ca: str
    pin: str


class Signed(Answer):
    """A certificate for a new controller, with the CAs and the key of the first, in PEM."""

    certificate: str
    ca: str
    ca_key: str


class Components(Answer):
    """The parts of a node."""

    database: DatabaseComponent
    docker: DockerComponent
    nginx: NginxComponent
    raft: RaftComponent
    redis: Component
    secrets: Component
    tls: TlsComponent


class AppCounts(Answer):
    """How many applications there are."""

    total: Count
    running: Count
    stopped: Count
    error: Count


class SystemHealth(Answer):
    """The health of a node and its parts."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: Time
    version: str
    uptime_seconds: Count
    components: Components
    applications: AppCounts
    warnings: list[str]
