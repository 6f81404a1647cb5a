"""Members come and go under faults: nothing acknowledged is lost, and nobody disagrees."""

from __future__ import annotations

import os

import pytest

from cluster.consensus.syncobj_log import SyncObjLog
from cluster.state.commands import BindMember, ChangeMembers
from tests.sim.regressions import seeds
from tests.sim.test_raft import check_acknowledged, one_fault, register, write_for
from tests.sim.world import World

SEEDS = int(os.environ.get("SEEDS", "40"))
STEPS = 10
RATE_OFF = 0.01


class Roster:
    """What the leader does about members besides: the first set, and whose folder is whose."""

    def __init__(self, world: World, name: str, log: SyncObjLog) -> None:
        self._world, self._name, self._log = world, name, log
        self._due_s = 0.0

    def tick(self) -> None:
        """Look twice a second."""
        if self._world.clock.now_s < self._due_s or not self._log.is_raft_leader():
            return
        self._due_s = self._world.clock.now_s + 0.5
        state = self._log.state()
        if not state.members_index:
            first = {name: self._world.addresses[name] for name in self._world.first}
            self._world.submit(self._name, ChangeMembers(0, tuple(sorted(first.items()))))
        known = self._log.incarnations()
        for name, member in sorted(state.members.items()):
            if not member.incarnation and name in known:
                self._world.submit(self._name, BindMember(name, known[name]))


def new_world(seed: int, members: int) -> World:
    """Five machines, of which the first ones are a cluster."""
    world = World(
        seed, controllers=5, members=members, rate_off=RATE_OFF,
        make_actor=lambda name, log, clock: Roster(world, name, log))
    return world


def change(world: World) -> None:
    """Whoever leads is asked to add or to remove one controller, perhaps too early."""
    leader = world.leader()
    if leader is None:
        return
    state = world.logs[leader].state()
    members = {name: world.addresses[name] for name in state.members or world.first}
    name = world.dice.choice(world.ids)
    if name in members:
        del members[name]
    else:
        members[name] = world.addresses[name]
        if name in world.logs:
            world.crash(name)
        world.wipe(name)
        world.start(name)
    if not members:
        return
    world.note(f"{leader} is asked for members {','.join(sorted(members))}")
    world.submit(leader, ChangeMembers(state.members_index, tuple(sorted(members.items()))))


def bound(world: World) -> bool:
    """Everybody knows the data folder of every member."""
    states = [log.state() for log in world.logs.values()]
    return all(
        state.members and all(member.incarnation for member in state.members.values())
        for state in states)


def disturb(world: World) -> None:
    """A fault, or a restart of everybody."""
    running = sorted(world.logs)
    if not running:
        return
    victim = world.dice.choice(running)
    fault = world.dice.choice((
        "crash", "crash all", "isolate", "pause", "silence", "power", "slow", "cut"))
    if fault == "crash all":
        for name in running:
            world.crash(name)
        for name in running:
            world.start(name)
    elif fault == "crash":
        world.crash(victim)
    else:
        one_fault(world, fault, victim,
                  world.dice.choice([name for name in world.ids if name != victim]))


def repair(world: World) -> None:
    """Everything works again; who was never started stays away."""
    world.heal()
    for name in sorted(world.named()):
        if name not in world.logs:
            world.start(name)


def walk(seed: int) -> None:
    """One history: from one, two or three members of five machines."""
    with new_world(seed, 1 + seed % 3) as world:
        world.run_until(lambda: bound(world), 10)
        for _ in range(STEPS):
            if world.dice.random() < 0.6:
                change(world)
            if world.dice.random() < 0.5:
                disturb(world)
            write_for(world, world.dice.uniform(0.1, 1.0))
            if world.dice.random() < 0.6:
                repair(world)
                write_for(world, world.dice.uniform(0.1, 1.0))
        repair(world)
        world.run(2)
        repair(world)
        world.run_until(world.settled, 20)
        leader = world.leader()
        assert leader is not None
        written = len(world.acknowledged)
        register(world, leader)
        world.run_until(lambda: len(world.acknowledged) > written and world.settled(), 10)
        for name in sorted(world.logs.keys() - world.members()):
            world.crash(name)
        check_acknowledged(world)


@pytest.mark.parametrize("seed", seeds("test_membership", SEEDS))
def test_random_walk(seed: int) -> None:
    """Additions and removals, among crashes, cuts and slow disks, one at a time."""
    walk(seed)


def test_from_one_to_five_and_back() -> None:
    """Without faults every change is taken, and every controller has the whole state."""
    with new_world(3, 1) as world:
        world.run_until(lambda: bound(world), 5)
        members = {"c1": world.addresses["c1"]}

        def ask() -> None:
            leader = world.leader()
            assert leader is not None
            previous = world.logs[leader].state().members_index
            ticket = world.submit(
                leader, ChangeMembers(previous, tuple(sorted(members.items()))))
            world.run_until(ticket.poll, 5)
            world.run_until(world.settled, 5)
            assert world.members() == set(members)

        for name in world.ids[1:]:
            members[name] = world.addresses[name]
            world.start(name)
            world.run(0.2)
            register(world, "c1")
            ask()
        for name in world.ids[:0:-1]:
            leader = world.leader()
            assert leader is not None
            gone = name if name != leader else "c1"
            del members[gone]
            ask()
            world.crash(gone)
        assert len(members) == 1
        check_acknowledged(world)
