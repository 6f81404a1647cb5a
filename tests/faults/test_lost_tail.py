"""A disk that lost the end of one controller's journal, and a restart of all three."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from cluster.state.commands import RegisterApp
from tests.sim.storage import MemoryDisk, _Inode
from tests.sim.world import World

TAIL_BYTES = 400
"""The last records of a journal: three registrations, and what was noted beside them."""

Files = Mapping[str, Mapping[Path, bytes]]


def written() -> tuple[Files, set[str]]:
    """The disks of three controllers that have written ten apps, and the apps' names."""
    with World(1) as world:
        world.run_until(world.settled, 5)
        leader = world.leader()
        assert leader is not None
        for number in range(10):
            ticket = world.submit(leader, RegisterApp(f"app-{number}", "{}", 1))
            world.run_until(ticket.poll, 3)
        world.run_until(world.settled, 5)
        world.run(0.2)
        files = {
            name: {path: bytes(inode.data) for path, inode in disk.names.items()}
            for name, disk in world.disks.items()
        }
        return files, {f"app-{number}" for number in range(10)}


def restarted(files: Files, seed: int) -> World:
    """Three controllers that find these files."""
    world = World(seed)
    for name, contents in files.items():
        disk = MemoryDisk(random.Random(seed))
        for path, data in contents.items():
            disk.names[path] = _Inode(data)
        disk.settled = dict(disk.names)
        world.disks[name] = disk
    return world


@pytest.mark.beside
@pytest.mark.parametrize("victim", ["c1", "c2", "c3"])
def test_tail_lost_at_any_byte(victim: str) -> None:
    """Wherever one journal ends, all ten acknowledged apps are there on all three again."""
    files, apps = written()
    path = Path("/sim") / victim / "journal"
    whole = files[victim][path]
    assert len(whole) > 2 * TAIL_BYTES
    for end in range(len(whole) - TAIL_BYTES, len(whole)):
        cut = {**files, victim: {**files[victim], path: whole[:end]}}
        with restarted(cut, end) as world:
            world.run_until(world.settled, 10)
            for name, log in world.logs.items():
                assert set(log.state().apps) == apps, f"{name}, {victim} cut at byte {end}"
