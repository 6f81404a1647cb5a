"""Builds that are broken on purpose: the simulation has to find each of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from immutables import Map

from cluster.consensus import node as node_module
from cluster.consensus.applier import Applier
from cluster.consensus.follower import Follower
from cluster.consensus.journal import Journal
from cluster.consensus.node import RaftNode
from cluster.control import canaries, image_cleaner, rollouts, volumes
from cluster.control import rollout as rolling
from cluster.control.attempts import AttemptBook
from cluster.control.gate import Verdict
from cluster.control.image_needs import Need
from cluster.control.images import Images
from cluster.control.lease_keeper import LeaseKeeper
from cluster.control.loop import Turn
from cluster.control.restarts import Restarts
from cluster.control.rollouts import Rollouts
from cluster.control.unused_images import Needed, unused
from cluster.control.volumes import VolumeKeeper
from cluster.engine.base import EngineError, Image
from cluster.engine.fake import FakeEngine
from cluster.state import machine
from cluster.state import rollouts as state_rollouts
from cluster.state.commands import NotePulled
from cluster.state.model import App
from orchestry.admission import full_name
from tests.sim import (
    test_canaries,
    test_fleet,
    test_held,
    test_image_cleaner,
    test_membership,
    test_raft,
    test_restarts,
    test_rollouts,
    test_seams,
    test_volumes,
)
from tests.sim.fleet_world import FleetWorld
from tests.sim.storage import _File
from tests.sim.world import World

Patch = Callable[[pytest.MonkeyPatch], None]


def no_sync(patch: pytest.MonkeyPatch) -> None:
    """What is acknowledged may not be on disk."""
    patch.setattr(_File, "sync", lambda self: None)


def vote_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Term and vote are not written."""
    def broken(self: Journal, term: int, vote: str | None) -> None:
        self._term, self._vote = term, vote

    patch.setattr(Journal, "setCurrentTerm", broken)


def cuts_what_agrees(patch: pytest.MonkeyPatch) -> None:
    """As PySyncObj does: whatever stands behind the leader's entries is dropped."""
    take = Follower._take_entries

    def broken(self: Follower, node: Any, message: Any) -> int | None:
        previous, first = message["prevLogIdx"], self.log[0][1]
        if previous is not None and first <= previous < self.log[-1][1]:
            self.log.deleteEntriesFrom(previous + 1 - first)
        return take(self, node, message)

    patch.setattr(Follower, "_take_entries", broken)


def applies_twice(patch: pytest.MonkeyPatch) -> None:
    """After a restart the first entry is applied again, under another key."""
    commit, begun = Applier.commit, set()

    def broken(self: Applier, entry: bytes, index: int) -> Any:
        outcome = commit(self, entry, index)
        if id(self) not in begun and index > 20:
            commit(self, entry.replace(b"sim-", b"again-"), index)
        begun.add(id(self))
        return outcome

    patch.setattr(Applier, "commit", broken)


def counts_acks_of_any_term(patch: pytest.MonkeyPatch) -> None:
    """An answer to an earlier leadership counts for this one."""
    on_ack = RaftNode._on_ack

    def broken(self: RaftNode, node: Any, message: Any) -> None:
        on_ack(self, node, {**message, "term": min(message["term"], self.term)}
               if message["term"] > self.term else {**message, "term": self.term})

    patch.setattr(RaftNode, "_on_ack", broken)


def lease_not_waited_out(patch: pytest.MonkeyPatch) -> None:
    """A new leader acts at once."""
    patch.setattr(LeaseKeeper, "_wait_s", lambda self, *before: 0.0)


def many_changes_at_once(patch: pytest.MonkeyPatch) -> None:
    """Members change however many at a time, and whether or not the last change is committed."""
    patch.setattr(node_module, "objection", lambda *found, **more: "")


def clocks_far_apart(patch: pytest.MonkeyPatch) -> None:
    """Clocks that differ by more than the lease's margin allows."""
    patch.setattr(test_fleet, "RATE_OFF", 0.6)


def health_without_proof(patch: pytest.MonkeyPatch) -> None:
    """Whatever was healthy once counts, however long ago it was looked at."""
    look = Rollouts._look

    def broken(self: Rollouts, container: Any, spec: Any, now_s: float) -> Any:
        seen = look(self, container, spec, now_s)
        return replace(seen, healthy_s=None if seen.healthy_s is None else 3600.0)

    patch.setattr(Rollouts, "_look", broken)


def volumes_go_with_containers(patch: pytest.MonkeyPatch) -> None:
    """Whoever stops a replica removes what it mounts."""
    stop = FakeEngine.stop

    def broken(self: FakeEngine, container_id: str, *, grace_s: int) -> None:
        record = self._records.get(container_id)
        stop(self, container_id, grace_s=grace_s)
        for mount in record.request.mounts if record is not None else ():
            with suppress(EngineError):
                self.remove_volume(record.cluster_id, mount.volume)  # type: ignore[union-attr]

    patch.setattr(FakeEngine, "stop", broken)


def volumes_removed_before_they_are_named(patch: pytest.MonkeyPatch) -> None:
    """A deletion removes what it finds, and not what the state says."""
    clear = VolumeKeeper._clear

    def broken(self: VolumeKeeper, turn: Turn, app: App, deletion: Any) -> None:
        found = self._engine.volumes(turn.state.cluster_id)
        names = tuple(one.name for one in found if one.app == app.name)
        clear(self, turn, replace(app, leaving_volumes=names), deletion)

    patch.setattr(VolumeKeeper, "_clear", broken)


def volumes_of_earlier_apps_go(patch: pytest.MonkeyPatch) -> None:
    """A deletion removes all that has the name of its app."""
    patch.setattr(volumes, "goes_with", lambda app, name: True)


def images_go_though_they_are_kept(patch: pytest.MonkeyPatch) -> None:
    """What revisions need is not looked at: only containers hold their images."""
    patch.setattr(image_cleaner, "unused", lambda pulled, stored, needs: unused(
        pulled, stored, Needed()))


def images_of_others_go(patch: pytest.MonkeyPatch) -> None:
    """What was found on the host counts as pulled by the cluster."""
    end = Images._done

    def broken(self: Images, turn: Turn, image: Image, asking: list[Need]) -> None:
        turn.propose(f"stolen:{image.id}", NotePulled(image.id, full_name(asking[0].name)))
        end(self, turn, image, asking)

    patch.setattr(Images, "_done", broken)


def pulls_end_with_the_leader(patch: pytest.MonkeyPatch) -> None:
    """What the leader before was pulling is forgotten."""
    patch.setattr(machine, "kept_pulls", lambda state, now_ms: Map())


def updates_keep_what_never_started(patch: pytest.MonkeyPatch) -> None:
    """That a template was to be prepared is not looked at."""
    patch.setattr(state_rollouts, "must_prepare", lambda app: False)


def what_failed_spreads(patch: pytest.MonkeyPatch) -> None:
    """A deployment that has failed follows the number of replicas as one that is paused does."""
    patch.setattr(rollouts, "hold", rolling.advance)


def gate_without_numbers(patch: pytest.MonkeyPatch) -> None:
    """What was not measured passes."""
    patch.setattr(canaries, "judge", lambda *found: Verdict("passed"))


def counts_end_with_the_leader(patch: pytest.MonkeyPatch) -> None:
    """The next leader knows nothing of what failed before it."""
    patch.setattr(AttemptBook, "take_over", lambda self, app: None)


def ends_count_at_every_look(patch: pytest.MonkeyPatch) -> None:
    """That an end was counted is not looked at."""
    restarts = Restarts._app

    def broken(self: Restarts, turn: Turn, app: App, ended: Any) -> None:
        patch.setattr(self._fleet.attempts, "knows", lambda container: False)
        restarts(self, turn, app, ended)
        patch.setattr(self._fleet.attempts, "knows", lambda container: True)

    patch.setattr(Restarts, "_app", broken)


def vote_after_a_crash(seed: int) -> None:
    """A voter that crashed does not vote again in the same term."""
    with World(seed) as world:
        world.run_until(world.settled, 5)
        node = world.logs["c3"]._node
        assert node is not None
        term, last = node.term + 5, node.log[-1]
        node.on_message(_peer(world, "c3", "c1"), {
            "type": "request_vote", "term": term, "last_log_index": last[1] + 1,
            "last_log_term": last[2] + 1})
        assert (node.term, node._vote) == (term, world.addresses["c1"])
        world.crash("c3")
        world.start("c3")
        node = world.logs["c3"]._node
        assert node is not None
        assert (node.term, node._vote) == (term, world.addresses["c1"])


def ack_of_an_earlier_term(seed: int) -> None:
    """A follower's answer to an earlier leadership says nothing about entries of this one."""
    with World(seed) as world:
        world.run_until(world.settled, 5)
        leader = world.leader()
        assert leader is not None
        follower = next(name for name in world.ids if name != leader)
        world.isolate(leader)
        test_raft.register(world, leader)
        world.run(0.05)
        node = world.logs[leader]._node
        assert node is not None
        peer = _peer(world, leader, follower)
        before = node.match_index[peer]
        assert node.log[-1][1] > before
        node.on_message(peer, {
            "type": "next_node_idx", "next_node_idx": node.log[-1][1] + 1, "success": True,
            "reset": False, "term": node.term - 1})
        assert node.match_index[peer] == before


def leaders_cut_off(seed: int) -> None:
    """A leader that nobody hears any more stops acting before the next one begins."""
    with FleetWorld(seed, rate_off=test_fleet.RATE_OFF) as world:
        for _ in range(3):
            world.run_until(world.acting, 20)
            world.isolate(world.acting()[0])
            world.run(4.0)
            world.heal()


def _peer(world: World, name: str, other: str) -> Any:
    node = world.logs[name]._node
    assert node is not None
    return next(peer for peer in node.other_nodes if peer.id == world.addresses[other])


MUTATIONS: list[tuple[Patch, Callable[[int], None], range]] = [
    (no_sync, test_raft.walk, range(20)),
    (vote_forgotten, vote_after_a_crash, range(3)),
    (cuts_what_agrees, test_raft.walk, range(60)),
    (applies_twice, test_raft.walk, range(10)),
    (counts_acks_of_any_term, ack_of_an_earlier_term, range(3)),
    (lease_not_waited_out, test_fleet.walk, range(20)),
    (clocks_far_apart, leaders_cut_off, range(20)),
    (many_changes_at_once, test_membership.walk, range(60)),
    (health_without_proof, test_rollouts.walk, range(60)),
    (volumes_go_with_containers, test_volumes.walk, range(10)),
    (volumes_removed_before_they_are_named, test_volumes.walk, range(20)),
    (volumes_of_earlier_apps_go, test_volumes.walk, range(20)),
    (images_go_though_they_are_kept, test_image_cleaner.walk, range(8)),
    (images_of_others_go, test_image_cleaner.walk, range(8)),
    (pulls_end_with_the_leader, test_image_cleaner.pull_and_die, range(1)),
    (updates_keep_what_never_started, test_seams.walk, range(25)),
    (what_failed_spreads, test_held.failed_then_scaled, range(3)),
    (gate_without_numbers, test_canaries.unmeasured, range(1)),
    (counts_end_with_the_leader, test_restarts.walk, range(10)),
    (ends_count_at_every_look, test_restarts.walk, range(10)),
]


@pytest.mark.parametrize(
    "schedule", [vote_after_a_crash, ack_of_an_earlier_term, leaders_cut_off])
def test_the_sound_build_passes_the_directed_schedules(schedule: Callable[[int], None]) -> None:
    """What finds a mutation does not find one where there is none."""
    for seed in range(3):
        schedule(seed)


@pytest.mark.parametrize(
    ("mutation", "walk", "seeds"), MUTATIONS, ids=[m[0].__name__ for m in MUTATIONS])
def test_the_broken_build_is_found(
    mutation: Patch, walk: Callable[[int], None], seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some seed of these fails."""
    mutation(monkeypatch)
    for seed in seeds:
        try:
            walk(seed)
        except AssertionError as error:
            print(f"seed {seed}: {str(error).splitlines()[0]}")
            return
    pytest.fail(f"{mutation.__name__} was not found by {len(seeds)} seeds")


