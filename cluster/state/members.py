"""Steps that say who votes."""

from __future__ import annotations

from dataclasses import replace

from immutables import Map

from cluster.state import commands as c
from cluster.state.model import GENERATION, ClusterState, Member, next_generation
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
            next_event_id=next_generation(state.next_event_id))
    return replace(state, members=members, members_index=state.index), (
        ("members_index", state.index),)


def bind_member(state: ClusterState, command: c.BindMember, stamp: c.Stamp) -> Step:
    """Note a member's data folder, once."""
    member = state.members.get(command.id)
    if member is None or member.incarnation:
        return state, ()
    member = replace(member, incarnation=command.incarnation)
    return replace(state, members=state.members.set(command.id, member)), ()
