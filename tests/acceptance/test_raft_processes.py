"""Raft nodes as processes of their own, with real files and sockets, and what kills them."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live import until
from tests.raft_logs import raft_addresses
from tests.raft_process import RaftProcess, await_leader, await_same_state

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

LOADED_S = 1.0
WAIT_S = 60.0


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[RaftProcess]]:
    """Three running nodes that compact their logs often."""
    addresses = raft_addresses(3)
    with ExitStack() as running:
        started = [
            running.enter_context(RaftProcess(
                name, addresses, tmp_path, secret="s3cret", snapshot_min_entries=200))
            for name in addresses
        ]
        await_leader(started)
        yield started


def load(nodes: list[RaftProcess], prefix: str) -> None:
    """Write through every node until at least a hundred writes are acknowledged."""
    before = sum(len(node.acknowledged) for node in nodes)
    for node in nodes:
        node.tell(f"load {prefix}-{node.name} 4")
    until("a load of writes", lambda: sum(
        len(node.acknowledged) for node in nodes) > before + 100, WAIT_S)
    time.sleep(random.uniform(0.0, LOADED_S))


def acknowledged(nodes: list[RaftProcess]) -> set[str]:
    """All apps whose registration any of the nodes has confirmed."""
    return {app for node in nodes for app in node.acknowledged}


def await_refusal(node: RaftProcess, other: str) -> str:
    """Why `node` refuses `other`, once it does."""
    return str(until(
        f"{node.name} refuses {other}", lambda: node.status()["refused"][other], WAIT_S))


def await_text(path: Path, text: str) -> None:
    """Wait for a file to hold a text."""
    until(f"{path} holds {text}", lambda: text in path.read_text(), WAIT_S)


def test_all_are_killed_under_load(nodes: list[RaftProcess]) -> None:
    """After kill -9 of all three, twice, every acknowledged write is there on every node."""
    for turn in range(2):
        load(nodes, f"turn{turn}")
        for node in nodes:
            node.kill()
        for node in nodes:
            node.start()
        state = await_same_state(nodes)
        assert not acknowledged(nodes) - state["apps"].keys()
    assert any((node.folder / "snapshot").exists() for node in nodes)


def test_the_leader_is_killed_under_load(nodes: list[RaftProcess]) -> None:
    """The others go on with all that was acknowledged, and the killed one catches up."""
    old = await_leader(nodes)
    survivors = [node for node in nodes if node is not old]
    load(nodes, "before")
    old.kill()
    written = sum(len(node.acknowledged) for node in survivors)
    until("the survivors write", lambda: sum(
        len(node.acknowledged) for node in survivors) > written + 50, WAIT_S)
    for node in survivors:
        node.kill()
    for node in nodes:
        node.start()
    state = await_same_state(nodes)
    assert not acknowledged(nodes) - state["apps"].keys()


def test_a_torn_journal_is_cut_and_a_damaged_one_refused(nodes: list[RaftProcess]) -> None:
    """An unfinished last write costs nothing; a damaged middle is named with its remedy."""
    for number in range(20):
        until("it is written", lambda app=f"app-{number}": nodes[0].write(app), WAIT_S)  # type: ignore[misc]
    await_same_state(nodes)
    victim = nodes[1]
    victim.kill()
    journal = victim.folder / "journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-3])
    victim.start()
    assert len(await_same_state(nodes)["apps"]) == 20
    assert "unfinished write" in victim.logged()
    victim.kill()
    damaged = bytearray(journal.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    journal.write_bytes(damaged)
    victim.start()
    reason = victim.exit_reason()
    assert f"journal {journal} is damaged at byte" in reason
    assert "move this controller's data folder away" in reason
    victim.kill()
    victim.folder.rename(victim.folder.with_name("away"))
    victim.start()
    assert len(await_same_state(nodes)["apps"]) == 20


def test_another_secret_is_said_on_both_sides(tmp_path: Path) -> None:
    """The two that agree work; each side's status and log name the other and the setting."""
    addresses = raft_addresses(3)
    secrets = {"c1": "right", "c2": "right", "c3": "wrong"}
    with ExitStack() as running:
        nodes = [
            running.enter_context(RaftProcess(name, addresses, tmp_path, secret=secret))
            for name, secret in secrets.items()
        ]
        leader = await_leader(nodes)
        assert leader.name != "c3"
        until("it is written", lambda: leader.write("shop"), WAIT_S)
        reason = "it has another CLUSTER_SECRET"
        for node in nodes:
            strangers = ["c3"] if node.name != "c3" else ["c1", "c2"]
            for stranger in strangers:
                assert await_refusal(node, stranger) == reason
                assert f"controller {stranger} is refused: {reason}" in node.logged()
            assert len(node.logged().splitlines()) < 40, "a refusal is not repeated each retry"
        assert nodes[2].status()["leader"] is None
        assert not nodes[2].write("other")


def test_two_clusters_do_not_mix(tmp_path: Path) -> None:
    """A node that has belonged to another cluster is refused, and both sides say so."""
    first, second = raft_addresses(2).values()
    for name, address, cluster in (("c1", first, "blue"), ("c2", second, "green")):
        with RaftProcess(name, {name: address}, tmp_path) as alone:
            await_leader([alone])
            alone.tell(f"begin {cluster}")
            await_text(alone.folder / "node.json", cluster)
    addresses = {"c1": first, "c2": second}
    with (
        RaftProcess("c1", addresses, tmp_path) as blue,
        RaftProcess("c2", addresses, tmp_path) as green,
    ):
        for node, other in ((blue, "c2"), (green, "c1")):
            found = await_refusal(node, other)
            assert "cluster blue" in found or "cluster green" in found
            assert "CLUSTER_PEERS" in found
            assert node.status()["leader"] is None


def test_what_keeps_a_node_from_starting(tmp_path: Path) -> None:
    """A foreign folder, a folder in use and a taken port are each named, with the setting."""
    addresses = raft_addresses(1)
    with RaftProcess("c1", addresses, tmp_path) as first:
        await_leader([first])
        until("it is written", lambda: first.write("shop"), WAIT_S)
        taken = addresses["c1"]
        with RaftProcess("c1", raft_addresses(1), tmp_path) as second:
            reason = second.exit_reason()
            assert f"data folder {first.folder} is used by another process" in reason
        with RaftProcess("c1", addresses, tmp_path / "other") as third:
            reason = third.exit_reason()
            assert f"Raft port {taken} cannot be used" in reason
            assert "CLUSTER_RAFT_PORT" in reason
    first.folder.rename(tmp_path / "c9")
    with RaftProcess("c9", {"c9": taken}, tmp_path) as stranger:
        reason = stranger.exit_reason()
        assert "belongs to node 'c1', not to 'c9'" in reason
        assert "CONTROLLER_NODE_ID" in reason


def test_a_predecessor_may_hold_the_port_for_a_moment(tmp_path: Path) -> None:
    """A restart that overlaps the end of the one before waits for the port."""
    addresses = raft_addresses(1)
    host, port = addresses["c1"].split(":")
    with socket.create_server((host, int(port))) as predecessor:
        node = RaftProcess("c1", addresses, tmp_path)
        with node:
            time.sleep(0.5)
            predecessor.close()
            await_leader([node])


def test_a_single_node_is_killed_and_has_it_all(tmp_path: Path) -> None:
    """A cluster of one keeps what it acknowledged."""
    with RaftProcess("c1", raft_addresses(1), tmp_path, snapshot_min_entries=50) as alone:
        await_leader([alone])
        load([alone], "x")
        alone.kill()
        alone.start()
        await_leader([alone])
        state = await_same_state([alone])
        assert not acknowledged([alone]) - state["apps"].keys()
