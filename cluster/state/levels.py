"""Levels: from when on a kind of command, or a field, may be written into the log.

Each version of Orchestry understands all levels up to its own. A cluster's level is the lowest
of its members' and never falls; what needs a higher one is not proposed, so that no member
meets what it cannot read. Who understands less than its cluster has reached does not start.

The rules for developers: docs/adr/0026-levels.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.state.model import ClusterState
from cluster.state.step import Refusal
from orchestry.errors import Code


@dataclass(frozen=True, slots=True)
class Need:
    """The level that something asks for, and what of it does."""

    level: int
    what: str = "This"


LEVEL = 1
"""The highest level that this version understands."""

FIRST = 1
"""What every version understands."""

KINDS: Mapping[str, int] = {
    "AnnounceController": FIRST,
    "ApplyRelease": FIRST,
    "AutoScale": FIRST,
    "BeginEpoch": FIRST,
    "BeginPull": FIRST,
    "BindMember": FIRST,
    "ChangeMembers": FIRST,
    "CancelRun": FIRST,
    "CreateToken": FIRST,
    "DeleteApp": FIRST,
    "DeleteSecret": FIRST,
    "EndRollout": FIRST,
    "EndVolumeRemoval": FIRST,
    "EndRun": FIRST,
    "FinishDelete": FIRST,
    "KeepReceipt": FIRST,
    "FireJob": FIRST,
    "ForgetPulled": FIRST,
    "NameVolumes": FIRST,
    "Noop": FIRST,
    "NotePulled": FIRST,
    "PinImage": FIRST,
    "PrepareRevision": FIRST,
    "RecordEvent": FIRST,
    "RecordRefusals": FIRST,
    "RegisterApp": FIRST,
    "RemoveVolume": FIRST,
    "RenewLease": FIRST,
    "ReportApp": FIRST,
    "RequestRun": FIRST,
    "ResealSecret": FIRST,
    "RestartApp": FIRST,
    "RestorePart": FIRST,
    "RevokeToken": FIRST,
    "RollBackApp": FIRST,
    "ScaleApp": FIRST,
    "SetConfig": FIRST,
    "SetScaling": FIRST,
    "SetSecret": FIRST,
    "StartApp": FIRST,
    "SteerRollout": FIRST,
    "StepRollout": FIRST,
    "StepRun": FIRST,
    "StopApp": FIRST,
    "SuspendJob": FIRST,
    "TellPulls": FIRST,
    "TriggerJob": FIRST,
    "UninstallRelease": FIRST,
    "UpdateApp": FIRST,
}
"""Kind of command -> from which level of the cluster on it may be proposed."""

FIELDS: Mapping[tuple[str, str], int] = {
    ("App", "template"): FIRST,
    ("App", "template_key"): FIRST,
    ("App", "cause"): FIRST,
    ("App", "revised_at_ms"): FIRST,
    ("App", "good"): FIRST,
    ("App", "revisions"): FIRST,
    ("App", "rollout"): FIRST,
    ("App", "deployments"): FIRST,
    ("App", "pre"): FIRST,
    ("App", "due_ms"): FIRST,
    ("App", "suspended"): FIRST,
    ("Run", "due_ms"): FIRST,
    ("Run", "attempt"): FIRST,
    ("Run", "retries"): FIRST,
    ("App", "prepared"): FIRST,
    ("App", "release"): FIRST,
    ("App", "leaving_volumes"): FIRST,
    ("App", "volumes_named"): FIRST,
    ("App", "attempts"): FIRST,
    ("App", "failures"): FIRST,
    ("App", "oom_kills"): FIRST,
    ("ReportApp", "attempts"): FIRST,
    ("App", "pins"): FIRST,
    ("App", "slots_used"): FIRST,
    ("App", "past_volumes"): FIRST,
    ("ClusterState", "releases"): FIRST,
    ("ClusterState", "last_run_id"): FIRST,
    ("ClusterState", "runs"): FIRST,
    ("ClusterState", "pulled"): FIRST,
    ("ClusterState", "pulls"): FIRST,
    ("Restore", "releases"): FIRST,
    ("RestorePart", "releases"): FIRST,
    ("UninstallRelease", "expected"): FIRST,
    ("AnnounceController", "secrets_key"): FIRST,
    ("AnnounceController", "secrets_keys"): FIRST,
    ("ClusterState", "secrets"): FIRST,
    ("ClusterState", "volume_removals"): FIRST,
    ("EndRollout", "step"): FIRST,
    ("Rollout", "canary"): FIRST,
    ("Rollout", "receipt"): FIRST,
    ("SteerRollout", "canary_step"): FIRST,
    ("StepRollout", "canary"): FIRST,
    ("RegisterApp", "template_key"): FIRST,
    ("ControllerInfo", "secrets_key"): FIRST,
    ("ControllerInfo", "secrets_keys"): FIRST,
    ("Restore", "secrets"): FIRST,
    ("RestorePart", "secrets"): FIRST,
}
"""(dataclass, field) -> the same, where the field came later than the kind it belongs to.

Such a field has a default; a command in which it has it needs no level.
"""


def common_level(state: ClusterState) -> int:
    """What all members understand; a member that has not told its level has the first."""
    infos = (state.controllers.get(name) for name in state.members)
    return min((FIRST if info is None else info.level for info in infos), default=FIRST)


def refusal(state: ClusterState, need: Need) -> Refusal | None:
    """Why a command that needs a level must not be proposed yet; None when it may."""
    needed, what = need.level, need.what
    if needed <= state.level:
        return None
    silent = sorted(name for name in state.members if name not in state.controllers)
    older = [
        f"{name} (version {info.version})" for name, info in sorted(state.controllers.items())
        if name in state.members and info.level < needed
    ]
    if older:
        return Refusal(
            Code.CONFLICT, f"{what} needs level {needed}, the cluster is at {state.level}: first "
            f"upgrade {', '.join([*older, *silent])}; `orchestry cluster members` shows all")
    waits = f"{', '.join(silent)} to tell its version" if silent else "its members"
    return Refusal(
        Code.CLUSTER_NOT_READY,
        f"{what} needs level {needed}, the cluster is at {state.level} and waits for {waits}")


def too_high(level: int) -> str:
    """Why this version must not read what a cluster of that level wrote; "" when it may."""
    if level <= LEVEL:
        return ""
    return (f"the cluster has reached level {level}, this version understands only level "
            f"{LEVEL}; start the version that the other controllers run")
