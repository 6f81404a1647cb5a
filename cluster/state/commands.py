"""Commands: everything that may change the replicated state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from cluster.state.commands_images import (
    BeginPull,
    ForgetPulled,
    NotePulled,
    PinImage,
    TellPulls,
)
from cluster.state.commands_rollouts import EndRollout, KeepReceipt, SteerRollout, StepRollout
from cluster.state.commands_runs import (
    CancelRun,
    EndRun,
    FireJob,
    PrepareRevision,
    RequestRun,
    StepRun,
    SuspendJob,
    TriggerJob,
)
from cluster.state.commands_secrets import DeleteSecret, ResealSecret, SetSecret
from cluster.state.commands_volumes import EndVolumeRemoval, NameVolumes, RemoveVolume
from cluster.state.exits import Attempts
from cluster.state.model import App, EventRecord, Release, Replica, Secret, Token

# Beside what is defined here.
__all__ = [
    "BeginPull", "CancelRun", "DeleteSecret", "EndRollout", "EndRun", "EndVolumeRemoval",
    "FireJob", "ForgetPulled", "KeepReceipt", "NameVolumes", "NotePulled", "PinImage",
    "PrepareRevision", "RemoveVolume", "RequestRun", "ResealSecret", "SetSecret", "SteerRollout",
    "StepRollout", "StepRun", "SuspendJob", "TellPulls", "TriggerJob",
]


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked for what: the id and name of the token, "" without one, the address, the call."""

    token: str
    name: str
    client: str
    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """Facts fixed by the proposer, so that `apply` needs no clock and no dice.

    `request_id` makes a repeat harmless; "" switches that off. `fingerprint` tells a repeat
    from another request under the same id, which is refused. `epoch` is set on every
    command of the leader's loops and must equal the current one. `origin` is the user who
    asked for it, where users are known.
    """

    at_ms: int
    by: str
    request_id: str = ""
    epoch: int | None = None
    fingerprint: str = ""
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Noop:
    """Changes nothing: a barrier for linearizable reads."""


@dataclass(frozen=True, slots=True)
class RegisterApp:
    """Add an app; `document` is canonical JSON, already validated by the proposer.

    `addresses` are the `host/path` that its requests come in by; no two apps share one.
    Without a `template_key` each other spec is another template.
    """

    name: str
    document: str
    min_replicas: int
    addresses: tuple[str, ...] = ()
    template_key: str = ""


@dataclass(frozen=True, slots=True)
class UpdateApp:
    """Give the app another spec, or register it; like RegisterApp, with the new template's key.

    Replicas are replaced one by one where the template changed; see docs/deploys.md.
    """

    app: str
    document: str
    template_key: str
    min_replicas: int
    addresses: tuple[str, ...] = ()
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class RollBackApp:
    """Give the app the spec of an earlier revision: of the last healthy one when None is given."""

    app: str
    revision: int | None = None
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class RestartApp:
    """Replace all replicas by new ones of the same spec."""

    app: str
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class StartApp:
    """Want the app running, with `replicas` or what it last had.

    `expected_revision`, here and below, is the caller's If-Match: when the app has moved on
    to another revision the command is refused.
    """

    app: str
    replicas: int | None = None
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class StopApp:
    """Want no replica; `grace_s` overrides the spec's grace period, `force` kills at once."""

    app: str
    grace_s: int | None = None
    force: bool = False
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class ScaleApp:
    """Want `replicas`; another explicit scale is refused for at most `timeout_s`."""

    app: str
    replicas: int
    timeout_s: int
    reason: str = "requested"
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class SetScaling:
    """Change some keys of the scaling policy; `changes` is JSON text in the spec's words."""

    app: str
    changes: str
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class SetConfig:
    """Change some keys of the configuration, by path; None takes a change back.

    `domain`, when not "", is what apps without hosts are under from now on: the proposer knows
    it, since without a change it is in the settings.
    """

    changes: tuple[tuple[str, Any], ...]
    domain: str = ""


@dataclass(frozen=True, slots=True)
class CreateToken:
    """Let a token in, of which the log knows only the hash.

    The `first` one is made by the leader itself, unless somebody has an admin token.
    """

    token: Token
    first: bool = False


@dataclass(frozen=True, slots=True)
class RevokeToken:
    """Forget the token with this id."""

    id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Writes of one kind that a controller refused, `count` of them since `at_ms`."""

    origin: Origin
    app: str
    code: str
    count: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class RecordRefusals:
    """What a controller refused before it became a command."""

    refusals: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class AutoScale:
    """Leader: the autoscaler's decision, made when there were `previous` replicas.

    `reason` is one sentence for people, `inputs` the readings behind it by signal.
    """

    app: str
    revision: int
    previous: int
    replicas: int
    trigger: str
    reason: str
    inputs: tuple[tuple[str, float | None], ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteApp:
    """Stop the app and forget it once its containers are gone."""

    app: str
    force: bool = False
    keep_data: bool = False
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class FinishDelete:
    """Leader: the containers of a deleted app are gone."""

    app: str
    revision: int
    volumes_removed: int


@dataclass(frozen=True, slots=True)
class ReportApp:
    """Leader: how the replicas of one app are, what they went through, and what is amiss."""

    app: str
    revision: int
    replicas: tuple[Replica, ...]
    problem: str = ""
    problem_code: str = ""
    attempts: tuple[Attempts, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Leader: something worth telling happened."""

    type: Literal["scaling", "health", "config", "error", "cluster"]
    app: str
    message: str
    details: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class AnnounceController:
    """A controller tells where clients reach it, the highest level that it understands, and the
    ids of its keys for secrets: the one that seals, and all that open.
    """

    id: str
    api_url: str
    hostname: str
    version: str
    level: int = 1
    secrets_key: str = ""
    secrets_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeMembers:
    """Who votes from now on: pairs of controller id and Raft address, sorted by id.

    Raft obeys it from when it is in a log, committed or not, so nothing but the log decides
    whether it holds: it does if `previous` is the index of the one that held before.
    """

    previous: int
    members: tuple[tuple[str, str], ...]
    rescue: bool = False
    """A lone survivor goes on: whoever else has the old log must not act any more."""


@dataclass(frozen=True, slots=True)
class BindMember:
    """Leader: the data folder that a member was first seen with."""

    id: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class RestorePart:
    """Part `number` of `total` of a backup; it takes effect with the last one, or not at all.

    `cluster_id`, `epoch` and `next_event_id` are those of the backup.
    """

    restore_id: str
    number: int
    total: int
    cluster_id: str
    epoch: int
    next_event_id: int
    apps: tuple[App, ...] = ()
    events: tuple[EventRecord, ...] = ()
    config: tuple[tuple[str, Any], ...] = ()
    tokens: tuple[Token, ...] = ()
    releases: tuple[Release, ...] = ()
    secrets: tuple[Secret, ...] = ()


@dataclass(frozen=True, slots=True)
class ApplyRelease:
    """Install a chart, or change what it was: all its apps at once, or nothing.

    `expected` is the number of the revision that it follows, 0 for none. `apps` are all that it
    renders; those of the last revision that are not among them are deleted.
    """

    release: str
    expected: int
    chart: str
    chart_version: str
    values: str
    apps: tuple[UpdateApp, ...]
    note: str
    keep_data: bool = False


@dataclass(frozen=True, slots=True)
class UninstallRelease:
    """Forget a release, which is at revision `expected`, and delete its apps."""

    release: str
    force: bool = False
    keep_data: bool = False
    expected: int = 0


@dataclass(frozen=True, slots=True)
class BeginEpoch:
    """The Raft leader takes the lease; `cluster_id` is used once, by the very first.

    With `adopts` that is the id of a lost cluster, whose containers wait for a restore.
    """

    holder: str
    ttl_ms: int
    cluster_id: str
    adopts: bool = False


@dataclass(frozen=True, slots=True)
class RenewLease:
    """Leader: keep the lease for another `ttl_ms`."""

    ttl_ms: int


Command = (
    Noop | RegisterApp | StartApp | StopApp | ScaleApp | SetScaling | SetConfig | AutoScale
    | DeleteApp | FinishDelete | ReportApp | RecordEvent | AnnounceController | ChangeMembers
    | BindMember | RestorePart | BeginEpoch | RenewLease | CreateToken | RevokeToken
    | RecordRefusals | UpdateApp | RollBackApp | RestartApp | SteerRollout | StepRollout
    | EndRollout | ApplyRelease | UninstallRelease | SetSecret | DeleteSecret | ResealSecret
    | NameVolumes | RemoveVolume | EndVolumeRemoval | RequestRun | CancelRun | PrepareRevision
    | StepRun | EndRun | KeepReceipt | FireJob | TriggerJob | SuspendJob | PinImage
    | BeginPull | TellPulls | NotePulled | ForgetPulled
)
