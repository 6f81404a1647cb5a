"""ClusterState and its parts: immutable values, the same on every controller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from immutables import Map

from cluster.state.exits import Attempts
from cluster.state.kept import Release, ReleaseApp, ReleaseRevision, Secret, SecretVersion
from cluster.state.memory import Memory
from cluster.state.model_rollouts import (
    Canary,
    CanaryWait,
    Measured,
    Place,
    Receipt,
    Rollout,
    RolloutKind,
    RolloutNote,
    RolloutPhase,
)
from cluster.state.model_runs import Run
from cluster.state.outcome import Applied
from cluster.state.pins import BegunPull, Pin, PulledImage
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
    templates are made from.

    `leaving_volumes` are those that a deletion removes now, the last of `volumes_named`.
    `slots_used` is the most replicas that were wanted at once since it was registered, and
    `past_volumes` are the volumes that only revisions named that are no more known.
    `pre` is the run that prepares this revision, 0 when none was begun; `prepared` the template
    that was prepared last, or needs no preparation. Of a job `due_ms` is the last time at which it
    was due and was seen to, or from which on it is looked at; `suspended` that nothing begins.

    `attempts` are of the slots that have failed or finished; `failures` and `oom_kills` count
    those of all replicas since the app was registered.
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
    pre: int = 0
    prepared: int = 0
    attempts: tuple[Attempts, ...] = ()
    failures: int = 0
    oom_kills: int = 0
    due_ms: int = 0
    suspended: bool = False
    pins: tuple[Pin, ...] = ()
    slots_used: int = 0
    past_volumes: tuple[str, ...] = ()

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
    id of the key under which it seals secrets, "" without one, `secrets_keys` all that it has.
    """

    id: str
    api_url: str
    hostname: str
    version: str
    at_ms: int
    level: int = 1
    secrets_key: str = ""
    secrets_keys: tuple[str, ...] = ()


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
    `secrets` are by their names, and so are `volume_removals` and `pulls`; `runs` and
    `pulled`, the images that came to the host by our pulls, are by their ids.
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
    runs: Map[str, Run] = field(default_factory=Map)
    pulled: Map[str, PulledImage] = field(default_factory=Map)
    pulls: Map[str, BegunPull] = field(default_factory=Map)
    last_run_id: int = 0


def owners_of(apps: Map[str, App]) -> Map[str, str]:
    """Ingress address -> name of the app that it leads to; no two apps share one."""
    return Map({address: name for name, app in apps.items() for address in app.addresses})


__all__ = [
    "App", "Applied", "BegunPull", "Canary", "CanaryWait", "ClusterState", "ControllerInfo",
    "EventRecord", "Health", "Leadership", "Measured", "Member", "Phase", "Pin", "Place",
    "PulledImage", "Receipt", "Release", "ReleaseApp", "ReleaseRevision", "Replica", "Restore",
    "Revision", "Rollout", "RolloutKind", "RolloutNote", "RolloutPhase", "Run", "Secret",
    "SecretVersion", "Token", "VolumeRemoval", "owners_of",
]
