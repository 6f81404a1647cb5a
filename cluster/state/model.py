"""ClusterState and its parts: immutable values, the same on every controller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from immutables import Map

from cluster.state.kept import Release, ReleaseApp, ReleaseRevision, Secret, SecretVersion
from cluster.state.memory import Memory
from cluster.state.outcome import Applied
from cluster.state.pins import Pin, Pulling
from orchestry.access import Role

Health = Literal["starting", "healthy", "unhealthy"]
Phase = Literal["created", "running", "exited"]


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica as the leader last reported it; identity is (app, revision, slot).

    `slot` counts from 1. `last_error` is what a user may read about why it is not healthy.
    """

    slot: int
    revision: int
    container_id: str
    container_name: str
    ip: str
    port: int
    phase: Phase
    health: Health
    started_at_ms: int = 0
    restarts: int = 0
    last_error: str = ""


Place = tuple[int, int]
"""(template, slot): what one replica is known by within its app."""

RolloutKind = Literal["update", "rollback", "restart"]
RolloutPhase = Literal["running", "paused", "failed", "done", "superseded", "stopped"]


@dataclass(frozen=True, slots=True)
class Revision:
    """A spec that an app had: `revision` is its number, `cause` why it came to be.

    `healthy` says that all replicas of it were healthy at once.
    """

    revision: int
    document: str
    template: int
    at_ms: int
    template_key: str = ""
    cause: str = ""
    healthy: bool = False
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RolloutNote:
    """One thing that a rollout did, and why."""

    at_ms: int
    text: str


CanaryWait = Literal["", "replicas", "time", "promotion", "measurements"]


@dataclass(frozen=True, slots=True)
class Canary:
    """How far a rollout by weights is: at which of the spec's steps, counted from 0.

    `weight` percent of the requests go to replicas of `template`, which is that of the rollout
    before until this one has replicas; so many as there are steps stand for the end, in which
    the old ones leave. The step's weight has been in force for at least `held_s`.
    """

    step: int = 0
    template: int = 0
    weight: int = 0
    held_s: int = 0
    waits: CanaryWait = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """How the replicas of an app come to a template; `id` is the revision that it brings about.

    `new` are the slots of the template that are wanted by now, `old` all other places that
    still are: of other templates, and of slots above the wanted number. `step` counts what the
    leader decided. `available` is how many new replicas had proved themselves. A rollout that
    `failed` holds what there is; the other phases but `running` and `paused` are over.
    `promoted` waits for nothing but health.
    """

    id: int
    kind: RolloutKind
    from_revision: int
    began_at_ms: int
    phase: RolloutPhase = "running"
    new: tuple[int, ...] = ()
    old: tuple[Place, ...] = ()
    step: int = 0
    available: int = 0
    wanted: int = 0
    promoted: bool = False
    overdue: bool = False
    changed_at_ms: int = 0
    ended_at_ms: int = 0
    reason: str = ""
    notes: tuple[RolloutNote, ...] = ()
    canary: Canary | None = None


@dataclass(frozen=True, slots=True)
class App:
    """An app as the cluster knows it.

    `document` is the owner's spec as canonical JSON text; the rest is ours.
    `revision` is the Raft index of the last spec change. `replicas` is the wanted
    number while `running`; a stopped app keeps it for the next start. `reached` says
    that all wanted replicas were healthy at least once since the last start.
    `addresses` are the `host/path` of the ingress that belong to this app.
    `scaling_until_ms` is not 0 while an explicit scale still converges. `scaling` are the
    changes to the spec's scaling policy, as JSON text; `by_hand` says that a user set the
    number of replicas last. `last_scaling` is (from, to, why) at `last_scaled_at_ms`.
    `release` is the one that it belongs to, "" for none.

    `template` is the revision that the containers carry: the one in which what they are made
    from changed last, 0 for `revision`; `template_key` tells two templates apart. `good` says
    that all replicas of this revision were healthy at once. `revisions` are those before this
    one, `deployments` the rollouts that are over, both oldest first. `pins` are the images that
    templates are made from. `pulling` is a pull that it waits for.

    `leaving_volumes` are those that a deletion removes now, the last of `volumes_named`.
    """

    name: str
    document: str
    revision: int
    running: bool
    replicas: int
    created_at_ms: int
    updated_at_ms: int
    started_at_ms: int = 0
    last_scaled_at_ms: int = 0
    scaling_until_ms: int = 0
    reached: bool = False
    stop_grace_s: int | None = None
    stop_force: bool = False
    deleting: bool = False
    keep_data: bool = False
    problem: str = ""
    problem_code: str = ""
    addresses: tuple[str, ...] = ()
    reports: tuple[Replica, ...] = ()
    scaling: str = ""
    by_hand: bool = False
    last_scaling: tuple[int, int, str] | None = None
    release: str = ""
    template: int = 0
    template_key: str = ""
    cause: str = ""
    revised_at_ms: int = 0
    good: bool = False
    revisions: tuple[Revision, ...] = ()
    rollout: Rollout | None = None
    deployments: tuple[Rollout, ...] = ()
    leaving_volumes: tuple[str, ...] = ()
    volumes_named: int = 0
    pins: tuple[Pin, ...] = ()
    pulling: Pulling | None = None

    @property
    def made_from(self) -> int:
        """The revision that this app's own containers carry."""
        return self.template or self.revision


@dataclass(frozen=True, slots=True)
class Leadership:
    """Who may act; `epoch` only grows and fences every side effect."""

    epoch: int = 0
    holder: str = ""
    acquired_at_ms: int = 0
    renewed_at_ms: int = 0
    ttl_ms: int = 0


GENERATION = 1_000_000
"""By so much the epoch grows when a cluster goes on from a backup or from a lone survivor.

Controllers with the old log cannot count so far: they find the new epoch on containers and
ingresses, and hold. The ids of events grow to the next multiple of it, so that none is that of
another event of the old log.
"""


def next_generation(event_id: int) -> int:
    """The first id of an event after a restore or a rescue, `event_id` being next without."""
    return (event_id // GENERATION + 1) * GENERATION


@dataclass(frozen=True, slots=True)
class ControllerInfo:
    """What a controller announces about itself; `api_url` is reachable by clients.

    `level` is the highest that it understands, see `cluster.state.levels`. `secrets_key` is the
    id of the key under which it seals secrets, "" without one.
    """

    id: str
    api_url: str
    hostname: str
    version: str
    at_ms: int
    level: int = 1
    secrets_key: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """A controller that votes; `raft_address` is host:port.

    `joined_index` is the log index of the entry that added it. `incarnation` names its data
    folder, "" until that is known: a member with another folder has lost what it promised.
    """

    raft_address: str
    joined_index: int = 0
    incarnation: str = ""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Something that happened; `id` is unique and grows."""

    id: int
    type: Literal["scaling", "health", "config", "error", "cluster", "audit"]
    app: str
    message: str
    at_ms: int
    details: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Token:
    """Who may call the API: whoever knows the text whose SHA-256, in hex, is `hash`.

    `apps`, when not "", is how the names of the apps begin that it is good for.
    `expires_at_ms` is 0 for never; `created_by` is the id of the token that made it.
    """

    id: str
    name: str
    role: Role
    hash: str
    apps: str = ""
    expires_at_ms: int = 0
    created_at_ms: int = 0
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class VolumeRemoval:
    """A volume that is to go, which the deleted `app` left; `index` is that of the log entry."""

    name: str
    app: str
    index: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Restore:
    """A restore under way: what came so far, seen by nobody; `next` of `total` parts is due."""

    id: str
    next: int = 0
    total: int = 0
    apps: Map[str, App] = field(default_factory=Map)
    events: tuple[EventRecord, ...] = ()
    config: tuple[tuple[str, Any], ...] = ()
    tokens: tuple[Token, ...] = ()
    releases: tuple[Release, ...] = ()
    secrets: tuple[Secret, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The whole replicated state at one log index; its maps share what did not change.

    `members_index` is the log index of the entry that `members` come from; before the first
    one it is 0, and the members are those of the settings. While `awaiting_restore`, the
    cluster has taken the id of a lost one and leaves its containers alone. `owners` says
    which app an ingress address belongs to; it follows from `apps`. `config` are the keys of
    the configuration that users changed, by path; the others are as each controller's settings.
    `tokens` are by their hash. `audit_head` is the hash of the last event of type audit.
    `level` is what all members understood at least once, see `cluster.state.levels`.
    `secrets` are by their names, and so are `volume_removals`.
    """

    index: int = 0
    cluster_id: str = ""
    leadership: Leadership = Leadership()
    apps: Map[str, App] = field(default_factory=Map)
    owners: Map[str, str] = field(default_factory=Map)
    controllers: Map[str, ControllerInfo] = field(default_factory=Map)
    members: Map[str, Member] = field(default_factory=Map)
    members_index: int = 0
    memory: Memory = field(default_factory=Memory)
    events: tuple[EventRecord, ...] = ()
    next_event_id: int = 1
    awaiting_restore: bool = False
    restore: Restore | None = None
    config: Map[str, Any] = field(default_factory=Map)
    tokens: Map[str, Token] = field(default_factory=Map)
    audit_head: str = ""
    level: int = 1
    releases: Map[str, Release] = field(default_factory=Map)
    secrets: Map[str, Secret] = field(default_factory=Map)
    volume_removals: Map[str, VolumeRemoval] = field(default_factory=Map)


def owners_of(apps: Map[str, App]) -> Map[str, str]:
    """Ingress address -> name of the app that it leads to; no two apps share one."""
    return Map({address: name for name, app in apps.items() for address in app.addresses})


__all__ = [
    "App", "Applied", "Canary", "CanaryWait", "ClusterState", "ControllerInfo", "EventRecord",
    "Health", "Leadership", "Member", "Phase", "Pin", "Place", "Pulling", "Release",
    "ReleaseApp", "ReleaseRevision", "Replica", "Restore", "Revision", "Rollout", "RolloutNote",
    "Secret", "SecretVersion", "Token", "VolumeRemoval", "owners_of",
]
