"""Steps that say who votes."""

from __future__ import annotations

from dataclasses import replace

from immutables import Map

from cluster.state import commands as c
from cluster.state.levels import common_level
from cluster.state.model import (
    GENERATION,
    ClusterState,
    ControllerInfo,
    Member,
    next_generation,
)
from cluster.state.step import Refusal, Step, tell
from orchestry.errors import Code


def change_members(state: ClusterState, command: c.ChangeMembers, stamp: c.Stamp) -> Step:
    """Put another set in the place of the one that the command names."""
    if command.previous != state.members_index:
        return Refusal(Code.CONFLICT, "The members changed meanwhile: look at them, ask again")
    before = state.members
    members = Map({
        name: before[name] if name in before and before[name].raft_address == address
        else Member(address, state.index)
        for name, address in command.members
    })
    for name in sorted(before):
        if name not in members:
            state = replace(state, controllers=state.controllers.delete(name)
                            if name in state.controllers else state.controllers)
            state = tell(state, stamp, "cluster", "", f"Controller {name} was removed")
    for name in sorted(members):
        if before and name not in before:
            state = tell(state, stamp, "cluster", "", f"Controller {name} was added",
                          raft_address=members[name].raft_address)
    if command.rescue:
        lead = state.leadership
        state = replace(
            state, leadership=replace(lead, epoch=lead.epoch + GENERATION),
            next_event_id=next_generation(max(state.next_event_id, state.last_run_id)))
    state = replace(state, members=members, members_index=state.index)
    return _levelled(state, stamp), (("members_index", state.index),)


def announce(state: ClusterState, command: c.AnnounceController, stamp: c.Stamp) -> Step:
    """Note where a controller is reached and what it understands."""
    info = ControllerInfo(
        command.id, command.api_url, command.hostname, command.version, stamp.at_ms,
        command.level, command.secrets_key, command.secrets_keys,
    )
    state = replace(state, controllers=state.controllers.set(info.id, info))
    return _levelled(state, stamp), ()


def keys_in_use(state: ClusterState) -> frozenset[str]:
    """The ids of the keys that secrets are kept under."""
    return frozenset(
        one.key_id for secret in state.secrets.values() for one in secret.versions)


def lacks_key(info: ControllerInfo, key_id: str) -> bool:
    """Whether a controller is known not to open what is sealed under a key.

    One that tells of none but the key that seals is of an older version, and may have others.
    """
    if info.secrets_keys or not info.secrets_key:
        return key_id not in info.secrets_keys
    return False


def lacking_key(state: ClusterState, key_id: str) -> list[str]:
    """The ids of all controllers that are known not to have a key."""
    return sorted(
        name for name, info in state.controllers.items()
        if (not state.members or name in state.members) and lacks_key(info, key_id))


def _levelled(state: ClusterState, stamp: c.Stamp) -> ClusterState:
    """The state at the level that all its members understand; it never falls."""
    level = common_level(state)
    if level <= state.level:
        return state
    return tell(
        replace(state, level=level), stamp, "cluster", "",
        f"All controllers understand level {level}", level=level, previous=state.level)


def bind_member(state: ClusterState, command: c.BindMember, stamp: c.Stamp) -> Step:
    """Note a member's data folder, once."""
    member = state.members.get(command.id)
    if member is None or member.incarnation:
        return state, ()
    member = replace(member, incarnation=command.incarnation)
    return replace(state, members=state.members.set(command.id, member)), ()
