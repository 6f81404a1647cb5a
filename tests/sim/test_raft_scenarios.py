"""Single faults, one at a time, and what must come of them."""

from __future__ import annotations

import pytest

from cluster.consensus.applier import COMMAND_KIND
from cluster.state.commands import Noop, RegisterApp
from orchestry.errors import Code, OrchestryError
from tests.sim.world import World


def _ready(world: World) -> str:
    world.run_until(world.settled, 5)
    leader = world.leader()
    assert leader is not None
    return leader


def _others(world: World, name: str) -> list[str]:
    return [other for other in world.ids if other != name]


def _write(world: World, name: str, app: str, within_s: float = 3) -> None:
    ticket = world.submit(name, RegisterApp(app, "{}", 1))
    world.run_until(ticket.poll, within_s)


def test_same_seed_same_history() -> None:
    """A failing seed can be replayed to the message."""

    def history(seed: int) -> tuple[int, float, str]:
        with World(seed, loss=0.05) as world:
            leader = _ready(world)
            return world.network.sent, world.clock.now_s, leader

    assert history(3) == history(3)
    assert history(3) != history(4)


def test_writes_of_an_isolated_leader_are_not_acknowledged() -> None:
    """What a cut-off leader took in is dropped when it returns, and nobody was told yes."""
    with World(1) as world:
        old = _ready(world)
        world.isolate(old)
        lost = [world.submit(old, RegisterApp(f"lost-{n}", "{}", 1)) for n in range(3)]
        world.run_until(lambda: world.leader() not in (None, old), 5)
        world.run_until(lambda: not world.logs[old].is_raft_leader(), 1)
        new = world.leader()
        assert new is not None
        _write(world, new, "kept")
        world.heal()
        world.run_until(world.settled, 5)
        for log in world.logs.values():
            assert set(log.state().apps) == {"kept"}
        for ticket in lost:
            with pytest.raises(OrchestryError) as refused:
                ticket.poll()
            assert refused.value.code in (Code.CLUSTER_NOT_READY, Code.UNKNOWN_OUTCOME)


def test_isolated_leader_is_soon_unknown() -> None:
    """A controller that is cut off stops naming a leader within its election timeout."""
    with World(2) as world:
        old = _ready(world)
        follower = _others(world, old)[0]
        world.isolate(old)
        world.isolate(follower)
        world.run(1.5)
        assert world.logs[old].leader_id() is None
        assert world.logs[follower].leader_id() is None
        assert not world.logs[follower].status().has_quorum


def test_a_returning_follower_deposes_nobody() -> None:
    """A follower that was cut off for long does not raise the term when it comes back."""
    with World(3) as world:
        leader = _ready(world)
        term = world.logs[leader].status().term
        away = _others(world, leader)[0]
        world.isolate(away)
        world.run(10)
        world.heal()
        world.run_until(world.settled, 3)
        assert world.leader() == leader
        assert world.logs[leader].status().term == term


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("fault", ["cut", "mute", "deaf"])
def test_a_broken_link_to_one_follower_costs_no_election(fault: str, writes: bool) -> None:
    """The other one hears the leader, and so votes for nobody, however often it is asked."""
    for seed in range(3):
        with World(seed) as world:
            leader = _ready(world)
            term = world.logs[leader].status().term
            away = _others(world, leader)[0]
            if fault == "cut":
                world.cut(leader, away)
            else:
                world.silence(*((away, leader) if fault == "mute" else (leader, away)))
            for second in range(10):
                if writes:
                    _write(world, leader, f"app-{second}")
                world.run(1)
            terms = {log.status().term for log in world.logs.values()}
            assert (world.leader(), terms) == (leader, {term}), f"seed {seed}"
            world.heal()
            world.run_until(world.settled, 3)
            world.run(1)
            terms = {log.status().term for log in world.logs.values()}
            assert (world.leader(), terms) == (leader, {term}), f"seed {seed}"


def test_the_only_log_that_can_win_learns_the_term_that_refuses_it() -> None:
    """Two controllers, one with the longer log and one with the higher term, find a leader."""
    with World(13) as world:
        leader = _ready(world)
        short, gone = _others(world, leader)
        world.isolate(short)
        _write(world, leader, "kept")
        world.crash(gone)
        node = world.logs[short]._node
        assert node is not None
        world.run(2)  # without a majority nobody leads
        assert world.leader() is None
        node.set_term(node.term + 5, None)
        world.heal()
        world.run_until(lambda: "kept" in world.logs[short].state().apps, 5)
        assert world.leader() == leader


def test_a_long_tail_that_nobody_has_is_dropped_in_one_step() -> None:
    """A controller with hundreds of entries of an old term is back within a few heartbeats."""
    with World(14, snapshot_min_entries=5000) as world:
        old = _ready(world)
        world.isolate(old)
        node = world.logs[old]._node
        assert node is not None
        for _ in range(500):
            node.log.add(COMMAND_KIND, node.log[-1][1] + 1, node.term)
        world.run_until(lambda: world.leader() not in (None, old), 5)
        new = world.leader()
        assert new is not None
        for number in range(600):
            world.submit(new, RegisterApp(f"app-{number}", "{}", 1))
        world.run_until(lambda: len(world.acknowledged) == 600, 5)
        world.crash(new)
        world.start(new)
        world.run_until(lambda: world.leader() not in (None, old), 5)
        world.heal()
        world.run_until(lambda: world.settled() and (
            len(world.logs[old].state().apps) == 600), 2)


def test_a_paused_leader_yields() -> None:
    """After a long pause the old leader follows the new one without acting on its belief."""
    with World(4) as world:
        old = _ready(world)
        world.pause(old)
        world.run_until(lambda: world.leader() not in (None, old), 5)
        new = world.leader()
        assert new is not None
        _write(world, new, "kept")
        world.resume(old)
        world.run_until(world.settled, 3)
        assert world.leader() == new


def test_one_way_silence_heals() -> None:
    """A leader whose messages reach nobody loses its place although connections live."""
    with World(5) as world:
        old = _ready(world)
        for other in _others(world, old):
            world.silence(old, other)
        world.run_until(lambda: world.leader() not in (None, old), 5)
        new = world.leader()
        assert new is not None
        _write(world, new, "kept")
        world.heal()
        world.run_until(world.settled, 3)


def test_a_straggler_gets_a_snapshot() -> None:
    """A follower that missed more than the log holds receives the state as a whole."""
    with World(6, snapshot_min_entries=20) as world:
        leader = _ready(world)
        away = _others(world, leader)[0]
        world.crash(away)
        for number in range(60):
            _write(world, leader, f"app-{number}")
        world.start(away)
        behind = world.logs[away].status().applied_index
        world.run_until(world.settled, 5)
        assert behind < 20
        assert len(world.logs[away].state().apps) == 60
        world.run(1.5)  # an idle node notes within a second how far its log is committed
        world.crash(away)
        world.isolate(away)
        world.start(away)
        world.run(0.1)
        assert len(world.logs[away].state().apps) == 60


def test_a_power_cut_of_all_keeps_what_was_acknowledged() -> None:
    """Three controllers that lost power at once hold all of it again."""
    with World(7) as world:
        leader = _ready(world)
        for number in range(30):
            _write(world, leader, f"app-{number}")
        for name in world.ids:
            world.crash(name)
        for name in world.ids:
            world.start(name)
        world.run_until(lambda: world.settled() and all(
            len(log.state().apps) == 30 for log in world.logs.values()), 5)


@pytest.mark.parametrize("victim_leads", [True, False])
def test_a_full_disk_stops_one_controller_only(victim_leads: bool) -> None:
    """The cluster goes on, the controller says why it does not serve, and recovers."""
    with World(8) as world:
        leader = _ready(world)
        victim = leader if victim_leads else _others(world, leader)[0]
        world.disks[victim].full = True
        world.submit(leader, RegisterApp("while-full", "{}", 1))
        world.run_until(lambda: world.logs[victim].status().fault, 3)
        fault = world.logs[victim].status().fault
        assert "No space left on device" in fault
        assert "free space in /sim/" in fault
        world.run_until(lambda: world.leader() not in (None, victim), 5)
        serving = world.leader()
        assert serving is not None
        _write(world, serving, "without-it")
        assert not world.logs[victim].is_raft_leader()
        assert "without-it" not in world.logs[victim].state().apps
        with pytest.raises(OrchestryError, match="free space in"):
            world.submit(victim, Noop()).poll()
        world.heal()
        world.run_until(world.settled, 5)
        assert world.logs[victim].status().fault == ""
        assert "without-it" in world.logs[victim].state().apps


def test_a_write_on_a_follower_answers_after_it_is_readable_there() -> None:
    """A no-op through any controller makes the following local read linearizable."""
    with World(9) as world:
        leader = _ready(world)
        follower = _others(world, leader)[0]
        _write(world, leader, "fresh")
        barrier = world.submit(follower, Noop())
        world.run_until(barrier.poll, 2)
        assert "fresh" in world.logs[follower].state().apps


def test_without_a_leader_a_write_is_surely_not_made() -> None:
    """A write that no leader can take fails at once and safely."""
    with World(10) as world:
        leader = _ready(world)
        follower = _others(world, leader)[0]
        world.isolate(follower)
        ticket = world.submit(follower, Noop())
        world.run(1)
        with pytest.raises(OrchestryError) as refused:
            ticket.poll()
        assert refused.value.code is Code.CLUSTER_NOT_READY


def test_an_entry_of_a_newer_version_stops_the_controllers_that_cannot_read_it() -> None:
    """They say why and keep their state; none skips the entry, and nobody leads."""
    with World(11) as world:
        leader = _ready(world)
        _write(world, leader, "before")
        node = world.logs[leader]._node
        assert node is not None
        node.submit(COMMAND_KIND + b'{"v":99,"kind":"Teleport"}', lambda applied, reason: None)
        world.run(2)
        assert "newer version" in world.logs[leader].status().fault
        for log in world.logs.values():
            assert set(log.state().apps) == {"before"}
            assert not log.is_raft_leader()
            assert log.leader_id() is None


def test_one_controller_alone_is_a_cluster() -> None:
    """A cluster of one leads at once, and keeps its state over a power cut."""
    with World(12, controllers=1) as world:
        world.run_until(world.leader, 2)
        _write(world, "c1", "only")
        world.crash("c1")
        world.start("c1")
        world.run_until(world.settled, 3)
        assert "only" in world.logs["c1"].state().apps
