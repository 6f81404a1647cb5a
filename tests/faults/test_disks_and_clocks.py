"""Slow disks, clocks that jump, and files that were damaged while a controller was down."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.consensus.disk import OsDisk
from cluster.consensus.errors import ConsensusError
from cluster.consensus.journal import Journal
from tests.faults.clusters import CALM, FaultCluster
from tests.faults.recorder import Recorder
from tests.faults.verdicts import assert_sound
from tests.live import app_spec, call, until

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

SYNC_MS = 150
STALL_MS = 2500
JUMP_S = 3600
CUT_APPS = 6
WRITES_S = 90.0


class SlowCluster(FaultCluster):
    """A FaultCluster whose disks can be slow."""

    def __init__(self, folder: Path, library: Path) -> None:
        super().__init__(folder)
        self._library = library

    def variables(self, node: str) -> dict[str, str]:
        """The environment of one controller."""
        return super().variables(node) | {
            "LD_PRELOAD": str(self._library), "SLOW_SYNC": str(self.slow(node))}

    def slow(self, node: str) -> Path:
        """While it exists, each sync takes as many milliseconds as it says."""
        return self.folder / f"{node}.slow"


class WrongClocks(FaultCluster):
    """A FaultCluster whose clocks can be wrong."""

    def variables(self, node: str) -> dict[str, str]:
        """The environment of one controller."""
        return super().variables(node) | {"FAULT_CLOCK": str(self.clock(node))}

    def clock(self, node: str) -> Path:
        """How many seconds the wall clock is off, while it exists."""
        return self.folder / f"{node}.clock"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes syncs slow."""
    made = tmp_path_factory.mktemp("preload") / "slow_sync.so"
    source = Path(__file__).parent / "slow_sync.c"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-o", str(made), str(source), "-ldl"], check=True)
    return made


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, library: Path) -> Iterator[SlowCluster]:
    """Three controllers."""
    with SlowCluster(tmp_path_factory.mktemp("slow"), library) as running:
        yield running


def prefix_of(what: str) -> str:
    """Names of apps that no other round has."""
    return f"{what}-{random.getrandbits(24):x}"


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_slow_disk(cluster: SlowCluster, who: str) -> None:
    """A disk whose every sync takes long slows writes down, and loses nothing."""
    with Recorder(cluster.urls(), prefix_of("slow"), seed=1, clients=8, gap_s=0.02) as recorder:
        leader = cluster.elected()
        victim = leader if who == "leader" else next(n for n in cluster.ids if n != leader)
        cluster.slow(victim).write_text(str(SYNC_MS))
        recorder.await_writes(20, WRITES_S)
        began_s = time.monotonic()
        # Longer than an election time-out: whoever leads then, nothing is acknowledged falsely.
        cluster.slow(victim).write_text(str(STALL_MS))
        time.sleep(2 * STALL_MS / 1000)
        cluster.slow(victim).unlink()
        recorder.await_writes(20, WRITES_S)
        quiet_s = recorder.worst_gap_s(began_s, time.monotonic())
    cluster.wait_ready()
    assert_sound(cluster, recorder, set())
    print(f"\nsyncs of the {who} took {STALL_MS} ms: writes paused for {quiet_s:.2f} s")


@pytest.fixture
def clocks(tmp_path: Path) -> Iterator[WrongClocks]:
    """Three controllers, of which none calls an election because another one is slow."""
    with WrongClocks(tmp_path, environ=CALM) as running:
        yield running


def test_wall_clocks_jump(clocks: WrongClocks) -> None:
    """An hour forth on the leader, an hour back on a follower: nobody notices."""
    cluster = clocks
    with Recorder(cluster.urls(), prefix_of("clock"), seed=1, clients=3, gap_s=0.05) as recorder:
        leader = cluster.elected()
        term = call("GET", cluster.url(leader, "/cluster/status"))[1]["raft_term"]
        follower = next(node for node in cluster.ids if node != leader)
        cluster.clock(leader).write_text(str(JUMP_S))
        cluster.clock(follower).write_text(str(-JUMP_S))
        try:
            recorder.await_writes(50, WRITES_S)
            time.sleep(3)
            recorder.await_writes(50, WRITES_S)
        finally:
            cluster.clock(leader).unlink()
            cluster.clock(follower).unlink()
        recorder.await_writes(20, WRITES_S)
        status = call("GET", cluster.url(leader, "/cluster/status"))[1]
    assert (status["leader_id"], status["raft_term"]) == (leader, term)
    assert_sound(cluster, recorder, set())
    dated = [event["timestamp"] for event in cluster.same_state()["events"]]
    assert dated != sorted(dated, reverse=True)  # the jump was real: the order is by id


@pytest.mark.parametrize(("file", "damage"), [
    ("journal", "garbage"), ("journal", "flipped"), ("journal", "empty"),
    ("snapshot", "garbage"), ("node.json", "garbage"), ("node.json", "empty"),
    ("actions.jsonl", "garbage"),
])
def test_damaged_file(tmp_path: Path, file: str, damage: str) -> None:
    """A controller never starts with wrong data: it says which file, and what to do."""
    with FaultCluster(tmp_path) as cluster:
        victim = next(node for node in cluster.ids if node != cluster.elected())
        for number in range(3):
            assert cluster.write(
                "POST", "/api/v1/apps/register", app_spec(f"app-{number}", "x:1"))[0] == 201
        before = cluster.same_state()["apps"]
        cluster.kill(victim)
        path = tmp_path / victim / file
        whole = path.read_bytes() if path.exists() else b""
        path.write_bytes(damaged(whole, damage))
        cluster.boot(victim)
        process = cluster.processes[victim]
        until("it gives up, or serves what is right", lambda: (
            process.poll() is not None or _serves(cluster, victim)), WRITES_S)
        if process.poll() is None:
            # What a crash may have left is repaired from the others, never made up.
            assert cluster.same_state()["apps"] == before
            assert (file, damage) in (("journal", "flipped"), ("actions.jsonl", "garbage"))
            return
        said = cluster.log(victim)
        assert str(path) in said
        assert any(word in said for word in ("restore", "move", "set ORCHESTRY_DATA_DIR"))
        assert "Traceback" not in said
        # The remedy, as it is told: a lost folder comes back as a new member.
        shutil.rmtree(tmp_path / victim)
        assert cluster.write("DELETE", f"/cluster/members/{victim}")[0] == 200
        status, _ = cluster.write("POST", "/cluster/members", {
            "node_id": victim, "raft_address": f"127.0.0.1:{cluster.raft_ports[victim]}"})
        assert status == 201
        cluster.environ["CLUSTER_JOIN"] = "true"
        cluster.boot(victim)
        cluster.wait_ready()
        apps = {row["name"] for row in before}
        until("all apps", lambda: set(cluster.apps(victim)) == apps, WRITES_S)


def test_a_journal_cut_at_every_byte(tmp_path: Path) -> None:
    """What is left is a true beginning of what was there, or is refused; never anything else."""
    with FaultCluster(tmp_path / "cluster") as cluster:
        for number in range(CUT_APPS):
            assert cluster.write(
                "POST", "/api/v1/apps/register", app_spec(f"app-{number}", "x:1"))[0] == 201
        before = cluster.same_state()["apps"]
        victim = next(node for node in cluster.ids if node != cluster.elected())
        cluster.kill(victim)
        path = tmp_path / "cluster" / victim / "journal"
        whole = path.read_bytes()
        lengths = cut_everywhere(whole, tmp_path / "cut")
        assert len(lengths) > CUT_APPS
        # A real controller with such a journal, at some of the places, is as the others soon.
        for size in sorted(random.sample(range(len(whole) // 4, len(whole)), 3)):
            path.write_bytes(whole[:size])
            cluster.boot(victim)
            cluster.wait_ready()
            assert cluster.same_state()["apps"] == before
            cluster.kill(victim)
        cluster.boot(victim)
        cluster.wait_ready()


def cut_everywhere(whole: bytes, path: Path) -> set[int]:
    """Read a journal cut at each byte; returns how many entries were left, each once."""
    disk = OsDisk("os")
    path.write_bytes(whole)
    full = Journal(disk, path)
    entries, term, commit = full[:], full.getCurrentTerm(), full.getRaftCommitIndex()
    full.close()
    found, refused, last = set(), 0, 0
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        try:
            journal = Journal(disk, path)
        except ConsensusError:
            refused = size
            continue
        assert journal[:] == entries[:len(journal)], size
        assert len(journal) >= last, size
        assert journal.getCurrentTerm() <= term
        assert journal.getRaftCommitIndex() <= commit
        last = len(journal)
        found.add(last)
        journal.close()
    assert refused < 32  # only without its header
    return found


def damaged(data: bytes, how: str) -> bytes:
    """Another content."""
    if how == "garbage":
        return os.urandom(max(200, len(data)))
    if how == "empty" or not data:
        return b""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x40]) + data[middle + 1:]


def _serves(cluster: FaultCluster, node: str) -> bool:
    try:
        return call("GET", cluster.url(node, "/readyz"), timeout_s=2)[0] == 200
    except OSError:
        return False
